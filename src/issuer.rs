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
    /// Until when slices are booked, of the clock nobody sets.
    booked_us: Mutex<u64>,
    claiming: Mutex<()>,
}

/// The ids of one request, not yet spelt out: one claim, or the slices of a large request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    first: Claim,
    rest: Vec<Claim>,
    /// How long the request waited for the clock and its turn, because it asked for more than this moment has.
    pub waited: Duration,
}

/// Ticks taken at once, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub layout: Layout,
    pub origin: Origin,
    pub ticks: Ticks,
}

/// The ranges of some claims, in the order they were taken.
#[derive(Clone, Debug)]
pub struct Ranges {
    now: Claim,
    rest: std::vec::IntoIter<Claim>,
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
    /// Nothing was taken.
    #[error("the wait would be longer than the caller's")]
    Late,
}

/// How many milliseconds of ids are claimed at once by those who want more than one millisecond's: whoever wants a single
/// id meanwhile gets it after that much at the latest, and not after a million.
pub const SLICE_MS: u64 = 4;

/// A slice is claimed when what was given before is at most this far ahead of the clock.
const LEAD: Duration = Duration::from_millis(1);

/// How far behind the clock a turn may begin: as far as the generator fills up what passed unused.
const CREDIT_US: u64 = 10_000;

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
    pub fn layout(&self) -> Layout {
        self.first.layout
    }

    pub fn count(&self) -> u64 {
        std::iter::once(&self.first).chain(&self.rest).map(|claim| claim.ticks.to.0 - claim.ticks.from.0).sum()
    }

    /// One range for each millisecond; two where slices of somebody else came between.
    pub fn ranges(&self) -> Ranges {
        Ranges { now: self.first, rest: self.rest.clone().into_iter() }
    }

    /// Each id. Ascending, unless the node got another slot in the middle of a large request.
    pub fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        self.ranges().flat_map(IdRange::ids)
    }

    /// Slices nobody came between are one run of ticks again.
    fn push(&mut self, claim: Claim) {
        let last = self.rest.last_mut().unwrap_or(&mut self.first);
        if last.origin == claim.origin && last.ticks.to == claim.ticks.from {
            last.ticks.to = claim.ticks.to;
        } else {
            self.rest.push(claim);
        }
    }
}

impl From<Claim> for Issued {
    fn from(first: Claim) -> Issued {
        Issued { first, rest: Vec::new(), waited: Duration::ZERO }
    }
}

impl Iterator for Ranges {
    type Item = IdRange;

    fn next(&mut self) -> Option<IdRange> {
        loop {
            let Claim { layout, origin, ticks } = self.now;
            if let Some(range) = layout.ranges(origin, ticks.from, ticks.to).next() {
                self.now.ticks.from.0 += u64::from(range.count);
                return Some(range);
            }
            self.now = self.rest.next()?;
        }
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
        Issuer {
            clock,
            max_wait,
            generator: ArcSwapOption::empty(),
            metrics,
            ids_per_ms,
            booked_us: Mutex::default(),
            claiming: Mutex::default(),
        }
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
        self.issue_within(count, Duration::MAX).await
    }

    /// The same for somebody who cannot wait longer than this: a wait known to be longer is refused at once, and nothing is
    /// taken.
    ///
    /// Up to one millisecond's ids are one claim. More are claimed in slices, each when its time has come, by all who want
    /// so many in turn: between two slices there is room for those who want few.
    pub async fn issue_within(&self, count: u32, within: Duration) -> Result<Issued, Refused> {
        let ids_per_ms = self.ids_per_ms.load(Relaxed);
        if ids_per_ms > 0 && u64::from(count) > ids_per_ms {
            return self.issue_in_turn(count, within).await;
        }
        let (claim, wait) = self.take(count, within)?;
        let mut issued = Issued::from(claim);
        if !wait.is_zero() {
            let waiting = self.metrics.wait();
            tokio::time::sleep(wait).await;
            waiting.over(wait);
            issued.waited = wait;
        }
        Ok(issued)
    }

