//! What the clock hands out: a reading that everybody else computes with.

use crate::id::Millis;

/// A reading of the credible clock, in microseconds since the manifest's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// `V`: the highest credible wall time; where timestamps start. Never goes back.
    pub credible_us: u64,
    /// `P`: `V` plus the time since it last moved; what paces a request while the wall clock stands.
    pub pace_us: u64,
    /// Time since boot, suspended time included: the one clock nobody sets.
    pub boot_us: u64,
}

impl Now {
    pub fn credible(&self) -> Millis {
        Millis(self.credible_us / 1_000)
    }
}
