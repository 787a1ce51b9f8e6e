//! The right to issue, as a value: nobody can make an id without holding one.
//!
//! A grant is one worker's counter and the ceiling it may reach. What lies in `[floor, ceiling)` belongs to this grant
//! **for ever**: using it asks neither a clock nor the coordination service. Only the keeper makes a grant, raises its
//! ceiling or seals it, and it never does the first two after the third.

use crate::atomic::{AtomicU64, Ordering::Relaxed};
use crate::id::{Layout, Millis, Origin, Tick};

/// Set in the counter by `seal`: above every ceiling, so that each later caller sees "spent".
const SEALED: u64 = 1 << 63;

/// No millisecond is open: one that no clock shows and no counter reaches.
const SHUT: u64 = 1 << 62;

/// One worker's exclusive, eternal right to the ticks from its floor to its ceiling.
///
/// Why relaxed atomics are enough: all read-modify-writes of one word have one order, in which each takes ticks
/// nobody else takes; and the ceiling is loaded *before* the counter moves and only ever raised, so what a caller
/// gets lies below a ceiling that was granted: by its own look, or by that of whoever opened the millisecond the tick is
/// of. `tests/loom.rs` explores every interleaving.
#[derive(Debug)]
pub struct Grant {
    layout: Layout,
    origin: Origin,
    floor: Millis,
    ceiling: AtomicU64,
    /// The first tick of a millisecond below the ceiling, of which single ticks are taken without a look at the counter.
    open: AtomicU64,
    counter: Counter,
}

/// Apart from the rest by two cache lines, which processors fetch together: callers on several of them all write this word, and
/// would wait for each other with every look at the ceiling as well.
#[derive(Debug)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// Ticks `[from, to)`, given to one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    pub from: Tick,
    pub to: Tick,
}

impl Ticks {
    /// The last of them, of which there is at least one.
    pub fn last(&self) -> Tick {
        Tick(self.to.0 - 1)
    }
}

/// Ticks that were there a moment ago, to be taken if they suit.
#[derive(Debug)]
pub struct Offer<'a> {
    grant: &'a Grant,
    /// As they were, the ceiling first.
    ceiling: u64,
    counter: u64,
    ticks: Ticks,
}

/// A millisecond of the grant, by its first tick.
#[derive(Debug)]
pub struct Open<'a> {
    grant: &'a Grant,
    first: u64,
}

/// The grant is at its ceiling, too near to it for this request, or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent;

impl Grant {
    pub(crate) fn new(layout: Layout, origin: Origin, floor: Millis, ceiling: Millis) -> Grant {
        Grant {
            layout,
            origin,
            floor,
            ceiling: AtomicU64::new(layout.tick(ceiling).0),
            open: AtomicU64::new(SHUT),
            counter: Counter(AtomicU64::new(layout.tick(floor).0)),
        }
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The first timestamp of this grant: the ceiling its predecessor left.
    pub fn floor(&self) -> Millis {
        self.floor
    }

    /// The first timestamp that is not granted.
    pub fn ceiling(&self) -> Millis {
        self.layout.millis(Tick(self.ceiling.load(Relaxed)))
    }

    pub fn is_sealed(&self) -> bool {
        self.counter.0.load(Relaxed) & SEALED != 0
    }

    /// The next tick that would be given, not below the floor nor above the ceiling.
    pub fn position(&self) -> Tick {
        let ceiling = self.ceiling.load(Relaxed);
        Tick((self.counter.0.load(Relaxed) & !SEALED).min(ceiling))
    }

    /// The millisecond that was opened last, or one that never comes if that has been shut.
    #[inline]
    pub fn opened(&self) -> Open<'_> {
        Open { grant: self, first: self.open.load(Relaxed) }
    }

    /// Opens this millisecond, if it is granted.
    pub fn open(&self, at: Millis) {
        let first = self.layout.tick(at).0;
        if self.open.load(Relaxed) != first && first < self.ceiling.load(Relaxed) {
            self.open.store(first, Relaxed); // all of it: a ceiling is a whole millisecond
        }
    }

    /// Takes `n` ticks, none below `from`. All of them or none: what a race pushes over the ceiling is thrown away.
    pub fn take(&self, from: Tick, n: u64) -> Result<Ticks, Spent> {
        self.offer(from, n)?.take()
    }

    /// What `take` would give, as it looks now; nothing is taken yet.
    #[inline]
    pub fn offer(&self, from: Tick, n: u64) -> Result<Offer<'_>, Spent> {
        let ceiling = self.ceiling.load(Relaxed);
        let counter = self.counter.0.load(Relaxed);
        let first = counter.max(from.0);
        if first.saturating_add(n) > ceiling {
            return Err(Spent); // also a clock past the ceiling: it must not push the counter on
        }
        Ok(Offer { grant: self, ceiling, counter, ticks: Ticks { from: Tick(first), to: Tick(first + n) } })
    }

    /// Publishes a higher ceiling that a successful conditional write has granted. Never lowers it.
    pub(crate) fn raise(&self, ceiling: Millis) {
        debug_assert!(!self.is_sealed(), "a ceiling published after the seal could be used past the mark");
        self.ceiling.fetch_max(self.layout.tick(ceiling).0, Relaxed);
    }

    /// Ends the grant for good and tells its exact high-water mark: no caller, before or after, gets a tick at or above
    /// it. In whole milliseconds, rounded up, so the next holder may start there. Sealing again tells no lower one.
    pub(crate) fn seal(&self) -> Millis {
        let counter = self.counter.0.fetch_or(SEALED, Relaxed) & !SEALED;
        let ceiling = self.ceiling.load(Relaxed);
        self.layout.millis_rounded_up(Tick(counter.min(ceiling)))
    }
}

