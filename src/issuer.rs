//! The one door to ids: takes from the lease of this moment and keeps the wait that is owed for it.

use crate::clock::Clock;
use crate::generator::{Generator, Refusal};
use crate::id::{IdRange, Layout, Origin};
use crate::lease::grant::{Grant, Ticks};
use arc_swap::ArcSwapOption;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Gives ids while there is a grant to take them from.
#[derive(Debug)]
pub struct Issuer {
    clock: Arc<Clock>,
    max_wait: Duration,
    generator: ArcSwapOption<Generator>,
    metrics: Metrics,
    /// The share of one millisecond's sequence, for the utilisation; 0 before the first grant.
    ids_per_ms: Arc<AtomicU64>,
}

/// The ids of one request, not yet spelt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    pub layout: Layout,
    pub origin: Origin,
    pub ticks: Ticks,
    /// How long the request waited for the clock, because it asked for more than this moment has.
    pub waited: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("this node holds no slot")]
    NoLease,
    #[error("this node's lease has run out, and could not be extended in time")]
    Spent,
    /// Shedding: the worker is so far ahead of the clock that the request would wait too long.
    #[error("this worker is ahead of the clock by the longest wait allowed; try again in {0:?}")]
    Ahead(Duration),
}

#[derive(Debug, Default)]
struct Metrics {
    ids: Counter,
    overflows: Counter,
    waiting: Gauge,
    wait_seconds: WaitHistogram,
}

#[derive(Debug)]
struct WaitHistogram(Histogram);

impl Default for WaitHistogram {
    fn default() -> WaitHistogram {
        WaitHistogram(Histogram::new(exponential_buckets(0.000_5, 2.0, 12)))
    }
}

impl Issued {
    pub fn count(&self) -> u64 {
        self.ticks.to.0 - self.ticks.from.0
    }

    /// One range for each millisecond.
    pub fn ranges(&self) -> impl Iterator<Item = IdRange> + Clone + use<> {
        self.layout.ranges(self.origin, self.ticks.from, self.ticks.to)
    }

    /// Each id, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        self.ranges().flat_map(IdRange::ids)
    }
}

impl Issuer {
    /// `max_wait`: the longest a request may run ahead of the clock.
    pub fn new(clock: Arc<Clock>, max_wait: Duration, registry: &mut Registry) -> Issuer {
        let metrics = Metrics::default();
        registry.register("ids", "Ids issued", metrics.ids.clone());
        registry.register(
            "sequence_overflow",
            "Requests that needed more ids than the present millisecond had left, and waited",
            metrics.overflows.clone(),
        );
        registry.register("requests_queued", "Requests waiting for the clock", metrics.waiting.clone());
        registry.register_with_unit(
            "overflow_wait",
            "Time requests waited for the clock",
            Unit::Seconds,
            metrics.wait_seconds.0.clone(),
        );
        let ids_per_ms = Arc::new(AtomicU64::new(0));
        registry.register_collector(Box::new(Utilization {
            clock: clock.clone(),
            ids: metrics.ids.clone(),
            ids_per_ms: ids_per_ms.clone(),
            looks: Mutex::default(),
        }));
        Issuer { clock, max_wait, generator: ArcSwapOption::empty(), metrics, ids_per_ms }
    }

    /// Issues from this grant from now on, or from none.
    pub fn install(&self, grant: Option<Arc<Grant>>) {
        if let Some(grant) = &grant {
            self.ids_per_ms.store(grant.layout().ids_per_ms(), Relaxed);
        }
        let generator = grant.map(|grant| Arc::new(Generator::new(grant, self.max_wait, self.clock.now())));
        self.generator.store(generator);
    }

    /// Issues `count` ids, all or none. Waits for the clock if they are more than the present millisecond has left.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits loses the ids it would have shown (they are given to nobody), nothing else.
    pub async fn issue(&self, count: u32) -> Result<Issued, Refused> {
        let (issued, wait) = self.take(count)?;
        if !wait.is_zero() {
            self.metrics.overflows.inc();
            self.metrics.waiting.inc();
            let _leave = Leave(&self.metrics.waiting);
            tokio::time::sleep(wait).await;
            self.metrics.wait_seconds.0.observe(wait.as_secs_f64());
        }
        Ok(issued)
    }

    fn take(&self, count: u32) -> Result<(Issued, Duration), Refused> {
        let generator = self.generator.load();
        let generator = generator.as_ref().ok_or(Refused::NoLease)?;
        let taken = generator.take(self.clock.now(), count).map_err(|refusal| match refusal {
            Refusal::Spent => Refused::Spent,
            Refusal::Ahead(by) => Refused::Ahead(by),
        })?;
        let issued =
            Issued { layout: generator.layout(), origin: generator.origin(), ticks: taken.ticks, waited: taken.wait };
        self.metrics.ids.inc_by(issued.count());
        Ok((issued, taken.wait))
    }
}

