//! What happened, as bytes: hashed as they come, so that two runs of a seed can be compared without keeping them.

use std::fmt::{self, Write};

/// FNV-1a of everything written, and how much it was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    bytes: u64,
    loud: bool,
}

impl Trace {
    pub fn new(loud: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, bytes: 0, loud }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        if self.loud {
            eprintln!("{line}");
        }
        self.write_fmt(line).expect("hashing does not fail");
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.bytes += text.len() as u64;
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} of {} bytes", self.hash, self.bytes)
    }
}