impl Offer<'_> {
    /// What would be taken if nobody else took any meanwhile.
    pub fn ticks(&self) -> Ticks {
        self.ticks
    }

    /// Takes as many ticks as were offered: these, or later ones if others were quicker.
    #[inline]
    pub fn take(self) -> Result<Ticks, Spent> {
        let Ticks { from, to } = self.ticks;
        let n = to.0 - from.0;
        let word = &self.grant.counter.0;
        if self.counter < from.0 {
            // On to `from` and past what is taken, in one step.
            match word.compare_exchange(self.counter, to.0, Relaxed, Relaxed) {
                Ok(_) => return Ok(self.ticks),
                Err(_) => return self.grant.take(from, n),
            }
        }
        let first = word.fetch_add(n, Relaxed);
        if first + n > self.ceiling {
            return Err(Spent);
        }
        Ok(Ticks { from: Tick(first), to: Tick(first + n) })
    }
}

impl Open<'_> {
    /// Whether this is the millisecond of a time in microseconds.
    #[inline]
    pub fn is_of(&self, us: u64) -> bool {
        let Millis(at) = self.grant.layout.millis(Tick(self.first));
        us.wrapping_sub(at.wrapping_mul(1_000)) < 1_000
    }

    /// Takes the next tick if it is one of this millisecond. If not (they are used up, the grant is sealed, or the counter is
    /// not there yet), it is shut, and the tick that told so is given to nobody.
    #[inline]
    pub fn take(self) -> Option<Tick> {
        let tick = self.grant.counter.0.fetch_add(1, Relaxed);
        if tick.wrapping_sub(self.first) < self.grant.layout.ids_per_ms() {
            return Some(Tick(tick));
        }
        self.grant.open.store(SHUT, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SNOWFLAKE64;

    fn grant(floor: u64, ceiling: u64) -> Grant {
        Grant::new(SNOWFLAKE64, Origin { datacenter: 1, worker: 2 }, Millis(floor), Millis(ceiling))
    }

    fn at(ms: u64) -> Tick {
        SNOWFLAKE64.tick(Millis(ms))
    }

    #[test]
    fn takes_follow_each_other_and_the_clock() {
        let grant = grant(100, 200);
        assert_eq!(grant.take(at(0), 3), Ok(Ticks { from: at(100), to: Tick(at(100).0 + 3) }), "never below the floor");
        assert_eq!(grant.take(at(150), 1), Ok(Ticks { from: at(150), to: Tick(at(150).0 + 1) }));
        assert_eq!(grant.take(at(120), 1).unwrap().from, Tick(at(150).0 + 1), "never backwards");
    }

    #[test]
    fn a_request_that_does_not_fit_below_the_ceiling_burns_nothing() {
        let grant = grant(100, 101);
        assert_eq!(grant.take(at(100), 4_097), Err(Spent));
        assert_eq!(grant.take(at(101), 1), Err(Spent), "a clock past the ceiling does not push the counter");
        assert_eq!(grant.take(at(100), 4_096), Ok(Ticks { from: at(100), to: at(101) }));
        assert_eq!(grant.take(at(100), 1), Err(Spent));
        grant.raise(Millis(102));
        assert_eq!(grant.take(at(100), 1).unwrap().from, at(101));
    }

    #[test]
    fn a_ceiling_never_falls() {
        let grant = grant(100, 200);
        grant.raise(Millis(150));
        assert_eq!(grant.ceiling(), Millis(200));
    }

    #[test]
    fn the_mark_is_rounded_up_and_final() {
        let grant = grant(100, 200);
        assert_eq!(grant.take(at(150), 1).unwrap().from, at(150));
        assert_eq!(grant.seal(), Millis(151));
        assert_eq!(grant.take(at(150), 1), Err(Spent));
        assert_eq!(grant.seal(), Millis(151), "sealing again changes nothing");
        assert!(grant.is_sealed());
    }

    #[test]
    fn an_open_millisecond_gives_each_of_its_ticks_and_no_other() {
        let grant = grant(100, 102);
        assert!(!grant.opened().is_of(100_000), "nobody opened one");
        grant.open(Millis(100));
        for n in 0..4_096 {
            assert!(grant.opened().is_of(100_999) && !grant.opened().is_of(101_000) && !grant.opened().is_of(99_999));
            assert_eq!(grant.opened().take(), Some(Tick(at(100).0 + n)));
        }
        assert_eq!(grant.opened().take(), None);
        assert!(!grant.opened().is_of(100_999), "shut again");
        assert_eq!(grant.take(at(101), 4_095).unwrap().from, Tick(at(101).0 + 1), "what told so is gone");
        grant.open(Millis(102));
        assert!(!grant.opened().is_of(102_000), "not granted");
        grant.open(Millis(101));
        grant.seal();
        assert_eq!(grant.opened().take(), None);
    }

    #[test]
    fn a_millisecond_that_the_counter_has_not_reached_gives_nothing() {
        let grant = grant(100, 200);
        grant.open(Millis(150));
        assert_eq!(grant.opened().take(), None);
        assert_eq!(grant.seal(), Millis(101));
    }

    #[test]
    fn an_unused_grant_gives_all_of_it_back() {
        assert_eq!(grant(100, 200).seal(), Millis(100));
    }
}
