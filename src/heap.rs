//! What the allocator keeps of memory that is free again: given back to the kernel after the start, and when a crowd has
//! gone.

/// Fewer connections than this hold next to nothing.
const CROWD: usize = 64;

/// Looks, one a second, between one time and the next: whoever allocates meanwhile may have to wait, and who comes and goes
/// for ever is no reason to give back for ever.
const REST: u32 = 60;

/// The most connections at once since something was given back, as far as they were counted.
#[derive(Debug, Default)]
pub struct Crowd {
    most: usize,
    /// Looks to come before the next time.
    rest: u32,
}

impl Crowd {
    /// Whether so many have gone, when this many are there, that what they held is worth giving back. Asked once a second.
    pub fn has_gone(&mut self, here: usize) -> bool {
        self.most = self.most.max(here);
        self.rest = self.rest.saturating_sub(1);
        let gone = self.rest == 0 && self.most >= CROWD && here <= self.most / 2;
        if gone {
            (self.most, self.rest) = (here, REST);
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
    fn a_crowd_has_gone_when_half_has() {
        let mut crowd = Crowd::default();
        let gone = [0, 63, 0, 1_000, 501, 500, 499].map(|here| crowd.has_gone(here));
        assert_eq!(gone, [false, false, false, false, false, true, false]);
    }

    #[test]
    fn who_comes_and_goes_is_given_back_for_once_a_minute() {
        let mut crowd = Crowd::default();
        let gone = (0..10 * REST).filter(|n| crowd.has_gone(if n % 2 == 0 { 100 } else { 40 })).count();
        assert_eq!(gone, 10);
        assert!((0..REST).any(|_| crowd.has_gone(0)), "the last ones are not forgotten");
    }
}
