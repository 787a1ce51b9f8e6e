//! What the allocator keeps of memory that is free again: given back to the kernel after the start, and when a crowd has
//! gone.

/// Fewer connections than this hold next to nothing.
const CROWD: usize = 64;

/// The most connections at once since something was given back, as far as they were counted.
#[derive(Debug, Default)]
pub struct Crowd {
    most: usize,
}

impl Crowd {
    /// Whether so many have gone, when this many are there, that what they held is worth giving back.
    pub fn has_gone(&mut self, here: usize) -> bool {
        self.most = self.most.max(here);
        let gone = self.most >= CROWD && here <= self.most / 2;
        if gone {
            self.most = here;
        }
        gone
    }
}

/// Gives back what is free. glibc does so by itself only for what lies at the end of its heaps, where something always is
/// in use.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: a call without pointers, which may be made at any time and from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_gone_once_for_each_half() {
        let mut crowd = Crowd::default();
        let gone = [0, 63, 0, 1_000, 501, 500, 499, 251, 250, 60, 30, 0].map(|here| crowd.has_gone(here));
        let expect = [false, false, false, false, false, true, false, false, true, true, false, false];
        assert_eq!(gone, expect);
    }
}
