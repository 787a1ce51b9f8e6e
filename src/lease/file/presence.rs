//! Who is alive: one file per session, locked for as long as the session lives.
//!
//! The kernel lets go of the lock when the process dies, however it dies, and keeps it while the process is stopped.
//! A lock belongs to the open file, not to the process, so that sessions of one process are as apart as any others.
//! Invariant: a session's file is made and locked under the document's lock, before anything of it stands in the
//! document; its number never comes again. So a file that can be locked, or is gone, is a session that is over.

use super::super::coordination::SessionId;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder of the session files of one datacenter.
#[derive(Clone, Debug)]
pub struct Sessions {
    folder: PathBuf,
    datacenter: u16,
}

/// A session of ours: alive until it leaves or is dropped.
pub struct Presence {
    pub id: SessionId,
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Sessions {
    pub fn new(directory: &Path, datacenter: u16) -> Sessions {
        Sessions { folder: directory.join("sessions"), datacenter }
    }

    pub fn path(&self, id: i64) -> PathBuf {
        self.folder.join(format!("{}-{id}.lock", self.datacenter))
    }

    /// Makes a session. Only under the document's lock.
    pub fn enter(&self) -> io::Result<Presence> {
        std::fs::create_dir_all(&self.folder)?;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let id = SessionId((i64::from_le_bytes(bytes) & i64::MAX).max(1));
        let path = self.path(id.0);
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        file.try_lock()?;
        Ok(Presence { id, path, file: Mutex::new(Some(file)) })
    }

    /// Whether a session that stands in the document is alive. Asks with a shared lock, so that two who ask at the
    /// same time do not take each other for the session.
    pub fn alive(&self, id: i64) -> io::Result<bool> {
        match File::open(self.path(id)) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub fn any_over(&self, ids: &BTreeSet<i64>) -> io::Result<bool> {
        for id in ids {
            if !self.alive(*id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the file of a session that is over. A file left behind says the same, and is swept later.
    pub fn forget(&self, id: i64) {
        let _ = std::fs::remove_file(self.path(id));
    }

    /// Removes the files of sessions that ended without a trace in the document. Only under the document's lock.
    pub fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let prefix = format!("{}-", self.datacenter);
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(".lock")?.parse().ok());
            if let Some(id) = id
                && matches!(self.alive(id), Ok(false))
            {
                self.forget(id);
            }
        }
    }
}

impl Presence {
    /// Whether others can still see this session: its file is the one that stands at its path.
    pub fn stands(&self) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ok(ours)) = file.as_ref().map(File::metadata) else { return false };
        std::fs::metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()))
    }

    /// Ends the session for everybody's eyes.
    pub fn leave(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
