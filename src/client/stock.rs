//! Ids at hand: taken with one compare-and-swap, each at most once, those of one worker strictly ascending.
//!
//! One span of consecutive ids is current, the others wait behind a lock that is taken once a span. A span is current
//! only after all of the one before it was given or dropped, so the order of the queue is the order of giving. A range
//! that arrives late is put before what is higher of the same worker, and dropped if higher ids of it were current
//! already; so is one that repeats ids.
//!
//! Pure: the time is an argument.

use super::span::{MOST_IDS, Span};
use crate::id::{IdRange, Layout, Origin};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

/// Ranges that may wait. Answers have one a millisecond, so that this is for those that make no sense.
const RANGES: usize = 1 << 14;

#[derive(Debug)]
pub struct Stock {
    layout: Layout,
    current: Span,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    queue: VecDeque<Lot>,
    /// Ids in the queue.
    queued: u64,
    pushed: u64,
    dropped: u64,
    /// Below it, the stock is low.
    low: u64,
    workers: HashMap<Origin, Marks>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    /// The lowest id that may still become current.
    current: u64,
    /// The lowest id above all in the queue.
    queued: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lot {
    range: IdRange,
    origin: Origin,
    best_before_us: u64,
}

/// What somebody got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Not empty, and no more than was asked for.
    pub range: Option<IdRange>,
    /// The stock is low with this one, or empty.
    pub low: bool,
}

impl Stock {
    pub fn new(layout: Layout) -> Stock {
        assert!(layout.ids_per_ms() < MOST_IDS, "the ids of a millisecond are a span at most");
        Stock { layout, current: Span::empty(), rest: Mutex::default() }
    }

    /// Up to `most` consecutive ids of the current span, and whether the stock is low with them: what nearly every id
    /// takes. `None`: ask [`take`](Stock::take).
    #[inline]
    pub fn take_current(&self, most: u32, now_us: u64) -> Option<(IdRange, bool)> {
        self.current.take(most.max(1), now_us)
    }

    /// Up to `most` consecutive ids, of the next span when the current one is given.
    pub fn take(&self, most: u32, now_us: u64) -> Taken {
        let most = most.max(1);
        let mut rest = self.rest();
        // Behind the lock, where nobody exchanges it.
        if let Some((range, low)) = self.current.take(most, now_us) {
            return Taken { range: Some(range), low };
        }
        rest.dropped += self.current.seal();
        while let Some(lot) = rest.pop() {
            let (first, count) = (lot.range.first, u64::from(lot.range.count));
            if now_us >= lot.best_before_us {
                rest.dropped += count;
                continue;
            }
            let given = most.min(lot.range.count);
            // The id after which fewer than `low` are left, here and in the queue.
            let alarm = (rest.queued + count).saturating_sub(rest.low.max(1));
            rest.workers.entry(lot.origin).or_default().current = first + count;
            self.current.exchange(lot.range, lot.best_before_us, alarm, given);
            return Taken { range: Some(IdRange { first, count: given }), low: alarm < given.into() };
        }
        Taken { range: None, low: true }
    }

    /// Lays in ids of one answer, and says how many were taken.
    pub fn push(&self, ranges: &[IdRange], best_before_us: u64) -> u64 {
        let mut rest = self.rest();
        let before = rest.queued;
        for range in ranges {
            let origin = self.layout.decode(range.first).map(|parts| parts.origin);
            let count = u64::from(range.count);
            rest.pushed += count;
            let took = origin.is_some_and(|origin| rest.insert(Lot { range: *range, origin, best_before_us }));
            if !took {
                rest.dropped += count;
            }
        }
        rest.queued - before
    }

    /// Below how many ids whoever takes one is told so.
    pub fn set_low(&self, low: u64) {
        self.rest().low = low;
    }

    /// Drops what has become too old, and says when the next will.
    pub fn expire(&self, now_us: u64) -> Option<u64> {
        let mut rest = self.rest();
        if now_us >= self.current.left().1 {
            rest.dropped += self.current.seal();
        }
        let mut dropped = 0;
        rest.queue.retain(|lot| {
            let keep = now_us < lot.best_before_us;
            dropped += if keep { 0 } else { u64::from(lot.range.count) };
            keep
        });
        rest.queued -= dropped;
        rest.dropped += dropped;
        let (left, best_before_us) = self.current.left();
        rest.queue.iter().map(|lot| lot.best_before_us).chain((left > 0).then_some(best_before_us)).min()
    }

    /// Ids at hand.
    pub fn left(&self) -> u64 {
        let rest = self.rest();
        rest.queued + self.current.left().0
    }

    /// Ids given and ids dropped, ever.
    pub fn used(&self) -> (u64, u64) {
        let rest = self.rest();
        let left = rest.queued + self.current.left().0;
        (rest.pushed - rest.dropped - left, rest.dropped)
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().expect("no holder of this lock panics")
    }
}

impl Rest {
    fn pop(&mut self) -> Option<Lot> {
        let lot = self.queue.pop_front()?;
        self.queued -= u64::from(lot.range.count);
        Some(lot)
    }

    /// `false`: these ids may not be given any more, or not again.
    fn insert(&mut self, lot: Lot) -> bool {
        let IdRange { first, count } = lot.range;
        let end = first + u64::from(count);
        let marks = self.workers.entry(lot.origin).or_default();
        if first < marks.current || self.queue.len() >= RANGES {
            return false;
        }
        let behind_all = first >= marks.queued;
        marks.queued = marks.queued.max(end);
        let place = if behind_all {
            self.queue.len()
        } else {
            let mut place = self.queue.len();
            for (index, other) in self.queue.iter().enumerate().filter(|(_, other)| other.origin == lot.origin) {
                let range = other.range.ids();
                if range.start < end && first < range.end {
                    return false; // ids that are there already
                }
                if range.start > first {
                    place = index;
                    break;
                }
            }
            place
        };
        self.queue.insert(place, lot);
        self.queued += u64::from(count);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Millis, SNOWFLAKE64, Tick};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn range(worker: u16, at: u64, count: u32) -> IdRange {
        let tick = Tick(SNOWFLAKE64.tick(Millis(at)).0);
        IdRange { first: SNOWFLAKE64.id(Origin { datacenter: 1, worker }, tick), count }
    }

