//! Files without names, for what does not fit into memory: they are gone with the process, however it ends.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Files made by this process, for their names.
static MADE: AtomicU64 = AtomicU64::new(0);

/// A name that another process left behind is passed over, so many times.
const TRIES: u32 = 100;

#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub fn new(folder: PathBuf) -> Scratch {
        Scratch { folder }
    }

    /// An empty file to write and read, already without a name.
    pub fn file(&self) -> io::Result<File> {
        let mut tries = 0;
        loop {
            let name = format!("meridian-census-{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed));
            let path = self.folder.join(name);
            tries += 1;
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < TRIES => {}
                Ok(file) => return fs::remove_file(&path).map(|()| file),
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
    }
}
