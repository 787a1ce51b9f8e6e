//! The lease, broken on purpose: what duplicates under faults, so that the simulation and the torture of real processes
//! can prove that they would see it. Compiled with the cargo feature `broken` alone, and idle until a flaw is named.
//!
//! Each place where a flaw departs from the lease is one guarded statement there, and a method named `flawed_…` here.
//! Without a flaw each of them changes nothing, and without the feature none of them is there.

use super::{At, Hold, State};
use crate::id::Millis;
use crate::lease::coordination::SlotRead;
use std::fmt;
use std::str::FromStr;

/// One rule of the lease that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Whoever holds the slot is written over: a refused write reads the version again, and not the holder beside it.
    NoFence,
    /// What Snowflake's sequential nodes do: the right to issue is the session. It ends when its holder *learns* that the
    /// session is over, and the next holder starts at its own clock.
    LeaseOnly,
    /// What Leaf does: the record tells afterwards how far issuing has come, and the next holder starts there or at its
    /// clock. Nothing bounds what is issued meanwhile.
    ReportAfterwards,
    /// A ceiling is granted when its extend is sent, not when it is acknowledged.
    CeilingBeforeAnswer,
    /// Extend and re-attach set the ceiling a window above the clock, though a higher one stands.
    LoweringExtend,
    /// Issuing goes on until the release is acknowledged.
    UnsealedRelease,
    /// The mark of a release is the millisecond of the next id, though ids of it were given.
    MarkRoundedDown,
    /// After a lost answer to a claim, a holder on the same host is taken for oneself.
    HolderByHost,
}

impl Flaw {
    pub const ALL: [Flaw; 8] = [
        Flaw::NoFence,
        Flaw::LeaseOnly,
        Flaw::ReportAfterwards,
        Flaw::CeilingBeforeAnswer,
        Flaw::LoweringExtend,
        Flaw::UnsealedRelease,
        Flaw::MarkRoundedDown,
        Flaw::HolderByHost,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Flaw::NoFence => "no-fence",
            Flaw::LeaseOnly => "lease-only",
            Flaw::ReportAfterwards => "report-afterwards",
            Flaw::CeilingBeforeAnswer => "ceiling-before-answer",
            Flaw::LoweringExtend => "lowering-extend",
            Flaw::UnsealedRelease => "unsealed-release",
            Flaw::MarkRoundedDown => "mark-rounded-down",
            Flaw::HolderByHost => "holder-by-host",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Flaw {
    type Err = String;
    fn from_str(name: &str) -> Result<Flaw, String> {
        Flaw::ALL.into_iter().find(|flaw| flaw.name() == name).ok_or_else(|| {
            let names: Vec<_> = Flaw::ALL.iter().map(|flaw| flaw.name()).collect();
            format!("no such flaw; there are {}", names.join(", "))
        })
    }
}

impl State {
    fn has(&self, flaw: Flaw) -> bool {
        self.settings.flaw == Some(flaw)
    }

    /// Whether grants reach to the end of time.
    fn grants_without_ceiling(&self) -> bool {
        self.has(Flaw::LeaseOnly) || self.has(Flaw::ReportAfterwards)
    }

    /// Where the timestamps of a claim start, and the ceiling it writes.
    pub(super) fn flawed_claim(&self, at: At, floor: Millis, ceiling: Millis) -> (Millis, Millis) {
        match self.settings.flaw {
            Some(Flaw::LeaseOnly) => (at.credible, ceiling),
            Some(Flaw::ReportAfterwards) => (floor.max(at.credible), floor), // nothing is issued yet
            _ => (floor, ceiling),
        }
    }

    /// A claim has been granted.
    pub(super) fn flawed_granted(&self, hold: &Hold) {
        if self.grants_without_ceiling() {
            hold.grant.raise(self.settings.layout.last_timestamp());
        }
    }

    /// Whether it is time to extend.
    pub(super) fn flawed_extend_is_due(&self, at: At, hold: &Hold, due: bool) -> bool {
        match self.settings.flaw {
            Some(Flaw::LeaseOnly) => false, // the session's own heartbeat is all there is
            Some(Flaw::ReportAfterwards) => at.boot_ms >= hold.extend_at, // no ceiling that could run low
            _ => due,
        }
    }

    /// The ceiling that an extend or re-attach writes; `wanted` is a window above clock and ids.
    pub(super) fn flawed_ceiling(&self, hold: &Hold, wanted: Millis, ceiling: Millis) -> Millis {
        let layout = self.settings.layout;
        match self.settings.flaw {
            Some(Flaw::LoweringExtend) => wanted.min(layout.last_timestamp()),
            Some(Flaw::ReportAfterwards) => hold.ceiling.max(layout.millis_rounded_up(hold.grant.position())),
            _ => ceiling,
        }
    }

    /// An extend to this ceiling is about to be sent.
    pub(super) fn flawed_extend(&self, hold: &Hold, ceiling: Millis) {
        if self.has(Flaw::CeilingBeforeAnswer) {
            hold.grant.raise(ceiling);
        }
    }

    /// Another holder's record was read. True: go on as if it were ours, with its version.
    pub(super) fn flawed_fence(&mut self, read: &SlotRead) -> bool {
        let goes_on = self.has(Flaw::NoFence);
        if goes_on && let Some(hold) = &mut self.hold {
            hold.version = read.version;
        }
        goes_on
    }

    /// Whether a record is taken for one's own after a lost answer.
    pub(super) fn flawed_recognition(&self, read: &SlotRead, mine: bool) -> bool {
        let same_host = read.value.holder.is_some() && read.value.host == self.card.host;
        mine || self.has(Flaw::HolderByHost) && same_host
    }

    /// Session loss is slot loss: issuing ends here, and nothing that was granted outlives it.
    pub(super) fn flawed_session_over(&mut self) {
        if self.has(Flaw::LeaseOnly) {
            self.seal_held();
            self.hold = None;
        }
    }

    /// Ends the grant in another way than by its seal. True: done.
    pub(super) fn flawed_seal(&mut self) -> bool {
        let layout = self.settings.layout;
        let (unsealed, down) = (self.has(Flaw::UnsealedRelease), self.has(Flaw::MarkRoundedDown));
        if let Some(hold) = &mut self.hold
            && hold.sealed.is_none()
            && (unsealed || down)
        {
            if down {
                hold.grant.seal();
            }
            let next = hold.grant.position();
            hold.sealed = Some(if down { layout.millis(next) } else { layout.millis_rounded_up(next) });
        }
        unsealed || down
    }

    /// Whether a grant whose release is under way may be issued from.
    pub(super) fn flawed_use(&self, usable: bool) -> bool {
        usable || self.has(Flaw::UnsealedRelease)
    }

    /// The release of this hold was acknowledged.
    pub(super) fn flawed_released(&self, hold: &Hold) {
        if self.has(Flaw::UnsealedRelease) {
            hold.grant.seal();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_told_what_there_is() {
        for flaw in Flaw::ALL {
            assert_eq!(flaw.to_string().parse(), Ok(flaw));
        }
        let unknown = "no-fences".parse::<Flaw>().unwrap_err();
        assert!(unknown.contains("there are no-fence, lease-only, "), "{unknown}");
    }
}
