//! From facts to the verdict on a *region*, as any of its nodes gives it. Pure.
//!
//! GeoDNS reads the status code and nothing else. So failing shows at once, and the way back is slow on purpose: only good
//! looks for a whole hold. Whatever the pattern of looks, a region comes back at most once a hold.

use super::report::{Check, Report, Status};
use serde::Serialize;
use serde_json::json;
use std::collections::VecDeque;

/// How long a region that failed must have been well to come back.
pub const HOLD_MS: u64 = 60_000;

/// How old a look at the coordination service may be before it is called old. It still counts: without the service,
/// nodes issue up to their ceilings.
const OLD_MS: u64 = 10_000;

/// While the service is away, a region goes out this long before its ceilings: GeoDNS needs a while to notice.
const NEAR_CEILING_MS: u64 = 5_000;

/// What a node knows of its region.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// `None`: nothing is known yet.
    pub seen: Option<Seen>,
    /// Workers alive at once, lately: the most of [`Peak`].
    pub peak: u16,
    /// This node's own verdict.
    pub own: Report,
    /// For how long this node may still issue; `None`: it holds nothing.
    pub ms_to_ceiling: Option<u64>,
}

/// The last look at the coordination service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub live: u16,
    pub quota: u16,
    pub drained: bool,
    pub age_ms: u64,
}

/// How many workers hold a slot, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Workers {
    pub live: u16,
    pub needed: u16,
    pub quota: u16,
}

/// The body of `/api/v1/region/health`, also when it is a 503.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionReport {
    #[serde(flatten)]
    pub node: Report,
    pub workers: Workers,
    pub drained: bool,
}

/// How many workers a region needs: half of those that carried it lately, at least one. While one neighbour is down a
/// region carries at most twice its own load (`topology::spill::SINGLE_FAILURE_LIMIT`), so half of its workers carry its
/// own load and no fewer do.
pub fn needed(peak: u16, quota: u16) -> u16 {
    peak.min(quota).div_ceil(2).max(1)
}

/// The verdict on these facts alone, without memory. The node's own criteria decide too: a region does not send clients
/// to a node whose requests fail.
pub fn judge(facts: &Facts) -> RegionReport {
    let mut node = facts.own.clone();
    let (workers, drained) = match facts.seen {
        Some(Seen { live, quota, drained, .. }) => {
            (Workers { live, needed: needed(facts.peak.max(live), quota), quota }, drained)
        }
        None => (Workers { live: 0, needed: 1, quota: 0 }, false),
    };
    let enough = workers.live >= workers.needed;
    let age_ms = facts.seen.map(|seen| seen.age_ms);
    let detail = match age_ms {
        None => "the coordination service has not been seen yet".to_owned(),
        Some(age_ms) if age_ms > OLD_MS => {
            format!("fewer than half of those that carried the region lately; seen {} s ago", age_ms / 1_000)
        }
        Some(_) => "fewer than half of those that carried the region lately".to_owned(),
    };
    let status = |holds| if holds { Status::Pass } else { Status::Fail };
    node.checks.insert(
        "workers",
        Check {
            observed: json!(workers.live),
            limit: json!(workers.needed),
            status: status(enough),
            detail: (!enough).then_some(detail),
        },
    );
    node.checks.insert(
        "drained",
        Check {
            observed: json!(drained),
            limit: json!(false),
            status: status(!drained),
            detail: drained.then(|| "the region is drained; `meridian undrain` brings it back".to_owned()),
        },
    );
    let old = age_ms.is_none_or(|age_ms| age_ms > OLD_MS);
    if let Some(ms_to_ceiling) = facts.ms_to_ceiling {
        let near = old && ms_to_ceiling < NEAR_CEILING_MS;
        node.checks.insert(
            "ceiling_ms",
            Check {
                observed: json!(ms_to_ceiling),
                limit: json!(NEAR_CEILING_MS),
                status: status(!near),
                detail: near.then(|| "the coordination service is away and the ceiling is near".to_owned()),
            },
        );
    }
    let failing = node.checks.values().any(|check| check.status == Status::Fail);
    node.status = status(!failing);
    RegionReport { node, workers, drained }
}

/// How long the region stays out yet, at least. It decides alone while everything else is well again.
pub fn hold(left_ms: u64, holding: bool) -> Check {
    Check {
        observed: json!(left_ms),
        limit: json!(0),
        status: if holding { Status::Fail } else { Status::Pass },
        detail: holding.then(|| "the region is well again; it comes back when the hold is over".to_owned()),
    }
}

