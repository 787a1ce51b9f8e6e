//! A wrong wall clock for one process: libfaketime lies to it, while everybody else's clock is right.

use super::Launch;
use std::path::{Path, PathBuf};

/// The wall clock of one process, as a file says.
#[derive(Clone, Debug)]
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// One a folder.
    pub fn new(folder: &Path, offset_s: f64) -> WallClock {
        let clock = WallClock { file: folder.join("clock") };
        clock.set(offset_s);
        clock
    }

    /// Off by this from now on.
    pub fn set(&self, offset_s: f64) {
        // Renamed into place: whoever reads meanwhile reads the old one or the new one.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{offset_s:+.3}\n")).expect("a file for the clock");
        std::fs::rename(&new, &self.file).expect("a file for the clock");
    }

    /// A node that reads this clock. Its time since boot stays true.
    pub fn of(&self, launch: Launch) -> Launch {
        launch
            .environment("LD_PRELOAD", &library().display().to_string())
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .environment("FAKETIME_NO_CACHE", "1")
            .environment("FAKETIME_TIMESTAMP_FILE", &self.file.display().to_string())
    }
}

fn library() -> PathBuf {
    let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|folder| folder.path());
    let found = found.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketimeMT.so.1 is missing; install it: apt-get install faketime")
}
