//! Memory that nobody needs any more, given back to the kernel: what the start leaves behind, and a crowd that has gone.

use std::ops::Range;

/// Looks, one a second, after which the start is over also for a node that stands by.
const STANDS_BY: u32 = 10;

/// Fewer connections than this hold next to nothing.
const CROWD: usize = 64;

/// Looks, one a second, between one time and the next: whoever allocates meanwhile may have to wait, and who comes and goes
/// for ever is no reason to give back for ever.
const REST: u32 = 60;

/// Whether the start is over, which leaves behind what it alone needed.
#[derive(Debug, Default)]
pub struct Start {
    looks: u32,
}

impl Start {
    /// Says so once: when the node serves, or when it seems to stand by. Asked once a second.
    pub fn is_over(&mut self, serves: bool) -> bool {
        let before = self.looks;
        self.looks = if serves { STANDS_BY } else { STANDS_BY.min(before + 1) };
        before < STANDS_BY && self.looks == STANDS_BY
    }
}

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

/// Gives back what is free. glibc does so by itself only where it lies at the end of its heaps, where something always is in
/// use.
pub fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: a call without pointers, which may be made at any time and from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Takes the pages of the program and its libraries out of this process. Most were needed by the start alone (the command line,
/// the manifest), and the kernel maps sixteen around each; what is needed again is mapped again from its cache of the file,
/// which the kernel shares among processes and drops when it needs the memory.
pub fn give_back_program() {
    // A kernel that does not tell what is in memory is given nothing.
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    for Range { start, end } in unchanged(&smaps, &segments()) {
        // SAFETY: these pages are read-only and were as their file has them a moment ago, so whoever reads them next reads the
        // same (but for a debugger that set its breakpoint just now); and they are of objects that are loaded and that nobody
        // here unloads, so nothing else has come to lie there. A refusal leaves them where they are.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
}

/// Where the program and its libraries lie that nobody may write to.
fn segments() -> Vec<Range<usize>> {
    unsafe extern "C" fn add(
        object: *mut libc::dl_phdr_info,
        _: libc::size_t,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader hands out an object that stays loaded during the call, with as many headers as it says, and what it
        // was given below.
        let (object, headers, found) = unsafe {
            let object = &*object;
            let headers = std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into());
            (object, headers, &mut *found.cast::<Vec<Range<usize>>>())
        };
        let read_only =
            headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0);
        found.extend(read_only.map(|header| {
            let start = object.dlpi_addr as usize + header.p_vaddr as usize;
            start..start + header.p_memsz as usize
        }));
        0
    }
    let mut found: Vec<Range<usize>> = Vec::new();
    // SAFETY: the function is called before this returns, with this very vector.
    unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut found).cast()) };
    found
}

/// The mappings of these segments that this process has no pages of its own in, in memory or swapped out. It has some where a
/// linker relocated or a debugger set a breakpoint: those are not in the file.
fn unchanged(smaps: &str, segments: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut mapping, mut none_in_memory) = (None, false);
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Anonymous:", amount, "kB"] => none_in_memory = amount == "0",
            // Text that was laid on huge pages: a copy, which is counted by itself.
            ["Private_Hugetlb:", amount, "kB"] if amount != "0" => none_in_memory = false,
            ["Swap:", "0", "kB"] if none_in_memory => found.extend(mapping.take()),
            [first, ..] if first.ends_with(':') => {}
            [range, access, _offset, _device, _inode, ref path @ ..] => {
                let is_file = path.first().is_some_and(|path| path.starts_with('/'));
                let is_of = |range: &Range<usize>| segments.iter().any(|s| s.start < range.end && range.start < s.end);
                mapping = addresses(range).filter(|range| is_file && !access.contains('w') && is_of(range));
                none_in_memory = false;
            }
            _ => {}
        }
    }
    found
}

/// `55e0c0000000-55e0c0400000`
fn addresses(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU8;

    #[test]
    fn a_start_is_over_once() {
        let over = |serves_from: u32| {
            let mut start = Start::default();
            (1..100).filter(|look| start.is_over(*look >= serves_from)).collect::<Vec<_>>()
        };
        assert_eq!([over(1), over(3), over(50)], [[1], [3], [STANDS_BY]]);
    }

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

    #[test]
    fn what_is_unchanged_is_the_files() {
        let mapping = |header: &str, anonymous: u32, swap: u32| {
            format!("{header}\nRss: 8 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\nVmFlags: rd ex mr mw me\n")
        };
        let smaps = [
            mapping("1000-2000 r--p 00001000 fe:00 24 /usr/bin/a program", 0, 0),
            mapping("2000-3000 r-xp 00002000 fe:00 24 /usr/bin/a program", 0, 0),
            mapping("3000-4000 r-xp 00004000 fe:00 24 /usr/bin/with a breakpoint", 4, 0),
            mapping("4000-5000 r--p 00005000 fe:00 24 /usr/bin/relocated, and swapped out", 0, 4),
            mapping("5000-6000 rw-p 00006000 fe:00 24 /usr/bin/data", 0, 0),
            mapping("6000-7000 r--p 00000000 00:00 0", 0, 0),
            mapping("7000-8000 r-xp 00000000 00:00 0 [vdso]", 0, 0),
            mapping("b000-c000 r-xp 00000000 00:0f 27 /anon_hugepage", 0, 0)
                .replace("Swap", "Private_Hugetlb: 4 kB\nSwap"),
            "8000-9000 r-xp 00000000 fe:00 24 /of/a/kernel/that/does/not/tell\nVmFlags: rd ex\n".to_owned(),
            mapping("9000-a000 r-xp 00000000 fe:00 25 /usr/lib/libc.so.6", 0, 0),
            mapping("a000-b000 r--p 00000000 fe:00 26 /of a file that somebody reads", 0, 0),
        ];
        let segments = [0x1000..0x2000, 0x2000..0x2abc, 0x3000..0x6000, 0x6000..0x9000, 0x9040..0x9abc, 0xb000..0xc000];
        assert_eq!(unchanged(&smaps.concat(), &segments), [0x1000..0x2000, 0x2000..0x3000, 0x9000..0xa000]);
    }

    #[test]
    fn the_program_goes_on_without_the_pages_of_its_file() {
        static WRITTEN: AtomicU8 = AtomicU8::new(1);
        let found = unchanged(&smaps(), &segments());
        let has = |address: usize| found.iter().any(|range| range.contains(&address));
        assert!(has(give_back_program as *const () as usize) && has("read-only".as_ptr() as usize), "{found:x?}");
        assert!(has(libc::getppid as *const () as usize), "libraries too: {found:x?}");
        assert!(!has(&raw const WRITTEN as usize) && !has(&raw const found as usize) && !has(found.as_ptr() as usize));

        let kb = |smaps: &str| -> u64 {
            let lines = smaps.lines().filter_map(|line| line.split_once("_Clean:"));
            lines.filter_map(|(_, amount)| amount.trim().strip_suffix(" kB")?.parse::<u64>().ok()).sum()
        };
        // Other tests run the program meanwhile, and bring some of it back.
        let fell = (0..1_000).any(|_| {
            let before = smaps();
            give_back_program();
            kb(&smaps()) < kb(&before)
        });
        assert!(fell);
    }

    fn smaps() -> String {
        std::fs::read_to_string("/proc/self/smaps").unwrap()
    }
}
