//! This node's view of its region, over time: the last survey, the way back, what there is to measure.

use super::region::{Facts, Hold, Peak, RegionReport, Seen, hold, judge};
use super::report::{Report, Status};
use crate::lease::line;
use crate::lease::survey::{Known, Out, Past, Pulse};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What one node knows of its region.
pub struct View {
    known: watch::Receiver<Option<Known>>,
    pulse: Arc<Pulse>,
    hold_ms: u64,
    memory: Mutex<Memory>,
    metrics: Metrics,
}

struct Memory {
    peak: Peak,
    /// The region's own way back, by what its survey says. Kept also while this node itself is in no state to answer, as
    /// a standby that takes over later must know that the region was out.
    region: Option<Hold>,
    /// What it began from.
    past: Option<Past>,
    /// That of the whole verdict, this node's own included.
    whole: Hold,
}

#[derive(Default)]
struct Metrics {
    healthy: Gauge,
    live: Gauge,
    needed: Gauge,
    quota: Gauge,
    drained: Gauge,
    surge: Gauge,
}

/// This moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub boot_us: i64,
    /// The coordination service's wall clock, in milliseconds since 1970.
    pub server_ms: i64,
    /// The node waits in the line for a slot.
    pub standby: bool,
}

impl View {
    /// `hold_ms`: how long a region that failed stays out, at least.
    pub fn new(
        known: watch::Receiver<Option<Known>>,
        pulse: Arc<Pulse>,
        hold_ms: u64,
        registry: &mut Registry,
    ) -> View {
        let metrics = Metrics::default();
        let gauges = [
            ("region_healthy", "1 while /api/v1/region/health says 200", &metrics.healthy),
            ("region_workers_live", "Slots of the region whose owner is alive", &metrics.live),
            ("region_workers_needed", "Slots the region needs to carry its share", &metrics.needed),
            ("region_workers_quota", "Slots that may be held now, surge included", &metrics.quota),
            ("region_drained", "1 while the region is drained", &metrics.drained),
            ("region_surge", "1 while the surge quota is in force", &metrics.surge),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let memory = Mutex::new(Memory { peak: Peak::default(), region: None, past: None, whole: Hold::new(hold_ms) });
        View { known, pulse, hold_ms, memory, metrics }
    }

    /// The verdict of this moment, from this node's own and from what is known of the region.
    pub fn report(&self, own: Report, ms_to_ceiling: Option<u64>, now: Now) -> RegionReport {
        let at_ms = ms(now.boot_us);
        let stood_still_until_us = self.pulse.beat(now.boot_us);
        let known = self.known.borrow();
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.as_ref().map(|known| seen(known, now));
        if let Some((seen, known)) = seen.as_ref().zip(known.as_ref()) {
            if memory.region.is_none() {
                memory.peak.see(at_ms, known.past.needed.saturating_mul(2));
            }
            memory.peak.see(at_ms, seen.live);
        }
        let mut report = judge(&Facts { seen, peak: memory.peak.most(), own, ms_to_ceiling });

        let region_good = !report.drained && report.workers.live >= report.workers.needed;
        if let Some(known) = &*known {
            if memory.past != Some(known.past) {
                if memory.past.is_some() {
                    // It stood still, and what others say of that time counts; its own requests only look slow.
                    memory.whole = Hold::new(self.hold_ms);
                }
                (memory.region, memory.past) = (Some(self.began(known.past.out)), Some(known.past));
            }
            if Some(known.past.asked_us) < stood_still_until_us {
                // The region may have stood still with it. Others are being asked; until they answer, it was bad.
                memory.region = Some(Hold::after(self.hold_ms, at_ms));
            }
            if let Some(region) = &mut memory.region {
                let _ = region.look(at_ms, region_good);
            }
        }
        let good = report.node.status == Status::Pass;
        match now.standby {
            // It gave its slot back in order, or never had one: that is no failure to come back from.
            true => memory.whole = Hold::new(self.hold_ms),
            false => {
                let _ = memory.whole.look(at_ms, good);
            }
        }
        let holds = || memory.region.iter().chain([&memory.whole]);
        let holding = good && holds().any(Hold::is_out);
        if holding {
            report.node.status = Status::Fail;
        }
        // Others of the region take this over when they begin (`lease::survey`). Who remembers nothing says nothing.
        if let Some(region) = &memory.region {
            let own_ms = if holding { memory.whole.left_ms(at_ms) } else { 0 };
            report.node.checks.insert("hold", hold(region.left_ms(at_ms).max(own_ms), holding));
        }
        report
    }

    fn began(&self, out: Out) -> Hold {
        match out {
            Out::No => Hold::new(self.hold_ms),
            Out::Since(since_us) => Hold::after(self.hold_ms, ms(since_us)),
            Out::Left { ms: left, at_us } => Hold::after(self.hold_ms, (ms(at_us) + left).saturating_sub(self.hold_ms)),
        }
    }

    /// Waits until something new is known of the region.
    pub async fn changed(&self) {
        let mut known = self.known.clone();
        known.mark_unchanged();
        if known.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Looks once for the metrics, and for the way back, which counts looks.
    pub fn tick(&self, own: Report, ms_to_ceiling: Option<u64>, now: Now) {
        let report = self.report(own, ms_to_ceiling, now);
        self.metrics.healthy.set((report.node.status == Status::Pass).into());
        self.metrics.live.set(report.workers.live.into());
        self.metrics.needed.set(report.workers.needed.into());
        self.metrics.quota.set(report.workers.quota.into());
        self.metrics.drained.set(report.drained.into());
        let surge =
            self.known.borrow().as_ref().is_some_and(|k| line::surging(&k.survey.admission.value, now.server_ms));
        self.metrics.surge.set(surge.into());
    }
}

fn ms(us: i64) -> u64 {
    (us / 1_000).max(0) as u64
}

fn seen(known: &Known, now: Now) -> Seen {
    let admission = &known.survey.admission.value;
    Seen {
        live: known.survey.live,
        quota: if line::surging(admission, now.server_ms) { admission.surge } else { admission.quota },
        drained: known.survey.drain.is_some(),
        age_ms: ms(now.boot_us - known.seen_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::report::Check;
    use crate::lease::coordination::{AdmissionRead, Survey, Version};
    use crate::lease::znode::Admission;
    use std::collections::BTreeMap;

    const SECOND_US: i64 = 1_000_000;

    fn known(asked_us: i64, out: Out) -> Option<Known> {
        let value = Admission { v: 1, quota: 4, fixed: 0, surge: 8, digest: String::new(), ..Admission::default() };
        let admission = AdmissionRead { version: Version(0), value, raw: Vec::new() };
        let past = Past { asked_us, out, needed: 2 };
        Some(Known { survey: Survey { admission, live: 4, drain: None }, seen_us: asked_us, past })
    }

    fn own() -> Report {
        Report {
            status: Status::Pass,
            region: "us-east".into(),
            datacenter: 0,
            worker: Some(16),
            slots: vec![16],
            checks: BTreeMap::<&str, Check>::new(),
        }
    }

    /// Second by second: whether a node that stood still from 10 to 18 says 200, and how much of its hold it tells others.
    fn after_a_pause(answer: Out) -> (View, watch::Sender<Option<Known>>, [(bool, u64); 2]) {
        let (known_sender, receiver) = watch::channel(known(0, Out::No));
        let view = View::new(receiver, Arc::default(), 10_000, &mut Registry::default());
        assert!((0..10).all(|second| at(&view, second).0));
        let resumed = at(&view, 18);
        known_sender.send_replace(known(18 * SECOND_US, answer));
        let asked = at(&view, 19);
        (view, known_sender, [resumed, asked])
    }

    fn at(view: &View, second: i64) -> (bool, u64) {
        let now = Now { boot_us: second * SECOND_US, server_ms: 0, standby: false };
        let report = view.report(own(), Some(29_000), now);
        let hold = &report.node.checks["hold"];
        (report.node.status == Status::Pass, hold.observed.as_u64().expect("a number"))
    }

    #[test]
    fn a_region_that_stood_still_whole_is_held() {
        let all_say_so = Out::Left { ms: 10_000, at_us: 18 * SECOND_US };
        let (view, _sender, said) = after_a_pause(all_say_so);
        assert_eq!(said, [(false, 10_000), (false, 9_000)]);
        assert!((20..28).all(|second| !at(&view, second).0));
        assert!((28..40).all(|second| at(&view, second).0));
        let (view, _sender, said) = after_a_pause(Out::Since(18 * SECOND_US)); // nobody to ask
        assert_eq!(said, [(false, 10_000), (false, 9_000)]);
        assert!((20..28).all(|second| !at(&view, second).0) && at(&view, 28).0);
    }

    #[test]
    fn a_node_that_stood_still_alone_takes_the_word_of_the_others() {
        let (_, _sender, said) = after_a_pause(Out::No);
        assert_eq!(said, [(false, 10_000), (true, 0)]);
    }
}
