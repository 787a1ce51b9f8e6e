//! The grant, and the span of a client, under every interleaving loom can find. The files checked are the service's own, compiled here against
//! loom's atomics (`mod atomic` below stands where `src/atomic.rs` stands in the library). It has a `main` of its own
//! because the unit tests that come along with those files need std's atomics, and run in the library.

#![allow(dead_code)]

mod atomic {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}
mod clock {
    pub use crate::credible::Credible;
    pub use crate::now::Now;
}
#[path = "../src/clock/credible.rs"]
mod credible;
#[path = "../src/generator.rs"]
mod generator;
#[path = "../src/lease/grant.rs"]
pub mod grant;
#[path = "../src/id.rs"]
mod id;
#[path = "../src/clock/now.rs"]
pub mod now;
#[path = "../src/client/span.rs"]
mod span;
mod lease {
    pub use crate::grant;
}

use grant::{Grant, Spent, Ticks};
use id::{IdRange, Layout, Millis, Origin, Tick};
use loom::thread;
use span::Span;
use std::sync::Arc;

/// Four ids a millisecond, so that the sequence overflows at once.
const SMALL: Layout =
    Layout { name: "small", timestamp_bits: 16, datacenter_bits: 1, worker_bits: 1, sequence_bits: 2 };

const ORIGIN: Origin = Origin { datacenter: 0, worker: 0 };

fn grant(floor: u64, ceiling: u64) -> Arc<Grant> {
    Arc::new(Grant::new(SMALL, ORIGIN, Millis(floor), Millis(ceiling)))
}

fn at(ms: u64) -> Tick {
    SMALL.tick(Millis(ms))
}

/// Fails if any tick was given twice, or lies outside `[floor, ceiling)`.
fn assert_disjoint(taken: impl IntoIterator<Item = Result<Ticks, Spent>>, floor: u64, ceiling: u64) {
    let mut ticks: Vec<u64> = taken.into_iter().flatten().flat_map(|t| t.from.0..t.to.0).collect();
    ticks.sort_unstable();
    assert!(ticks.windows(2).all(|pair| pair[0] != pair[1]), "given twice: {ticks:?}");
    assert!(ticks.iter().all(|tick| (at(floor).0..at(ceiling).0).contains(tick)), "outside the grant: {ticks:?}");
}

/// Three threads: all interleavings with up to three forced switches, which is where bugs of this size live.
fn bounded() -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder
}

fn three_threads_never_share_a_tick() {
    bounded().check(|| {
        let grant = grant(4, 6);
        let others: Vec<_> = (0..2)
            .map(|i| {
                let grant = grant.clone();
                thread::spawn(move || [grant.take(at(5), 2), grant.take(at(5 + i), 3)])
            })
            .collect();
        let behind = grant.take(at(4), 1);
        let taken = others.into_iter().flat_map(|other| other.join().unwrap()).chain([behind]);
        assert_disjoint(taken.collect::<Vec<_>>(), 4, 6);
    });
}

fn nobody_gets_a_tick_at_or_above_the_mark() {
    loom::model(|| {
        let old = grant(4, 9);
        let issuing = old.clone();
        let other = thread::spawn(move || [issuing.take(at(5), 1), issuing.take(at(5), 2)]);
        let mark = old.seal();
        // The next holder starts at exactly the mark.
        let next = grant(mark.0, 12).take(at(0), 2);
        let mut taken = other.join().unwrap().to_vec();
        assert_disjoint(taken.clone(), 4, mark.0.max(4));
        taken.push(next);
        assert_disjoint(taken, 4, 12);
    });
}

fn a_ceiling_raised_meanwhile_gives_no_tick_twice() {
    bounded().check(|| {
        let grant = grant(4, 5);
        let (one, two) = (grant.clone(), grant.clone());
        let other = thread::spawn(move || [one.take(at(4), 3), one.take(at(5), 2)]);
        let keeper = thread::spawn(move || {
            two.raise(Millis(6));
            two.seal()
        });
        let mine = grant.take(at(4), 1);
        let mark = keeper.join().unwrap();
        let taken = other.join().unwrap().into_iter().chain([mine]);
        assert_disjoint(taken.collect::<Vec<_>>(), 4, mark.0);
    });
}