    /// The same in slices and turns, however few: for those who ask again and again and would not let others in between.
    ///
    /// # Cancel safety
    /// As of `issue`.
    pub async fn issue_in_turn(&self, count: u32, within: Duration) -> Result<Issued, Refused> {
        let count = count.max(1);
        let ids_per_ms = match self.ids_per_ms.load(Relaxed) {
            0 => return Err(Refused::NoLease),
            ids_per_ms => ids_per_ms,
        };
        let asked_us = self.clock.now().boot_us;
        let mut turn_us = self.book(count, ids_per_ms, within)?;
        let waiting = self.metrics.wait();
        let slice = u32::try_from(SLICE_MS * ids_per_ms).unwrap_or(u32::MAX);
        let mut issued: Option<Issued> = None;
        let mut slept = false;
        let mut left = count;
        while left > 0 {
            let n = left.min(slice);
            let claim = self.claim_in_turn(n, turn_us, &mut slept).await?;
            match &mut issued {
                Some(issued) => issued.push(claim),
                None => issued = Some(Issued::from(claim)),
            }
            left -= n;
            turn_us += u64::from(n) * 1_000 / ids_per_ms;
        }
        let waited = Duration::from_micros(self.clock.now().boot_us.saturating_sub(asked_us));
        let mut issued = issued.ok_or(Refused::Spent)?;
        if slept {
            waiting.over(waited);
            issued.waited = waited;
        }
        Ok(issued)
    }

    /// A time from which on the slices of a request may be claimed, as long as they take after those booked before it. Nobody
    /// has to keep it, so nobody who stands still holds up the others.
    fn book(&self, count: u32, ids_per_ms: u64, within: Duration) -> Result<u64, Refused> {
        let mut booked_us = self.booked_us.lock().expect("no holder of this lock panics");
        let generator = self.generator.load();
        let generator = generator.as_ref().ok_or(Refused::NoLease)?;
        let now = self.clock.now();
        let lead_us = generator.lead(now, count)?.as_micros() as u64;
        let unused = *booked_us + CREDIT_US < now.boot_us;
        let from = if unused || lead_us > 0 { booked_us.max(now.boot_us + lead_us) } else { *booked_us };
        let to = from + u64::from(count) * 1_000 / ids_per_ms;
        let wait = Duration::from_micros(to.saturating_sub(now.boot_us));
        if wait > self.max_wait {
            return Err(Refused::Ahead(wait - self.max_wait));
        }
        if wait > within {
            return Err(Refused::Late);
        }
        *booked_us = to;
        Ok(from)
    }

    /// Claims a slice at its time, or as soon after it as those who want few have let the clock catch up; then waits for it.
    async fn claim_in_turn(&self, n: u32, turn_us: u64, slept: &mut bool) -> Result<Claim, Refused> {
        let early = Duration::from_micros(turn_us.saturating_sub(self.clock.now().boot_us));
        if !early.is_zero() {
            *slept = true;
            tokio::time::sleep(early).await;
        }
        let (claim, wait) = loop {
            let lead = match self.claim_if_caught_up(n)? {
                Ok(taken) => break taken,
                Err(lead) => lead,
            };
            let late = Duration::from_micros(self.clock.now().boot_us.saturating_sub(turn_us));
            if late > self.max_wait {
                return Err(Refused::Ahead(lead));
            }
            *slept = true;
            tokio::time::sleep(lead).await;
        };
        if !wait.is_zero() {
            *slept = true;
            tokio::time::sleep(wait).await;
        }
        Ok(claim)
    }

    /// A slice, unless what was given is ahead of the clock already: then by how much. One at a time, so that two slices are
    /// never ahead of the clock at once.
    fn claim_if_caught_up(&self, n: u32) -> Result<Result<(Claim, Duration), Duration>, Refused> {
        let _one = self.claiming.lock().expect("no holder of this lock panics");
        let generator = self.generator.load();
        let generator = generator.as_ref().ok_or(Refused::NoLease)?;
        let lead = generator.lead(self.clock.now(), n)?;
        if lead > LEAD {
            return Ok(Err(lead));
        }
        Ok(Ok(self.take(n, Duration::MAX)?))
    }

