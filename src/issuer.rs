//! The one door to ids: takes from the leases of this moment and keeps the wait that is owed for it.

mod slots;
mod utilization;

use crate::clock::Clock;
use crate::generator::Refusal;
use crate::id::{IdRange, Layout, Origin};
use crate::lease::grant::{Grant, Ticks};
use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use slots::{Backlog, Slots};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use utilization::Utilization;

/// Gives ids while there is a grant to take them from.
#[derive(Debug)]
pub struct Issuer {
    clock: Arc<Clock>,
    max_wait: Duration,
    slots: ArcSwap<Slots>,
    metrics: Metrics,
    /// What all slots have for one millisecond, or had when there last was one, for the utilisation; 0 before the first.
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

/// The ranges of some claims, ascending.
#[derive(Clone, Debug)]
pub struct Ranges {
    /// The claim that has the next id, unless it is used up.
    now: Claim,
    /// The others that are not used up.
    rest: Vec<Claim>,
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
/// id meanwhile gets it after that much and [`LEAD`] at the latest, and not after a million.
pub const SLICE_MS: u64 = 4;

/// A slice is claimed when what was given before is at most this far ahead of the clock.
const LEAD: Duration = Duration::from_millis(1);

/// How far behind the clock a turn may begin: as far as the generator fills up what passed unused.
const CREDIT_US: u64 = 10_000;

/// When the slices of a request may be claimed, and from how many slots at once.
#[derive(Clone, Copy, Debug)]
struct Turn {
    from_us: u64,
    slots: u32,
    /// Of each.
    ids_per_ms: u32,
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
    pub fn layout(&self) -> Layout {
        self.first.layout
    }

    pub fn count(&self) -> u64 {
        std::iter::once(&self.first).chain(&self.rest).map(|claim| claim.ticks.to.0 - claim.ticks.from.0).sum()
    }

    /// One range for each millisecond and worker; two where slices of somebody else came between. Ascending.
    pub fn ranges(&self) -> Ranges {
        Ranges { now: self.first, rest: self.rest.clone() }
    }

    /// Each id, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        self.ranges().flat_map(IdRange::ids)
    }

    /// Slices of a worker nobody came between are one run of ticks again.
    fn push(&mut self, claim: Claim) {
        let follows = |last: &&mut Claim| last.origin == claim.origin && last.ticks.to == claim.ticks.from;
        match std::iter::once(&mut self.first).chain(&mut self.rest).rev().find(follows) {
            Some(last) => last.ticks.to = claim.ticks.to,
            None => self.rest.push(claim),
        }
    }
}

impl From<Claim> for Issued {
    fn from(first: Claim) -> Issued {
        Issued { first, rest: Vec::new(), waited: Duration::ZERO }
    }
}

impl Claim {
    fn is_used_up(&self) -> bool {
        self.ticks.from == self.ticks.to
    }

    fn next_id(&self) -> u64 {
        self.layout.id(self.origin, self.ticks.from)
    }
}

impl Iterator for Ranges {
    type Item = IdRange;

    fn next(&mut self) -> Option<IdRange> {
        if let Some(least) = (0..self.rest.len()).min_by_key(|index| self.rest[*index].next_id()) {
            if self.now.is_used_up() {
                self.now = self.rest.swap_remove(least);
            } else if self.rest[least].next_id() < self.now.next_id() {
                std::mem::swap(&mut self.now, &mut self.rest[least]);
            }
        }
        let Claim { layout, origin, ticks } = self.now;
        let range = layout.ranges(origin, ticks.from, ticks.to).next()?;
        self.now.ticks.from.0 += u64::from(range.count);
        Some(range)
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
        registry.register_collector(Box::new(Utilization::new(clock.clone(), metrics.ids.clone(), ids_per_ms.clone())));
        Issuer {
            clock,
            max_wait,
            slots: ArcSwap::default(),
            metrics,
            ids_per_ms,
            booked_us: Mutex::default(),
            claiming: Mutex::default(),
        }
    }

