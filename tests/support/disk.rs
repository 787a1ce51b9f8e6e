//! A disk that is full, for one file of one node, without rights and without a disk.

use super::block_until;
use std::path::{Path, PathBuf};

/// While it lives, what the node writes of its slot's high-water mark goes to `/dev/full`: the kernel answers each write
/// with ENOSPC, as a full file system does.
pub struct FullDisk {
    link: PathBuf,
}

impl FullDisk {
    /// The node writes each mark into a new file first, whose name is known. Waits until there is none under way.
    pub fn under(state: &Path, genesis: &str, slot: u16, pid: u32) -> FullDisk {
        let link = state.join(format!(".high-water-{genesis}-1-{slot:02}.next-{pid}"));
        block_until(format!("{} to be free", link.display()), || std::os::unix::fs::symlink("/dev/full", &link).ok());
        FullDisk { link }
    }

    /// The mark that stands in the folder.
    pub fn remembered(state: &Path, slot: u16) -> u64 {
        let marks = std::fs::read_dir(state).expect("a folder").flatten().map(|entry| entry.path());
        let ending = format!("-1-{slot:02}");
        let mark = marks.into_iter().find(|path| path.display().to_string().ends_with(&ending)).expect("a mark");
        std::fs::read_to_string(mark).expect("a text").trim().parse().expect("a number")
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
    }
}