/// Whoever opens a millisecond, and whenever: with the counter before it, in it and past it, beyond the ceiling, and about to
/// be sealed.
fn an_open_millisecond_gives_no_tick_twice() {
    bounded().check(|| {
        let grant = grant(4, 6);
        let (one, two) = (grant.clone(), grant.clone());
        let tick = |grant: &Grant| {
            let tick = grant.opened().take().ok_or(Spent);
            tick.map(|from| Ticks { from, to: Tick(from.0 + 1) })
        };
        let opening = thread::spawn(move || {
            let first = one.take(at(5), 2);
            one.open(Millis(5));
            [first, tick(&one), tick(&one)]
        });
        let other = thread::spawn(move || {
            two.open(Millis(4));
            let early = tick(&two);
            two.open(Millis(6));
            [early, two.take(at(5), 4), tick(&two)]
        });
        let mark = grant.seal();
        let taken = [opening, other].into_iter().flat_map(|thread| thread.join().unwrap());
        assert_disjoint(taken.collect::<Vec<_>>(), 4, mark.0);
    });
}

fn spans_exchanged_meanwhile_give_each_id_once() {
    let mut model = bounded();
    model.preemption_bound = Some(2); // three would take half a minute
    model.check(|| {
        let span = Arc::new(Span::empty());
        let exchange = |first, count| span.exchange(IdRange { first, count }, 9, 0, 0);
        exchange(10, 2);
        let takers: Vec<_> = (1..3)
            .map(|most| {
                let span = span.clone();
                thread::spawn(move || span.take(most, 0))
            })
            .collect();
        // Twice, so that the first cell is written again.
        let mut lost = span.seal();
        exchange(20, 1);
        lost += span.seal();
        exchange(30, 2);
        let taken = takers.into_iter().filter_map(|taker| taker.join().unwrap());
        let mut ids: Vec<u64> = taken.flat_map(|(range, _)| range.ids()).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "given twice: {ids:?}");
        assert!(ids.iter().all(|id| [10, 11, 20, 30, 31].contains(id)), "never laid in: {ids:?}");
        assert_eq!(ids.len() as u64 + lost + span.left().0, 5, "{ids:?}");
    });
}

fn main() {
    let checks: &[(&str, fn())] = &[
        ("three_threads_never_share_a_tick", three_threads_never_share_a_tick),
        ("nobody_gets_a_tick_at_or_above_the_mark", nobody_gets_a_tick_at_or_above_the_mark),
        ("a_ceiling_raised_meanwhile_gives_no_tick_twice", a_ceiling_raised_meanwhile_gives_no_tick_twice),
        ("an_open_millisecond_gives_no_tick_twice", an_open_millisecond_gives_no_tick_twice),
        ("spans_exchanged_meanwhile_give_each_id_once", spans_exchanged_meanwhile_give_each_id_once),
        ("two_words_give_duplicates", two_words_give_duplicates),
    ];
    for (name, check) in checks {
        let start = std::time::Instant::now();
        check();
        println!("loom {name} ... ok ({:.1?})", start.elapsed());
    }
    println!("{} passed, 0 failed", checks.len());
}

/// What the design replaces: two atomics, one for the timestamp and one for the sequence.
struct TwoWords {
    last: loom::sync::atomic::AtomicU64,
    sequence: loom::sync::atomic::AtomicU64,
}

impl TwoWords {
    fn new(last: u64) -> Arc<TwoWords> {
        Arc::new(TwoWords {
            last: loom::sync::atomic::AtomicU64::new(last),
            sequence: loom::sync::atomic::AtomicU64::new(0),
        })
    }

    /// The sketch of the brief: whoever wins the exchange resets the sequence.
    fn next(&self, now: u64) -> u64 {
        use loom::sync::atomic::Ordering::SeqCst;
        let last = self.last.load(SeqCst);
        let sequence = if now != last && self.last.compare_exchange(last, now, SeqCst, SeqCst).is_ok() {
            self.sequence.store(0, SeqCst);
            0
        } else {
            self.sequence.fetch_add(1, SeqCst) + 1
        };
        now << 12 | sequence
    }
}

/// The check can fail: the obvious generator does.
fn two_words_give_duplicates() {
    let found = std::panic::catch_unwind(|| {
        loom::model(|| {
            let generator = TwoWords::new(4);
            let other = generator.clone();
            let other = thread::spawn(move || [other.next(5), other.next(5)]);
            let mine = generator.next(5);
            assert!(!other.join().unwrap().contains(&mine), "given twice");
        });
    });
    assert!(found.is_err(), "loom no longer finds the duplicate of the two-word generator");
}
