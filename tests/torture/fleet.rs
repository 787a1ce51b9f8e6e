//! The manifest of the fleet: the shipped one with few slots, so that each is taken again and again.

use crate::support::Numbers;
use std::path::{Path, PathBuf};

/// What the lease's times are here. Short, so that much happens; long enough that a busy machine keeps its sessions.
pub const NUMBERS: Numbers = Numbers {
    probes: (10, 2),
    session_ms: 1_500,
    window_ms: 4_500,
    first_window_ms: 1_500,
    fixed: 2,
    dynamic: 3,
    per_node: 1,
    fleet: "global",
    epoch: "2024-01-01T00:00:00Z",
};

/// Two more dynamic slots than the quota leaves in use.
const POOLS: &str = "slots: { static: [0, 1], dynamic: [16, 20] }";

pub fn slots() -> Vec<u16> {
    (0..=1).chain(16..=20).collect()
}

/// The manifest with this quota, static slots included.
pub fn manifest(folder: &Path, quota: u16) -> PathBuf {
    let file = folder.join(format!("quota-{quota}.yaml"));
    NUMBERS.write(&file);
    let shipped = std::fs::read_to_string(&file).expect("just written");
    let lines = shipped.lines().map(|line| match line.trim_start() {
        text if text.starts_with("workers: ") => format!("    workers: {{ quota: {quota}, static: 2, surge: 7 }}"),
        text if text.starts_with("slots: ") => POOLS.to_owned(),
        _ => line.to_owned(),
    });
    let text: Vec<String> = lines.collect();
    std::fs::write(&file, text.join("\n") + "\n").expect("a manifest");
    file
}
