//! The manifest of a test: the shipped one, with the numbers of one region and of the lease exchanged.

use std::path::{Path, PathBuf};

/// 2024-01-01T00:00:00Z, the manifest's epoch.
pub const EPOCH_UNIX_MS: u64 = 1_704_067_200_000;

/// What tests vary. The region is us-west, datacenter 1.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub session_ms: u64,
    pub window_ms: u64,
    pub first_window_ms: u64,
    pub fixed: u16,
    /// The quota is the static slots and these.
    pub dynamic: u16,
    pub per_node: u16,
    /// How often other regions are looked at, and how long that may take; seconds.
    pub probes: (u64, u64),
    pub fleet: &'static str,
    pub epoch: &'static str,
}

impl Default for Numbers {
    /// A session that a busy machine does not lose.
    fn default() -> Numbers {
        Numbers {
            session_ms: 2_000,
            window_ms: 6_000,
            first_window_ms: 2_000,
            fixed: 1,
            dynamic: 1,
            per_node: 1,
            probes: (10, 2),
            fleet: "global",
            epoch: "2024-01-01T00:00:00Z",
        }
    }
}

impl Numbers {
    /// For tests that wait for a session to expire.
    pub fn brief() -> Numbers {
        Numbers { session_ms: 1_000, window_ms: 3_000, first_window_ms: 1_000, ..Numbers::default() }
    }

    /// Writes the manifest down.
    pub fn write(&self, file: &Path) -> PathBuf {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("regions/meridian.yaml");
        let mut text = std::fs::read_to_string(&shipped).expect("the shipped manifest");
        let quota = self.fixed + self.dynamic;
        for (from, to) in [
            ("fleet: global", format!("fleet: {}", self.fleet)),
            ("\"2024-01-01T00:00:00Z\"", format!("\"{}\"", self.epoch)),
            ("session_ms: 6000", format!("session_ms: {}", self.session_ms)),
            ("interval_seconds: 10", format!("interval_seconds: {}", self.probes.0)),
            ("timeout_seconds: 2", format!("timeout_seconds: {}", self.probes.1)),
            (" window_ms: 30000", format!(" window_ms: {}", self.window_ms)),
            ("first_window_ms: 5000", format!("first_window_ms: {}", self.first_window_ms)),
            (
                "{ quota: 8, static: 4, surge: 16 }",
                format!(
                    "{{ quota: {quota}, static: {}, surge: {} }}\n    workers_per_node: {}",
                    self.fixed,
                    quota.max(16),
                    self.per_node
                ),
            ),
        ] {
            assert_eq!(text.matches(from).count(), 1, "{from:?} in {}", shipped.display());
            text = text.replace(from, &to);
        }
        std::fs::write(file, text).expect("a manifest");
        file.to_owned()
    }
}
