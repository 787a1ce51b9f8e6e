//! The truth about this node, as a verdict: can it issue an id now, and would it like traffic?
//!
//! Reads lease, clock and outcomes; nothing reads it but those who ask.

pub mod region;
pub mod report;
mod turning;
pub mod verdict;
mod view;

use crate::clock::{self, Clock};
use crate::lease::grant::Grant;
use crate::lease::keeper::{self, Watched};
use crate::lease::state::Phase;
use crate::lease::survey::{Known, Pulse};
use crate::outcomes::Outcomes;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use region::RegionReport;
use report::{Report, Status};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
use turning::Turning;
use verdict::{Criterion, Facts, LeaseFact, Limits, Nameplate, Recovery};
use view::{Now, View};

/// One node's health.
pub struct Health {
    region: String,
    datacenter: u16,
    limits: Limits,
    clock: Arc<Clock>,
    lease: Watched,
    outcomes: Arc<Outcomes>,
    stopping: watch::Receiver<bool>,
    recovery: Mutex<Recovery>,
    view: View,
    turning: Turning,
    metrics: Metrics,
}

/// The region of the node: what is known of it, and how long it stays out after it failed, at least.
pub struct Region {
    pub name: String,
    pub datacenter: u16,
    pub known: watch::Receiver<Option<Known>>,
    /// Shared with the survey.
    pub pulse: Arc<Pulse>,
    pub hold_ms: u64,
}

#[derive(Default)]
struct Metrics {
    healthy: Gauge,
    ready: Gauge,
    clock_drift_ms: Gauge<f64, AtomicU64>,
    high_water_failing: Gauge,
}

impl Health {
    pub fn new(
        region: Region,
        limits: Limits,
        clock: Arc<Clock>,
        lease: Watched,
        outcomes: Arc<Outcomes>,
        stopping: watch::Receiver<bool>,
        registry: &mut Registry,
    ) -> Health {
        let metrics = Metrics::default();
        registry.register("healthy", "1 while /api/v1/health says 200", metrics.healthy.clone());
        registry.register("ready", "1 while this node holds a slot and can issue", metrics.ready.clone());
        registry.register(
            "clock_drift_milliseconds",
            "Distance of the wall clock from the coordination service's and from what is credible",
            metrics.clock_drift_ms.clone(),
        );
        registry.register_collector(Box::new(Ceilings { clock: clock.clone(), grants: lease.grants.clone() }));
        registry.register(
            "high_water_failing",
            "1 while the disk does not take high-water marks; issuing goes on without this second line of defence",
            metrics.high_water_failing.clone(),
        );
        let recovery = Mutex::default();
        let Region { name: region, datacenter, known, pulse, hold_ms } = region;
        let view = View::new(known, pulse, hold_ms, registry);
        let turning = Turning::new(clock::coarse_us());
        Health { region, datacenter, limits, clock, lease, outcomes, stopping, recovery, view, turning, metrics }
    }

    /// The verdict of this moment. Failing shows at once; the way back needs two good looks.
    pub fn report(&self) -> Report {
        let facts = self.facts();
        let mut slots: Vec<u16> =
            self.lease.grants.borrow().iter().flatten().map(|grant| grant.origin().worker).collect();
        slots.sort_unstable();
        let nameplate = Nameplate { region: self.region.clone(), datacenter: self.datacenter, slots };
        let mut report = verdict::judge(nameplate, &facts, &self.limits);
        let at_ms = self.clock.now().boot_us / 1_000;
        let good = report.status == Status::Pass;
        let mut recovery = self.recovery.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(facts.lease, LeaseFact::Standby { .. }) {
            // It gave its slot back in order, or never had one: that is no failure to come back from.
            *recovery = Recovery::default();
        }
        let well = recovery.look(at_ms, good);
        if good && !well {
            report.status = Status::Fail;
            report.checks.insert("recovery", verdict::recovering());
        }
        report
    }

    /// The verdict on the region, as far as this node can see.
    pub fn region_report(&self) -> RegionReport {
        self.view.report(self.report(), self.ms_to_ceiling(), self.now())
    }

    /// Whether this node wants requests: it can issue an id now, and for a while. Or why not.
    pub fn ready(&self) -> Result<(), String> {
        match self.lease_fact() {
            LeaseFact::Holding { .. } if self.lease.is_leaving() => {
                Err("leaving: the quota shrank; the node still issues and gives its slot back".to_owned())
            }
            LeaseFact::Holding { .. } => Ok(()),
            other => {
                let (observed, detail) = verdict::describe(&other);
                Err(detail.map_or(observed.clone(), |detail| format!("{observed}: {detail}")))
            }
        }
    }

    /// Whether the loop turns that keeps this node, and ticks.
    pub fn live(&self) -> Result<(), String> {
        self.turning.check(clock::coarse_us())
    }

    /// Waits until something new is known of the region.
    pub async fn changed(&self) {
        self.view.changed().await;
    }

