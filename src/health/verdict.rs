//! From facts to a verdict. Pure.

use super::report::{Check, Report, Status};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

/// What a node is judged by. Each may be switched off by name, on hosts that cannot satisfy it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Criterion {
    /// Holds a slot, is below its ceiling, is not stopping.
    Lease,
    /// p99 of the service time over the last 60 s.
    ResponseTimeMs,
    /// Distance of the wall clock from the coordination service's, and from what this process believes.
    ClockDriftMs,
    /// The kernel says that a daemon keeps its clock.
    NtpSynchronized,
    /// Share of id requests that failed over the last 10 s; shedding is not failing.
    ErrorRatio,
}

impl Criterion {
    pub const ALL: [Criterion; 5] = [
        Criterion::Lease,
        Criterion::ResponseTimeMs,
        Criterion::ClockDriftMs,
        Criterion::NtpSynchronized,
        Criterion::ErrorRatio,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Criterion::Lease => "lease",
            Criterion::ResponseTimeMs => "response_time_ms",
            Criterion::ClockDriftMs => "clock_drift_ms",
            Criterion::NtpSynchronized => "ntp_synchronized",
            Criterion::ErrorRatio => "error_ratio",
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Criterion {
    type Err = String;
    fn from_str(name: &str) -> Result<Criterion, String> {
        Criterion::ALL.into_iter().find(|criterion| criterion.name() == name).ok_or_else(|| {
            let names: Vec<_> = Criterion::ALL.iter().map(|criterion| criterion.name()).collect();
            format!("no such criterion; there are {}", names.join(", "))
        })
    }
}

/// The limits of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub response_time_ms: f64,
    pub clock_drift_ms: f64,
    /// Half of all id requests: a node that fails more than it serves is better left alone.
    pub error_ratio: f64,
    pub off: BTreeSet<Criterion>,
}

/// Whether this node can issue, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseFact {
    /// Below the ceiling by this much.
    Holding {
        ms_to_ceiling: u64,
    },
    /// A grant that has reached its ceiling.
    Spent,
    Standby {
        rank: usize,
    },
    Ineligible,
    Connecting {
        trouble: Option<String>,
    },
    Stopping,
}

/// All a verdict depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub lease: LeaseFact,
    /// `None`: no request in the window.
    pub p99_ms: Option<f64>,
    pub clock_drift_ms: f64,
    pub ntp_synchronized: bool,
    /// Failed and all id requests of the window.
    pub failed: u64,
    pub requests: u64,
}

/// Whose verdict it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nameplate {
    pub region: String,
    pub datacenter: u16,
    /// The slots it holds.
    pub slots: Vec<u16>,
}

/// The verdict on these facts alone, without memory.
pub fn judge(nameplate: Nameplate, facts: &Facts, limits: &Limits) -> Report {
    let mut checks = BTreeMap::new();
    let mut put = |criterion: Criterion, observed, limit, holds: bool, detail: Option<String>| {
        let status = match limits.off.contains(&criterion) {
            true => Status::Off,
            false if holds => Status::Pass,
            false => Status::Fail,
        };
        let detail = detail.filter(|_| status == Status::Fail);
        checks.insert(criterion.name(), Check { observed, limit, status, detail });
    };

    let (lease, detail) = describe(&facts.lease);
    put(Criterion::Lease, json!(lease), json!("holding"), detail.is_none(), detail);
    put(
        Criterion::ResponseTimeMs,
        json!(facts.p99_ms.map(rounded)),
        json!(limits.response_time_ms),
        facts.p99_ms.is_none_or(|p99| p99 < limits.response_time_ms),
        Some("p99 over 60 s; the node is short of CPU, or overloaded".into()),
    );
    put(
        Criterion::ClockDriftMs,
        json!(rounded(facts.clock_drift_ms)),
        json!(limits.clock_drift_ms),
        facts.clock_drift_ms < limits.clock_drift_ms,
        Some("the wall clock disagrees with the coordination service or with the time since boot; check NTP".into()),
    );
    put(
        Criterion::NtpSynchronized,
        json!(facts.ntp_synchronized),
        json!(true),
        facts.ntp_synchronized,
        Some("no daemon keeps the kernel's clock; run chrony, or switch this check off by name".into()),
    );
    let ratio = if facts.requests == 0 { 0.0 } else { facts.failed as f64 / facts.requests as f64 };
    put(
        Criterion::ErrorRatio,
        json!((ratio * 1_000.0).round() / 1_000.0),
        json!(limits.error_ratio),
        ratio < limits.error_ratio,
        Some(format!("{} of {} id requests failed in the last 10 s", facts.failed, facts.requests)),
    );

    let failing = checks.values().any(|check| check.status == Status::Fail);
    let status = if failing { Status::Fail } else { Status::Pass };
    let Nameplate { region, datacenter, slots } = nameplate;
    Report { status, region, datacenter, worker: slots.first().copied(), slots, checks }
}

/// Stands among the checks while everything else holds, but has not for long enough.
pub fn recovering() -> Check {
    Check {
        observed: json!("one good look"),
        limit: json!("two good looks, a second apart"),
        status: Status::Fail,
        detail: Some("the node is well again, and says so on its second good look".into()),
    }
}