/// The way back of a region: down at once; up again when all looks were good for the hold, two of them at least. So a region
/// that comes and goes stays out, and all of its nodes, who look at about the same moments, agree on it: were the hold
/// counted from the first failure, one would come back in a good moment that another missed. A process that has just
/// started has nothing to come back from.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    hold_ms: u64,
    was_well: bool,
    /// While it is out: the last bad look.
    bad_at_ms: Option<u64>,
    good_since_ms: Option<u64>,
}

const LOOKS_APART_MS: u64 = 1_000;

impl Hold {
    pub fn new(hold_ms: u64) -> Hold {
        Hold { hold_ms, was_well: false, bad_at_ms: None, good_since_ms: None }
    }

    /// Of something that was bad before it was looked at, last at `bad_at_ms`.
    pub fn after(hold_ms: u64, bad_at_ms: u64) -> Hold {
        Hold { was_well: true, bad_at_ms: Some(bad_at_ms), ..Hold::new(hold_ms) }
    }

    /// Whether it is out, as of the last look.
    pub fn is_out(&self) -> bool {
        self.bad_at_ms.is_some()
    }

    /// Folds one look in. `Err`: out, and for how long yet at least (milliseconds).
    pub fn look(&mut self, at_ms: u64, good: bool) -> Result<(), u64> {
        if !good {
            if self.was_well {
                self.bad_at_ms = Some(at_ms);
            }
            self.good_since_ms = None;
            return Err(self.left_ms(at_ms));
        }
        if self.is_out() {
            let good_since_ms = *self.good_since_ms.get_or_insert(at_ms);
            if self.left_ms(at_ms) > 0 || at_ms.saturating_sub(good_since_ms) < LOOKS_APART_MS {
                return Err(self.left_ms(at_ms));
            }
        }
        (self.was_well, self.bad_at_ms, self.good_since_ms) = (true, None, None);
        Ok(())
    }

    /// How long it stays out yet, at least: 0 if it is in.
    pub fn left_ms(&self, at_ms: u64) -> u64 {
        self.bad_at_ms.map_or(0, |bad_at_ms| (bad_at_ms + self.hold_ms).saturating_sub(at_ms))
    }
}

/// The most workers seen alive at once within the last five minutes. Autoscaling takes at most 10 % a minute away, 41 %
/// in that time: whoever loses more than half has lost it otherwise.
#[derive(Clone, Debug, Default)]
pub struct Peak {
    /// Stretches of half a minute, by their number: the most of each.
    stretches: VecDeque<(u64, u16)>,
}

const STRETCH_MS: u64 = 30_000;
const STRETCHES: u64 = 10;

impl Peak {
    pub fn see(&mut self, at_ms: u64, live: u16) {
        let stretch = at_ms / STRETCH_MS;
        match self.stretches.back_mut() {
            Some((last, most)) if *last == stretch => *most = live.max(*most),
            _ => self.stretches.push_back((stretch, live)),
        }
        while self.stretches.front().is_some_and(|(first, _)| first + STRETCHES <= stretch) {
            self.stretches.pop_front();
        }
    }