    fn drain(stock: &Stock) -> Vec<u64> {
        std::iter::from_fn(|| stock.take(1, 0).range).map(|range| range.first).collect()
    }

    #[test]
    fn gives_each_once_and_in_order() {
        let stock = Stock::new(SNOWFLAKE64);
        assert_eq!(stock.take(1, 0), Taken { range: None, low: true });
        assert_eq!(stock.push(&[range(1, 5, 3), range(1, 6, 2)], 10), 5);
        let got = drain(&stock);
        let expect: Vec<u64> = range(1, 5, 3).ids().chain(range(1, 6, 2).ids()).collect();
        assert_eq!((got, stock.left(), stock.used()), (expect, 0, (5, 0)));
    }

    #[test]
    fn a_late_answer_is_put_in_its_place_or_dropped() {
        let stock = Stock::new(SNOWFLAKE64);
        stock.push(&[range(1, 7, 2)], 10);
        stock.push(&[range(2, 1, 1)], 10);
        assert_eq!(stock.push(&[range(1, 6, 2)], 10), 2, "before what is higher of its worker");
        assert_eq!(stock.push(&[range(1, 7, 1)], 10), 0, "there already");
        assert_eq!(stock.take(1, 0).range.unwrap().first, range(1, 6, 1).first);
        assert_eq!(stock.push(&[range(1, 5, 2)], 10), 0, "higher ones were given");
        assert_eq!(drain(&stock).len(), 4);
        assert_eq!(stock.used(), (5, 3));
    }

    #[test]
    fn says_once_that_it_is_low() {
        let stock = Stock::new(SNOWFLAKE64);
        stock.set_low(4);
        stock.push(&[range(1, 5, 6), range(1, 6, 2)], 10);
        let low: Vec<bool> = (0..9).map(|_| stock.take(1, 0).low).collect();
        assert_eq!(low, [false, false, false, false, true, false, true, false, true], "5th: 3 are left; each new span");
    }

    #[test]
    fn what_is_old_is_dropped_wherever_it_is() {
        let stock = Stock::new(SNOWFLAKE64);
        stock.push(&[range(1, 5, 3)], 10);
        stock.push(&[range(1, 6, 3)], 20);
        assert!(stock.take(1, 9).range.is_some());
        assert_eq!(stock.take(1, 10).range.unwrap().first, range(1, 6, 1).first);
        assert_eq!(stock.expire(15), Some(20));
        assert_eq!(stock.expire(20), None);
        assert_eq!((stock.take(1, 20).range, stock.left(), stock.used()), (None, 0, (2, 4)));
    }

    #[test]
    fn threads_share_without_a_duplicate_and_each_sees_a_worker_ascend() {
        let stock = Stock::new(SNOWFLAKE64);
        let all: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut got = Vec::new();
                        while got.last() != Some(&u64::MAX) {
                            match stock.take(3, 0).range {
                                Some(range) if range.first == 0 => got.push(u64::MAX),
                                Some(range) => got.extend(range.ids()),
                                None => std::thread::yield_now(),
                            }
                        }
                        got.pop();
                        got
                    })
                })
                .collect();
            for at in 1..400 {
                stock.push(&[range(1, at, 700), range(2, at, 300)], 10);
                stock.expire(0);
            }
            // Ids of no time: the sign for one taker to leave.
            for _ in 0..4 {
                while stock.left() > 0 {
                    std::thread::yield_now();
                }
                stock.rest().workers.clear();
                stock.push(&[IdRange { first: 0, count: 1 }], 10);
            }
            takers.into_iter().map(|taker| taker.join().unwrap()).collect()
        });
        let total: usize = all.iter().map(Vec::len).sum();
        let distinct: HashSet<u64> = all.iter().flatten().copied().collect();
        assert_eq!((total, distinct.len()), (399_000, 399_000));
        for got in all {
            let mut last = HashMap::new();
            for id in got {
                let origin = SNOWFLAKE64.decode(id).unwrap().origin;
                assert!(last.insert(origin, id).is_none_or(|before| before < id));
            }
        }
    }

    proptest! {
        /// Any answers in any order, repeated ones among them.
        #[test]
        fn never_twice_and_always_ascending(
            steps in prop::collection::vec((1u16..4, 0u64..30, 1u32..20, 1u32..9, 0u64..100), 1..200)
        ) {
            let stock = Stock::new(SNOWFLAKE64);
            let mut last: HashMap<Origin, u64> = HashMap::new();
            let mut given = 0;
            for (now, (worker, at, count, most, best_before)) in steps.into_iter().enumerate() {
                stock.push(&[range(worker, at, count)], best_before);
                let now = now as u64 / 2;
                if now.is_multiple_of(7) {
                    stock.expire(now);
                }
                let Some(got) = stock.take(most, now).range else { continue };
                prop_assert!(got.count >= 1 && got.count <= most);
                let origin = SNOWFLAKE64.decode(got.first).unwrap().origin;
                let before = last.insert(origin, got.first + u64::from(got.count) - 1);
                prop_assert!(before.is_none_or(|before| before < got.first));
                given += u64::from(got.count);
                prop_assert_eq!(stock.used().0, given);
            }
        }
    }
}