    /// Issues from these grants from now on, or from none.
    pub fn install(&self, grants: impl IntoIterator<Item = Arc<Grant>>) {
        let slots = self.slots.load().with(grants, self.max_wait, self.clock.now());
        if slots.ids_per_ms_of_all() > 0 {
            self.ids_per_ms.store(slots.ids_per_ms_of_all(), Relaxed);
        }
        self.slots.store(Arc::new(slots));
    }

    /// Issues one id if it is there now, and says when that was, of the clock nobody sets. `None`: [`Issuer::issue`] waits for
    /// it, or says why there is none.
    pub fn issue_now(&self) -> Option<(u64, u64)> {
        let now = self.clock.now();
        let taken = self.slots.load().take(now, 1, Duration::ZERO).ok()?;
        let (claim, wait) = self.counted(taken);
        // Who was faster may have left one that has to be waited for: it is given to nobody.
        wait.is_zero().then(|| (claim.next_id(), now.boot_us))
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
    /// Up to one millisecond's ids are one claim on one slot. More are claimed in slices, each when its time has come, by all
    /// who want so many in turn: between two slices there is room for those who want few.
    pub async fn issue_within(&self, count: u32, within: Duration) -> Result<Issued, Refused> {
        let taken = {
            let slots = self.slots.load();
            let one_claim = u64::from(count) <= slots.ids_per_ms();
            one_claim.then(|| slots.take(self.clock.now(), count, within))
        };
        let Some(taken) = taken else { return self.issue_in_turn(count, within).await };
        let (claim, wait) = self.counted(taken?);
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
        let asked_us = self.clock.now().boot_us;
        let Turn { mut from_us, slots, ids_per_ms } = self.book(count.max(1), within)?;
        let waiting = self.metrics.wait();
        let mut issued: Option<Issued> = None;
        let mut slept = false;
        let mut reached_us = asked_us;
        let mut left = count.max(1);
        while left > 0 {
            // A slice of every slot at the same time: together they are as fast as all of them.
            let slice = left.div_ceil(slots).clamp(ids_per_ms, SLICE_MS as u32 * ids_per_ms);
            for _ in 0..slots.min(left.div_ceil(slice)) {
                let n = left.min(slice);
                let (claim, wait) = self.claim_in_turn(n, from_us, &mut slept).await?;
                reached_us = reached_us.max(self.clock.now().boot_us + wait.as_micros() as u64);
                match &mut issued {
                    Some(issued) => issued.push(claim),
                    None => issued = Some(Issued::from(claim)),
                }
                left -= n;
            }
            from_us += u64::from(slice) * 1_000 / u64::from(ids_per_ms);
        }
        slept |= self.sleep_until(reached_us).await;
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
    fn book(&self, count: u32, within: Duration) -> Result<Turn, Refused> {
        let mut booked_us = self.booked_us.lock().expect("no holder of this lock panics");
        let all = self.slots.load();
        let now = self.clock.now();
        let Backlog { slots, lead } = all.backlog(now, count)?;
        let lead_us = lead.as_micros() as u64;
        let unused = *booked_us + CREDIT_US < now.boot_us;
        let from_us = if unused || lead_us > 0 { booked_us.max(now.boot_us + lead_us) } else { *booked_us };
        let to_us = from_us + u64::from(count) * 1_000 / (all.ids_per_ms() * u64::from(slots));
        let wait = Duration::from_micros(to_us.saturating_sub(now.boot_us));
        if wait > self.max_wait {
            return Err(Refused::Ahead(wait - self.max_wait));
        }
        if wait > within {
            return Err(Refused::Late);
        }
        *booked_us = to_us;
        Ok(Turn { from_us, slots, ids_per_ms: u32::try_from(all.ids_per_ms()).unwrap_or(u32::MAX / SLICE_MS as u32) })
    }

    /// Claims a slice at its time, or as soon after it as those who want few have let the clock catch up, and says how long
    /// it takes the clock to reach it. Its time is when the clock is as near as a claim asks for: who is alone, and was just
    /// given the slice before, then sleeps once for both.
    async fn claim_in_turn(&self, n: u32, turn_us: u64, slept: &mut bool) -> Result<(Claim, Duration), Refused> {
        *slept |= self.sleep_until(turn_us.saturating_sub(LEAD.as_micros() as u64)).await;
        loop {
            let by = match self.claim_if_caught_up(n) {
                Err(Refused::Ahead(by)) => by,
                claimed => return claimed,
            };
            let late = Duration::from_micros(self.clock.now().boot_us.saturating_sub(turn_us));
            if late > self.max_wait {
                return Err(Refused::Ahead(by));
            }
            *slept = true;
            tokio::time::sleep(by).await;
        }
    }

    /// A slice of a slot, unless what was given of all of them is ahead of the clock already: then by how much. One at a
    /// time, so that two slices are never ahead of the clock at once in one slot.
    fn claim_if_caught_up(&self, n: u32) -> Result<(Claim, Duration), Refused> {
        let _one = self.claiming.lock().expect("no holder of this lock panics");
        let taken = self.slots.load().take_least_ahead(self.clock.now(), n, Duration::MAX, LEAD)?;
        Ok(self.counted(taken))
    }

    /// Whether there was anything to wait for.
    async fn sleep_until(&self, boot_us: u64) -> bool {
        let early = Duration::from_micros(boot_us.saturating_sub(self.clock.now().boot_us));
        if !early.is_zero() {
            tokio::time::sleep(early).await;
        }
        !early.is_zero()
    }

    fn counted(&self, taken: (Claim, Duration)) -> (Claim, Duration) {
        let ticks = &taken.0.ticks;
        self.metrics.ids.inc_by(ticks.to.0 - ticks.from.0);
        taken
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

    fn several(clock: &Clock, n: u16) -> Vec<Arc<Grant>> {
        let floor = clock.now().credible();
        let grant = |worker| Grant::new(SNOWFLAKE64, Origin { datacenter: 3, worker }, floor, floor + 60_000);
        (0..n).map(|worker| Arc::new(grant(worker))).collect()
    }

    /// How many workers the ids are of. They ascend, so none is there twice.
    fn workers(issued: &Issued) -> usize {
        let mut last = None;
        let mut workers = std::collections::BTreeSet::new();
        for range in issued.ranges() {
            assert!(last < Some(range.first), "ranges ascend");
            last = range.ids().last();
            workers.insert(SNOWFLAKE64.decode(range.first).unwrap().origin.worker);
        }
        workers.len()
    }

    #[tokio::test]
    async fn a_large_request_is_as_fast_as_all_slots_together() {
        let (issuer, clock) = issuer();
        issuer.install(several(&clock, 16));
        let turn = issuer.book(1_000_000, Duration::MAX).unwrap();
        let booked_us = *issuer.booked_us.lock().unwrap() - turn.from_us;
        assert_eq!((turn.slots, booked_us), (16, 15_258), "a sixteenth of 244 ms");
        let issued = issuer.issue(1_000_000).await.unwrap();
        println!("1,000,000 ids of 16 slots: {:?}", issued.waited);
        assert_eq!((issued.count(), workers(&issued)), (1_000_000, 16));
        let last = SNOWFLAKE64.decode(issued.ids().last().unwrap()).unwrap().timestamp;
        assert!(last <= clock.now().credible(), "no id from the future is shown");
        assert_eq!(workers(&issuer.issue(5_000).await.unwrap()), 2, "no more slots than it takes");
    }

    #[tokio::test]
    async fn a_slot_lost_on_the_way_fails_nobody() {
        let (issuer, clock) = issuer();
        let grants = several(&clock, 2);
        issuer.install(grants.iter().cloned());
        let mut large = std::pin::pin!(issuer.issue(1_000_000));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(large.as_mut().poll(cx).is_pending())).await);
        grants[0].seal();
        for _ in 0..10 {
            assert_eq!(issuer.issue(1).await.unwrap().first.origin.worker, 1);
        }
        issuer.install([grants[1].clone()]);
        let issued = large.await.unwrap();
        assert_eq!((issued.count(), workers(&issued)), (1_000_000, 2));
        grants[1].seal();
        assert_eq!(issuer.issue(1).await, Err(Refused::Spent));
        assert_eq!(issuer.issue(1_000_000).await, Err(Refused::Spent));
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
