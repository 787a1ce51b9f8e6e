//! The truth about this node, as a verdict: can it issue an id now, and would it like traffic?
//!
//! Reads lease, clock and outcomes; nothing reads it but those who ask.

pub mod region;
pub mod report;
pub mod verdict;
mod view;

use crate::clock::{self, Clock};
use crate::lease::keeper::Watched;
use crate::lease::state::Phase;
use crate::lease::survey::{Known, Pulse};
use crate::outcomes::Outcomes;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use region::RegionReport;
use report::{Report, Status};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;
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
    ceiling_seconds: Gauge<f64, AtomicU64>,
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
        registry.register(
            "lease_remaining_seconds",
            "How far the ceiling is ahead of the clock; ids stop at 0",
            metrics.ceiling_seconds.clone(),
        );
        registry.register(
            "high_water_failing",
            "1 while the disk does not take high-water marks; issuing goes on without this second line of defence",
            metrics.high_water_failing.clone(),
        );
        let recovery = Mutex::default();
        let Region { name: region, datacenter, known, pulse, hold_ms } = region;
        let view = View::new(known, pulse, hold_ms, registry);
        Health { region, datacenter, limits, clock, lease, outcomes, stopping, recovery, view, metrics }
    }

    /// The verdict of this moment. Failing shows at once; the way back needs two good looks.
    pub fn report(&self) -> Report {
        let facts = self.facts();
        let worker = self.lease.grants.borrow().as_ref().map(|grant| grant.origin().worker);
        let nameplate = Nameplate { region: self.region.clone(), datacenter: self.datacenter, worker };
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
            LeaseFact::Holding { .. } if self.lease.status.borrow().phase == Phase::Leaving => {
                Err("leaving: the quota shrank; the node still issues and gives its slot back".to_owned())
            }
            LeaseFact::Holding { .. } => Ok(()),
            other => {
                let (observed, detail) = verdict::describe(&other);
                Err(detail.map_or(observed.clone(), |detail| format!("{observed}: {detail}")))
            }
        }
    }

    /// Waits until something new is known of the region.
    pub async fn changed(&self) {
        self.view.changed().await;
    }

    /// Looks once for the metrics and for the way back, which counts looks; called every second.
    pub fn tick(&self) {
        let report = self.report();
        self.metrics.healthy.set((report.status == Status::Pass).into());
        self.metrics.ready.set(self.ready().is_ok().into());
        self.metrics.clock_drift_ms.set(self.clock_drift_ms());
        let remaining_ms = self.ms_to_ceiling();
        self.metrics.ceiling_seconds.set(remaining_ms.unwrap_or(0) as f64 / 1_000.0);
        self.view.tick(report, remaining_ms, self.now());
        self.metrics.high_water_failing.set(self.lease.status.borrow().high_water_failing.into());
    }

    fn ms_to_ceiling(&self) -> Option<u64> {
        match self.lease_fact() {
            LeaseFact::Holding { ms_to_ceiling } => Some(ms_to_ceiling),
            _ => None,
        }
    }

    fn now(&self) -> Now {
        let offset_ms = self.lease.status.borrow().offset.map_or(0.0, |offset| offset.offset_ms);
        Now {
            boot_us: clock::boot_us(),
            server_ms: clock::real_us() / 1_000 + offset_ms as i64,
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

    fn lease_fact(&self) -> LeaseFact {
        if *self.stopping.borrow() {
            return LeaseFact::Stopping;
        }
        if let Some(grant) = self.lease.grants.borrow().as_ref() {
            // What counts is what a request would find: the counter may be ahead of the clock.
            let next = self.clock.now().credible().max(grant.layout().millis(grant.position()));
            return match grant.ceiling().saturating_sub(next) {
                0 => LeaseFact::Spent,
                _ if grant.is_sealed() => LeaseFact::Spent,
                ms_to_ceiling => LeaseFact::Holding { ms_to_ceiling },
            };
        }
        let status = self.lease.status.borrow();
        match status.phase {
            Phase::Standby { rank } => LeaseFact::Standby { rank },
            Phase::Ineligible => LeaseFact::Ineligible,
            Phase::Stopping => LeaseFact::Stopping,
            Phase::Connecting | Phase::Holding | Phase::Leaving | Phase::Detached => {
                LeaseFact::Connecting { trouble: status.trouble.clone() }
            }
        }
    }

    /// The worst of what two sources say: the coordination service's clock, and the time since boot.
    fn clock_drift_ms(&self) -> f64 {
        let service = self.lease.status.borrow().offset.map_or(0.0, |o| (o.offset_ms.abs() - o.error_ms).max(0.0));
        self.clock.deviation_ms().abs().max(service)
    }
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