/// What is observed, and what is wrong with it if anything is.
pub fn describe(lease: &LeaseFact) -> (String, Option<String>) {
    match lease {
        LeaseFact::Holding { ms_to_ceiling } => (format!("holding, {ms_to_ceiling} ms to the ceiling"), None),
        LeaseFact::Spent => (
            "spent".into(),
            Some("the ceiling is reached and could not be raised; see whether ZooKeeper answers".into()),
        ),
        LeaseFact::Standby { rank } => {
            (format!("standby, {rank} in front"), Some("waiting for a slot inside the region's quota".into()))
        }
        LeaseFact::Ineligible => (
            "ineligible".into(),
            Some(
                "the clock is too far from ZooKeeper's, or behind every free slot; the log says which: check NTP"
                    .into(),
            ),
        ),
        LeaseFact::Connecting { trouble } => {
            let detail = trouble.clone().unwrap_or_else(|| "waiting for the coordination service".into());
            ("connecting".into(), Some(detail))
        }
        LeaseFact::Stopping => ("stopping".into(), Some("the node drains and gives its slot back".into())),
    }
}

fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

/// The way back: failing shows at once, but after it a node is well only on the second good look, a second apart. A new
/// node has nothing to come back from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    was_well: bool,
    failing: bool,
    good_since_ms: Option<u64>,
}

/// Two good looks are at least this far apart.
const LOOKS_APART_MS: u64 = 1_000;

impl Recovery {
    /// Folds one look in; true while the node may say that it is well.
    pub fn look(&mut self, at_ms: u64, good: bool) -> bool {
        if !good {
            (self.failing, self.good_since_ms) = (self.was_well, None);
            return false;
        }
        let since = *self.good_since_ms.get_or_insert(at_ms);
        if at_ms.saturating_sub(since) >= LOOKS_APART_MS {
            self.failing = false;
        }
        self.was_well |= !self.failing;
        !self.failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits() -> Limits {
        Limits { response_time_ms: 100.0, clock_drift_ms: 100.0, error_ratio: 0.5, off: BTreeSet::new() }
    }

    fn well() -> Facts {
        Facts {
            lease: LeaseFact::Holding { ms_to_ceiling: 29_000 },
            p99_ms: Some(0.4),
            clock_drift_ms: 1.0,
            ntp_synchronized: true,
            failed: 0,
            requests: 100,
        }
    }

    fn failing(facts: &Facts, limits: &Limits) -> Vec<&'static str> {
        let nameplate = Nameplate { region: "us-east".into(), datacenter: 0, slots: vec![16] };
        let report = judge(nameplate, facts, limits);
        let failing: Vec<_> =
            report.checks.iter().filter(|(_, c)| c.status == Status::Fail).map(|(name, _)| *name).collect();
        assert_eq!(failing.is_empty(), report.status == Status::Pass);
        failing
    }

    #[test]
    fn each_criterion_decides_alone() {
        let none: [&str; 0] = [];
        assert_eq!(failing(&well(), &limits()), none);
        assert_eq!(failing(&Facts { lease: LeaseFact::Spent, ..well() }, &limits()), ["lease"]);
        assert_eq!(failing(&Facts { p99_ms: Some(100.0), ..well() }, &limits()), ["response_time_ms"]);
        assert_eq!(failing(&Facts { clock_drift_ms: 100.0, ..well() }, &limits()), ["clock_drift_ms"]);
        assert_eq!(failing(&Facts { ntp_synchronized: false, ..well() }, &limits()), ["ntp_synchronized"]);
        assert_eq!(failing(&Facts { failed: 50, ..well() }, &limits()), ["error_ratio"]);
        assert_eq!(failing(&Facts { failed: 49, ..well() }, &limits()), none);
        assert_eq!(failing(&Facts { p99_ms: None, requests: 0, ..well() }, &limits()), none, "idle is well");
    }

    #[test]
    fn off_is_shown_and_never_decides() {
        let off = BTreeSet::from([Criterion::NtpSynchronized]);
        let facts = Facts { ntp_synchronized: false, ..well() };
        let nameplate = Nameplate { region: "apac".into(), datacenter: 3, slots: Vec::new() };
        let report = judge(nameplate, &facts, &Limits { off, ..limits() });
        assert_eq!(report.status, Status::Pass);
        assert_eq!(report.checks["ntp_synchronized"].status, Status::Off);
    }

    #[test]
    fn the_way_back_needs_two_good_looks() {
        let mut recovery = Recovery::default();
        assert!(!recovery.look(0, false), "not well yet");
        assert!(recovery.look(0, true), "a new node waits for nothing");
        assert!(!recovery.look(10, false));
        assert!(!recovery.look(20, true));
        assert!(!recovery.look(900, true));
        assert!(recovery.look(1_020, true));
    }

    proptest! {
        #[test]
        fn a_bad_look_is_never_hidden(looks in prop::collection::vec((0u64..3_000, any::<bool>()), 1..50)) {
            let (mut recovery, mut at, mut good_for, mut ever) = (Recovery::default(), 0, None, false);
            for (dt, good) in looks {
                at += dt;
                good_for = if good { good_for.or(Some(at)) } else { None };
                let well = recovery.look(at, good);
                prop_assert!(good || !well);
                prop_assert!(well || good_for.is_none_or(|since| at - since < LOOKS_APART_MS));
                prop_assert!(!good || well || ever);
                ever |= well;
            }
        }
    }
}
