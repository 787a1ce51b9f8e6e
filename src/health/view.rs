//! This node's view of its region, over time: the last survey, the way back, what there is to measure.

use super::region::{Facts, Hold, Peak, RegionReport, Seen, hold, judge};
use super::report::{Report, Status};
use crate::lease::line;
use crate::lease::survey::{Known, Out};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// What one node knows of its region.
pub struct View {
    known: watch::Receiver<Option<Known>>,
    hold_ms: u64,
    memory: Mutex<Memory>,
    metrics: Metrics,
}

struct Memory {
    peak: Peak,
    /// The region's own way back, by what its survey says. Kept also while this node itself is in no state to answer, as
    /// a standby that takes over later must know that the region was out.
    region: Option<Hold>,
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
    pub fn new(known: watch::Receiver<Option<Known>>, hold_ms: u64, registry: &mut Registry) -> View {
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
        let memory = Mutex::new(Memory { peak: Peak::default(), region: None, whole: Hold::new(hold_ms) });
        View { known, hold_ms, memory, metrics }
    }

    /// The verdict of this moment, from this node's own and from what is known of the region.
    pub fn report(&self, own: Report, ms_to_ceiling: Option<u64>, now: Now) -> RegionReport {
        let at_ms = ms(now.boot_us);
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
            let began = || match known.past.out {
                Out::No => Hold::new(self.hold_ms),
                Out::Since(since_us) => Hold::after(self.hold_ms, ms(since_us)),
                Out::Left { ms: left, at_us } => {
                    Hold::after(self.hold_ms, (ms(at_us) + left).saturating_sub(self.hold_ms))
                }
            };
            let _ = memory.region.get_or_insert_with(began).look(at_ms, region_good);
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
