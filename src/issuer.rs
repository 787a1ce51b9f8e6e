//! The one door to ids: takes from the lease of this moment and keeps the wait that is owed for it.

use crate::clock::Clock;
use crate::generator::{Generator, Refusal};
use crate::id::{IdRange, Layout, Origin};
use crate::lease::grant::{Grant, Ticks};
use arc_swap::ArcSwapOption;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

/// Gives ids while there is a grant to take them from.
#[derive(Debug)]
pub struct Issuer {
    clock: Arc<Clock>,
    max_wait: Duration,
    generator: ArcSwapOption<Generator>,
    metrics: Metrics,
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
        Issuer { clock, max_wait, generator: ArcSwapOption::empty(), metrics }
    }

    /// Issues from this grant from now on, or from none.
    pub fn install(&self, grant: Option<Arc<Grant>>) {
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
    async fn a_large_request_is_one_wait_and_ends_in_the_present() {
        let (issuer, clock) = issuer();
        issuer.install(Some(grant(&clock, 5_000)));
        let issued = issuer.issue(100_000).await.unwrap();
        assert_eq!(issued.ids().count(), 100_000);
        let last = SNOWFLAKE64.millis(crate::id::Tick(issued.ticks.to.0 - 1));
        assert!(last <= clock.now().credible(), "no id from the future is shown");
    }
}
