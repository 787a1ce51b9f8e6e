//! What this machine remembers of the slots it held: the second line of defence, should the coordination service lose
//! acknowledged writes.
//!
//! One small file a slot, named by the tree's genesis, so that a tree made anew is not confused with the old one. A disk
//! that fails never stops issuing (the fence does not need this file); it raises an alarm.

use super::znode::Guid;
use crate::id::Millis;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// One mark at a time is stored: those of a slot go through one file.
static STORING: Mutex<()> = Mutex::new(());

/// The files of one tree in one folder.
#[derive(Clone, Debug)]
pub struct HighWater {
    folder: PathBuf,
    prefix: String,
}

impl HighWater {
    pub fn new(folder: &Path, genesis: &Guid, datacenter: u16) -> HighWater {
        HighWater { folder: folder.to_owned(), prefix: format!("high-water-{genesis}-{datacenter}-") }
    }

    /// Everything remembered. A file that cannot be read as a number is an error, not a zero.
    pub fn load(&self) -> io::Result<BTreeMap<u16, Millis>> {
        let mut remembered = BTreeMap::new();
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(remembered),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let slot = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)).and_then(|s| s.parse().ok());
            let Some(slot) = slot else { continue };
            let path = self.folder.join(&name);
            let text = fs::read_to_string(&path)?;
            let ceiling = text.trim().parse().map_err(|_| {
                let message = format!("{}: {text:?} is not a number of milliseconds; remove the file", path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            })?;
            remembered.insert(slot, Millis(ceiling));
        }
        Ok(remembered)
    }

    /// Replaces what is remembered of a slot, durably and whole.
    pub fn store(&self, slot: u16, ceiling: Millis) -> io::Result<()> {
        // Of two keepers of this process one may still write what it gave back when the other has the slot already.
        let _one = STORING.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{}{slot:02}", self.prefix));
        let next = self.folder.join(format!(".{}{slot:02}.next-{}", self.prefix, std::process::id()));
        let mut file = fs::File::create(&next)?;
        writeln!(file, "{}", ceiling.0)?;
        file.sync_all()?;
        fs::rename(&next, &path)?;
        fs::File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_remembered_per_tree_and_slot() {
        let folder = tempfile::tempdir().unwrap();
        let ours = HighWater::new(folder.path(), &Guid("aa".into()), 1);
        assert_eq!(ours.load().unwrap(), BTreeMap::new());
        ours.store(3, Millis(5_000)).unwrap();
        ours.store(17, Millis(7_000)).unwrap();
        ours.store(17, Millis(6_000)).unwrap();
        assert_eq!(ours.load().unwrap(), BTreeMap::from([(3, Millis(5_000)), (17, Millis(6_000))]));
        let other_tree = HighWater::new(folder.path(), &Guid("bb".into()), 1);
        assert_eq!(other_tree.load().unwrap(), BTreeMap::new());
    }

    #[test]
    fn rubbish_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("high-water-aa-1-03"), "five").unwrap();
        let error = HighWater::new(folder.path(), &Guid("aa".into()), 1).load().unwrap_err();
        assert!(error.to_string().contains("high-water-aa-1-03"), "{error}");
    }

    #[test]
    fn a_full_or_forbidden_disk_is_an_error() {
        let high_water = HighWater::new(Path::new("/proc/nowhere"), &Guid("aa".into()), 1);
        assert!(high_water.store(1, Millis(1)).is_err());
    }
}
