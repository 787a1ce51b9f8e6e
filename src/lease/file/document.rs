//! One datacenter's znodes on disk: read, changed and replaced under a lock.
//!
//! Invariants: whoever is told of a change can rely on it (file and folder are synced first); at any moment the path
//! names a whole document, the old one or the new; a document that cannot be read is never replaced, for a fresh one
//! would hand out its timestamps again. The lock file is never removed: its identity is what keeps two writers apart.

use super::super::coordination::ServerTime;
use super::super::tree::Znodes;
use super::super::znode;
use super::presence::Sessions;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for the others. They hold the lock for milliseconds, unless one is stopped inside: then the rest
/// cannot write until it goes on, and says so instead of hanging. Nobody's ids depend on it.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// Why a document could not be used. Every text names the path.
#[derive(Debug)]
pub enum Trouble {
    /// There is none.
    Missing,
    /// It is not one of ours, or damaged: no retry will help.
    Corrupt(String),
    Io(String),
}

pub struct Document {
    directory: PathBuf,
    path: PathBuf,
    lock: PathBuf,
    temporary: PathBuf,
    pub sessions: Sessions,
    clock: fn() -> ServerTime,
    patience: Duration,
}

/// The document under its lock, with the dead already gone.
pub struct Transaction<'a> {
    pub document: &'a Document,
    /// What was there, and is to be there after this.
    pub znodes: Option<Znodes>,
    pub now: ServerTime,
}

impl Document {
    pub fn new(directory: &Path, datacenter: u16, clock: fn() -> ServerTime) -> Document {
        let file = |ending: &str| directory.join(format!("dc-{datacenter}.{ending}"));
        Document {
            directory: directory.to_owned(),
            path: file("json"),
            lock: file("lock"),
            temporary: file("json.tmp"),
            sessions: Sessions::new(directory, datacenter),
            clock,
            patience: LOCK_WAIT,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder.
    pub fn prepare(&self) -> Result<(), Trouble> {
        std::fs::create_dir_all(&self.directory).map_err(|error| trouble(&self.directory, error))
    }

    /// The document as bytes, without the lock: a whole one, if perhaps not the newest.
    pub fn bytes(&self) -> Result<Vec<u8>, Trouble> {
        std::fs::read(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Trouble::Missing,
            _ => trouble(&self.path, error),
        })
    }

    pub fn parse(&self, bytes: &[u8]) -> Result<Znodes, Trouble> {
        let corrupt = |why: String| {
            Trouble::Corrupt(format!(
                "{}: {why}; it is left as it is. Put its last good copy back only if no node has written since; else \
                 stop every node of this datacenter, move the file away and run `meridian init`, which starts every \
                 slot one window ahead of the clock",
                self.path.display()
            ))
        };
        let znodes: Znodes =
            serde_json::from_slice(bytes).map_err(|error| corrupt(format!("not a readable tree ({error})")))?;
        if znodes.v() != znode::VERSION {
            return Err(corrupt(format!("written in shape {}, this version knows {}", znodes.v(), znode::VERSION)));
        }
        Ok(znodes)
    }

    /// Runs one step under the lock. What it left in `znodes` is on disk before its answer is given; if that fails,
    /// the answer is lost and the document is the old one (or, if only the last sync failed, the new one).
    pub fn transact<T>(&self, step: impl FnOnce(&mut Transaction) -> T) -> Result<T, Trouble> {
        let _lock = self.lock()?;
        let mut znodes = match self.bytes() {
            Ok(bytes) => Some(self.parse(&bytes)?),
            Err(Trouble::Missing) => None,
            Err(other) => return Err(other),
        };
        let found = znodes.as_ref().map(Znodes::zxid);
        let mut over = Vec::new();
        if let Some(znodes) = &mut znodes {
            for id in znodes.sessions() {
                if !self.sessions.alive(id).map_err(|error| trouble(&self.sessions.path(id), error))? {
                    znodes.end_session(super::SessionId(id));
                    over.push(id);
                }
            }
        }
        let mut transaction = Transaction { document: self, znodes, now: (self.clock)() };
        let answer = step(&mut transaction);
        if let Some(znodes) = transaction.znodes
            && Some(znodes.zxid()) != found
        {
            self.replace(&znodes)?;
        }
        for id in over {
            self.sessions.forget(id);
        }
        Ok(answer)
    }

    fn lock(&self) -> Result<File, Trouble> {
        let deadline = Instant::now() + self.patience;
        loop {
            let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&self.lock);
            let file = opened.map_err(|error| match error.kind() {
                // The folder is missing, so the document is too.
                io::ErrorKind::NotFound => Trouble::Missing,
                _ => trouble(&self.lock, error),
            })?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
                    Err(TryLockError::WouldBlock) => {
                        let held = format!("held by another process for {:?}, is it stopped?", self.patience);
                        return Err(Trouble::Io(format!("{}: {held}", self.lock.display())));
                    }
                    Err(TryLockError::Error(error)) => return Err(trouble(&self.lock, error)),
                }
            }
            // Somebody may have removed the file while we waited: then the lock of this one keeps nobody out.
            let ours = file.metadata().map_err(|error| trouble(&self.lock, error))?;
            if std::fs::metadata(&self.lock).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                return Ok(file);
            }
        }
    }

    fn replace(&self, znodes: &Znodes) -> Result<(), Trouble> {
        let mut text = serde_json::to_vec_pretty(znodes).expect("a tree is plain data");
        text.push(b'\n');
        let written = File::create(&self.temporary).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        if let Err(error) = written {
            let _ = std::fs::remove_file(&self.temporary);
            return Err(trouble(&self.temporary, error));
        }
        std::fs::rename(&self.temporary, &self.path).map_err(|error| trouble(&self.path, error))?;
        File::open(&self.directory)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| trouble(&self.directory, error))
    }
}

fn trouble(path: &Path, error: io::Error) -> Trouble {
    Trouble::Io(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_not_let_go_is_an_error_and_a_removed_one_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_millis(20);
        let document = Document { patience, ..Document::new(folder.path(), 0, || ServerTime(0)) };
        let held = document.lock().unwrap();
        let refused = document.transact(|_| ()).unwrap_err();
        let expect = format!("{}: held by another process for 20ms, is it stopped?", document.lock.display());
        assert!(matches!(&refused, Trouble::Io(text) if *text == expect), "{refused:?}");

        std::fs::remove_file(&document.lock).unwrap();
        document.transact(|_| ()).unwrap();
        drop(held);
        let _held = document.lock().unwrap();
        assert!(document.transact(|_| ()).is_err(), "both mean the file at the path");
    }
}