/// `meridian_sequence_utilization_ratio`: the share of the format's ids (4,096 a millisecond) that was used, computed at
/// scrape from the counter of ids. It covers the time since the last look that is at least [`RECENT_US`] old, so that
/// several scrapers do not shorten each other's interval, and the hot path pays nothing.
#[derive(Debug)]
struct Utilization {
    clock: Arc<Clock>,
    ids: Counter,
    ids_per_ms: Arc<AtomicU64>,
    looks: Mutex<Looks>,
}

/// Two past looks: one to measure from, and a younger one that takes its place when it is old enough.
#[derive(Debug, Default)]
struct Looks {
    from: Option<Look>,
    next: Option<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    boot_us: u64,
    ids: u64,
}

/// The shortest time the utilisation is taken over, unless the process is younger.
const RECENT_US: u64 = 5_000_000;

impl Looks {
    /// Ids a millisecond, as seen from `now`.
    fn rate(&mut self, now: Look) -> f64 {
        let old_enough = |look: &Look| now.boot_us.saturating_sub(look.boot_us) >= RECENT_US;
        if let Some(next) = self.next.filter(old_enough) {
            self.from = Some(next);
            self.next = Some(now);
        }
        self.next.get_or_insert(now);
        let from = *self.from.get_or_insert(now);
        match now.boot_us.saturating_sub(from.boot_us) {
            0 => 0.0,
            us => now.ids.saturating_sub(from.ids) as f64 * 1_000.0 / us as f64,
        }
    }
}

impl Collector for Utilization {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let now = Look { boot_us: self.clock.now().boot_us, ids: self.ids.get() };
        let rate = self.looks.lock().expect("no holder of this lock panics").rate(now);
        let share = match self.ids_per_ms.load(Relaxed) {
            0 => 0.0,
            ids_per_ms => rate / ids_per_ms as f64,
        };
        let unit = Unit::Other("ratio".to_owned());
        let encoder = encoder.encode_descriptor(
            "sequence_utilization",
            "Share of the ids the format has for one worker that were used recently",
            Some(&unit),
            MetricType::Gauge,
        )?;
        ConstGauge::new(share).encode(encoder)
    }
}

/// Counts a waiting request out, also when its client has gone.
struct Leave<'a>(&'a Gauge);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SNOWFLAKE64;

    fn issuer() -> (Issuer, Arc<Clock>) {
        let clock = Arc::new(Clock::start(1_704_067_200_000));
        (Issuer::new(clock.clone(), Duration::from_secs(1), &mut Registry::default()), clock)
    }

    fn grant(clock: &Clock, window_ms: u64) -> Arc<Grant> {
        let floor = clock.now().credible();
        Arc::new(Grant::new(SNOWFLAKE64, Origin { datacenter: 3, worker: 17 }, floor, floor + window_ms))
    }

    #[tokio::test]
    async fn no_grant_no_ids() {
        let (issuer, clock) = issuer();
        assert_eq!(issuer.issue(1).await, Err(Refused::NoLease));
        let grant = grant(&clock, 5_000);
        issuer.install(Some(grant.clone()));
        assert_eq!(issuer.issue(3).await.unwrap().count(), 3);
        grant.seal();
        assert_eq!(issuer.issue(1).await, Err(Refused::Spent));
        issuer.install(None);
        assert_eq!(issuer.issue(1).await, Err(Refused::NoLease));
    }

    #[tokio::test]
    async fn metrics_keep_their_names() {
        let mut registry = crate::metrics::registry();
        let clock = Arc::new(Clock::start(1_704_067_200_000));
        let issuer = Issuer::new(clock.clone(), Duration::from_secs(1), &mut registry);
        issuer.install(Some(grant(&clock, 5_000)));
        issuer.issue(5_000).await.unwrap();
        let text = crate::metrics::text(&registry).unwrap();
        for line in [
            "meridian_ids_total 5000",
            "meridian_sequence_overflow_total 1",
            "meridian_requests_queued 0",
            "meridian_overflow_wait_seconds_count 1",
            "meridian_sequence_utilization_ratio 0.0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn utilization_covers_a_recent_interval_whoever_asks() {
        let mut looks = Looks::default();
        let mut rate = |second: u64, ids: u64| looks.rate(Look { boot_us: second * 1_000_000, ids });
        assert_eq!(rate(100, 0), 0.0);
        assert_eq!(rate(110, 20_480_000), 2_048.0);
        assert_eq!(rate(111, 20_480_000), 20_480.0 / 11.0, "a second scraper measures from the same look");
        assert_eq!(rate(125, 20_480_000), 0.0, "from 110 on nothing was issued");
    }

    #[tokio::test]
    async fn a_large_request_is_one_wait_and_ends_in_the_present() {
        let (issuer, clock) = issuer();
        issuer.install(Some(grant(&clock, 5_000)));
        let issued = issuer.issue(100_000).await.unwrap();
        assert_eq!(issued.ids().count(), 100_000);
        let last = SNOWFLAKE64.millis(crate::id::Tick(issued.ticks.to.0 - 1));
        assert!(last <= clock.now().credible(), "no id from the future is shown");
    }
}