    fn take(&self, count: u32, within: Duration) -> Result<(Claim, Duration), Refused> {
        let generator = self.generator.load();
        let generator = generator.as_ref().ok_or(Refused::NoLease)?;
        let taken = generator.take_within(self.clock.now(), count, within)?;
        let claim = Claim { layout: generator.layout(), origin: generator.origin(), ticks: taken.ticks };
        self.metrics.ids.inc_by(taken.ticks.to.0 - taken.ticks.from.0);
        Ok((claim, taken.wait))
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        match refusal {
            Refusal::Spent => Refused::Spent,
            Refusal::Ahead(by) => Refused::Ahead(by),
            Refusal::Late => Refused::Late,
        }
    }
}

impl Metrics {
    fn wait(&self) -> Waiting<'_> {
        self.waiting.inc();
        Waiting(self)
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

/// A request that waits; counted out also when its client has gone.
struct Waiting<'a>(&'a Metrics);

impl Waiting<'_> {
    fn over(self, waited: Duration) {
        self.0.overflows.inc();
        self.0.wait_seconds.0.observe(waited.as_secs_f64());
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SNOWFLAKE64;
    use tokio::task::JoinSet;

    fn issuer() -> (Arc<Issuer>, Arc<Clock>) {
        let clock = Arc::new(Clock::start(1_704_067_200_000));
        (Arc::new(Issuer::new(clock.clone(), Duration::from_secs(1), &mut Registry::default())), clock)
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
        let last = SNOWFLAKE64.decode(issued.ids().last().unwrap()).unwrap().timestamp;
        assert!(last <= clock.now().credible(), "no id from the future is shown");
    }

    #[tokio::test]
    async fn a_single_id_waits_for_one_slice_at_most_whatever_others_want() {
        let (issuer, clock) = issuer();
        issuer.install(Some(grant(&clock, 60_000)));
        let mut large: JoinSet<_> = (0..4)
            .map(|_| {
                let issuer = issuer.clone();
                async move { issuer.issue(1_000_000).await.map(|issued| issued.ids().collect::<Vec<_>>()) }
            })
            .collect();
        let mut ids = Vec::new();
        while let Some(()) = pending_or_done(&mut large, &mut ids).await {
            let single = issuer.issue(1).await.unwrap();
            let most = Duration::from_millis(SLICE_MS) + 2 * LEAD;
            assert!(single.waited <= most, "{:?}", single.waited);
            ids.extend(single.ids());
        }
        assert!(ids.len() > 4_000_004, "single ids in between: {}", ids.len() - 4_000_000);
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    /// Takes what is done; `None` once all is.
    async fn pending_or_done(large: &mut JoinSet<Result<Vec<u64>, Refused>>, ids: &mut Vec<u64>) -> Option<()> {
        tokio::task::yield_now().await;
        while let Some(done) = large.try_join_next() {
            ids.extend(done.unwrap().unwrap());
        }
        (!large.is_empty()).then_some(())
    }

    #[tokio::test]
    async fn large_requests_are_refused_by_what_is_booked_before_they_take_anything() {
        let (issuer, clock) = issuer();
        issuer.install(Some(grant(&clock, 60_000)));
        let soon = Duration::from_millis(100);
        assert_eq!(issuer.issue_within(1_000_000, soon).await, Err(Refused::Late));
        assert_eq!(issuer.metrics.ids.get(), 0);
        let mut first = std::pin::pin!(issuer.issue(4_000_000));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
        let taken = issuer.metrics.ids.get();
        assert_eq!(taken, SLICE_MS * 4_096, "one slice and no more");
        assert!(matches!(issuer.issue(1_000_000).await, Err(Refused::Ahead(by)) if by < Duration::from_millis(250)));
        assert_eq!(issuer.issue_within(5_000, soon).await, Err(Refused::Late));
        assert_eq!(issuer.metrics.ids.get(), taken);
        let single = issuer.issue_within(1, soon).await.unwrap();
        assert!(single.waited <= soon);
    }
}