    /// Looks once for the metrics and for the way back, which counts looks; called every second.
    pub fn tick(&self) {
        self.turning.turned(clock::coarse_us());
        let report = self.report();
        self.metrics.healthy.set((report.status == Status::Pass).into());
        self.metrics.ready.set(self.ready().is_ok().into());
        self.metrics.clock_drift_ms.set(self.clock_drift_ms());
        self.view.tick(report, self.ms_to_ceiling(), self.now());
        let failing = self.lease.status.borrow().iter().any(|status| status.high_water_failing);
        self.metrics.high_water_failing.set(failing.into());
    }

    fn ms_to_ceiling(&self) -> Option<u64> {
        match self.lease_fact() {
            LeaseFact::Holding { ms_to_ceiling } => Some(ms_to_ceiling),
            _ => None,
        }
    }

    fn now(&self) -> Now {
        Now {
            boot_us: clock::boot_us(),
            server_ms: clock::real_us() / 1_000 + self.lease.offset_ms() as i64,
            standby: matches!(self.lease_fact(), LeaseFact::Standby { .. }),
        }
    }

    fn facts(&self) -> Facts {
        let boot_us = self.clock.now().boot_us;
        let recent = self.outcomes.recent(boot_us);
        Facts {
            lease: self.lease_fact(),
            p99_ms: self.outcomes.p99(boot_us).map(|p99| p99.as_secs_f64() * 1_000.0),
            clock_drift_ms: self.clock_drift_ms(),
            ntp_synchronized: clock::kernel_state().synchronized,
            failed: recent.failed,
            requests: recent.served + recent.failed,
        }
    }

    /// The best of what is true of its slots: a node that can issue from one of them can issue.
    fn lease_fact(&self) -> LeaseFact {
        if *self.stopping.borrow() {
            return LeaseFact::Stopping;
        }
        let longest = self.lease.grants.borrow().iter().flatten().map(|grant| left_ms(grant, &self.clock)).max();
        match longest {
            Some(0) => LeaseFact::Spent,
            Some(ms_to_ceiling) => LeaseFact::Holding { ms_to_ceiling },
            None => waits(&self.lease.status.borrow()),
        }
    }

    /// The worst of what two sources say: the coordination service's clock, and the time since boot.
    fn clock_drift_ms(&self) -> f64 {
        let service = self.lease.offset.borrow().map_or(0.0, |o| (o.offset_ms.abs() - o.error_ms).max(0.0));
        self.clock.deviation_ms().abs().max(service)
    }
}

/// What a request would find below the ceiling: the counter may be ahead of the clock.
fn left_ms(grant: &Grant, clock: &Clock) -> u64 {
    if grant.is_sealed() {
        return 0;
    }
    let next = clock.now().credible().max(grant.layout().millis(grant.position()));
    grant.ceiling().saturating_sub(next)
}

/// What a process waits for that has no grant: the keeper that is nearest to one tells.
fn waits(status: &[keeper::Status]) -> LeaseFact {
    let rank = |status: &keeper::Status| match status.phase {
        Phase::Standby { rank } => Some(rank),
        _ => None,
    };
    if let Some(rank) = status.iter().filter_map(rank).min() {
        return LeaseFact::Standby { rank };
    }
    let any = |phase| status.iter().any(|status| status.phase == phase);
    if any(Phase::Ineligible) {
        return LeaseFact::Ineligible;
    }
    if any(Phase::Stopping) {
        return LeaseFact::Stopping;
    }
    LeaseFact::Connecting { trouble: status.iter().find_map(|status| status.trouble.clone()) }
}

/// The limits of a manifest and what is switched off, there or by name.
pub fn limits(health: &crate::topology::Health, off: impl IntoIterator<Item = Criterion>) -> Limits {
    let mut off: std::collections::BTreeSet<Criterion> = off.into_iter().collect();
    if health.response_time_ms.is_none() {
        off.insert(Criterion::ResponseTimeMs);
    }
    if health.clock_drift_ms.is_none() {
        off.insert(Criterion::ClockDriftMs);
    }
    if !health.ntp_synchronized {
        off.insert(Criterion::NtpSynchronized);
    }
    Limits {
        response_time_ms: health.response_time_ms.unwrap_or(u64::MAX) as f64,
        clock_drift_ms: health.clock_drift_ms.unwrap_or(u64::MAX) as f64,
        error_ratio: 0.5,
        off,
    }
}

/// `meridian_lease_remaining_seconds`: a line for each slot that is held, as it is when it is asked for.
#[derive(Debug)]
struct Ceilings {
    clock: Arc<Clock>,
    grants: watch::Receiver<Vec<Option<Arc<Grant>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkerLabel {
    worker: u16,
}

impl Collector for Ceilings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let help = "How far the ceiling of each worker is ahead of the clock; its ids stop at 0";
        let mut family = encoder.encode_descriptor("lease_remaining_seconds", help, None, MetricType::Gauge)?;
        for grant in self.grants.borrow().iter().flatten() {
            let worker = WorkerLabel { worker: grant.origin().worker };
            let seconds = left_ms(grant, &self.clock) as f64 / 1_000.0;
            ConstGauge::new(seconds).encode(family.encode_family(&worker)?)?;
        }
        Ok(())
    }
}