    pub fn most(&self) -> u16 {
        self.stretches.iter().map(|(_, most)| *most).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::verdict::{self, LeaseFact, Limits, Nameplate};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn own(facts: &verdict::Facts) -> Report {
        let limits = Limits { response_time_ms: 100.0, clock_drift_ms: 100.0, error_ratio: 0.5, off: BTreeSet::new() };
        let nameplate = Nameplate { region: "us-east".into(), datacenter: 0, slots: vec![16] };
        verdict::judge(nameplate, facts, &limits)
    }

    fn well() -> verdict::Facts {
        verdict::Facts {
            lease: LeaseFact::Holding { ms_to_ceiling: 29_000 },
            p99_ms: Some(0.4),
            clock_drift_ms: 1.0,
            ntp_synchronized: true,
            failed: 0,
            requests: 100,
        }
    }

    fn check(live: u16, peak: u16, drained: bool, expect: &[&str]) {
        let seen = Some(Seen { live, quota: 12, drained, age_ms: 0 });
        let report = judge(&Facts { seen, peak, own: own(&well()), ms_to_ceiling: Some(29_000) });
        let failing: Vec<&str> = report
            .node
            .checks
            .iter()
            .filter(|(_, check)| check.status == Status::Fail)
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(failing, expect, "{live} of {peak}");
        assert_eq!(report.node.status == Status::Pass, expect.is_empty());
    }

    #[test]
    fn half_of_those_that_carried_it_are_enough() {
        check(1, 1, false, &[]);
        check(0, 1, false, &["workers"]);
        check(4, 8, false, &[]);
        check(3, 8, false, &["workers"]);
        check(6, 40, false, &[]); // no more than the quota was ever wanted
        check(8, 8, true, &["drained"]);
    }

    #[test]
    fn unseen_is_unwell_and_old_is_not() {
        let facts =
            |seen, ms_to_ceiling| Facts { seen, peak: 4, own: own(&well()), ms_to_ceiling: Some(ms_to_ceiling) };
        assert_eq!(judge(&facts(None, 29_000)).node.status, Status::Fail);
        let old = Seen { live: 4, quota: 6, drained: false, age_ms: 17_000 };
        assert_eq!(judge(&facts(Some(old), 13_000)).node.status, Status::Pass, "issues to its ceilings");
        assert_eq!(judge(&facts(Some(old), 4_999)).node.status, Status::Fail, "which are near");
        let fresh = Seen { age_ms: 900, ..old };
        assert_eq!(judge(&facts(Some(fresh), 4_999)).node.status, Status::Pass, "a first window is short");
    }

    #[test]
    fn autoscaling_is_no_loss_and_a_crash_is() {
        let mut peak = Peak::default();
        let mut live = 12.0f64;
        for minute in 0..30 {
            let now = live.ceil() as u16;
            peak.see(minute * 60_000, now);
            assert!(now >= needed(peak.most(), 12), "minute {minute}: {now} of {}", peak.most());
            live = (live * 0.9).max(1.0);
        }
        assert_eq!(peak.most(), 1.max((12.0 * 0.9f64.powi(25)).ceil() as u16));
    }

    proptest! {
        /// Never 200 while its requests fail; never 503 only because load is shed (shed requests are no facts at all).
        #[test]
        fn requests_that_fail_are_never_hidden(failed in 0u64..1_000, served in 0u64..1_000, live in 1u16..12) {
            let facts = verdict::Facts { failed, requests: failed + served, ..well() };
            let seen = Some(Seen { live, quota: 12, drained: false, age_ms: 0 });
            let report = judge(&Facts { seen, peak: live, own: own(&facts), ms_to_ceiling: Some(29_000) });
            let half = failed > 0 && failed >= served;
            prop_assert_eq!(report.node.status == Status::Fail, half);
        }

        #[test]
        fn a_region_comes_back_at_most_once_a_hold(looks in prop::collection::vec((1u64..20_000, any::<bool>()), 1..200)) {
            let (mut hold, mut at, mut up, mut downs) = (Hold::new(HOLD_MS), 0, false, Vec::new());
            let mut backs: Vec<u64> = Vec::new();
            for (dt, good) in looks {
                at += dt;
                let now = hold.look(at, good).is_ok();
                prop_assert!(good || !now, "a bad look is never hidden");
                if up && !now { downs.push(at); }
                if !up && now && !downs.is_empty() { backs.push(at); }
                up = now;
            }
            for pair in backs.windows(2) {
                prop_assert!(pair[1] - pair[0] >= HOLD_MS);
            }
            for (down, back) in downs.iter().zip(&backs) {
                prop_assert!(back - down >= HOLD_MS);
            }
        }

        /// Nodes look at other moments of the same second, and see the same.
        #[test]
        fn nodes_agree(looks in prop::collection::vec((1_000u64..20_000, any::<bool>()), 1..100), skew_ms in 0u64..1_000) {
            let mut nodes = [Hold::new(HOLD_MS), Hold::new(HOLD_MS)];
            let (mut at, mut differ_ms) = (0, 0);
            for (lasts, good) in looks {
                // Each stretch is seen by both, and every second while it lasts.
                for second in 0..=lasts / 1_000 {
                    let now = [at + second * 1_000, at + second * 1_000 + skew_ms];
                    let well = [nodes[0].look(now[0], good).is_ok(), nodes[1].look(now[1], good).is_ok()];
                    differ_ms = if well[0] == well[1] { 0 } else { differ_ms + 1_000 };
                    prop_assert!(differ_ms <= 2_000, "for two seconds at most");
                }
                at += lasts / 1_000 * 1_000 + 1_000;
            }
        }

        #[test]
        fn a_region_that_stays_well_comes_back(hold_ms in 0u64..100_000, down_at in 0u64..1_000) {
            let mut hold = Hold::new(hold_ms);
            prop_assert!(hold.look(down_at, true).is_ok());
            prop_assert!(hold.look(down_at + 1, false).is_err());
            let _ = hold.look(down_at + 2, true);
            prop_assert!(hold.look(down_at + 2 + hold_ms.max(LOOKS_APART_MS), true).is_ok());
        }
    }
}
