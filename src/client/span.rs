//! The consecutive ids that are being given now: each taken once, with one compare-and-swap.
//!
//! One word says which span it is and how many of it were given. What the span is stands in one of two cells, by turns:
//! a cell is written while the other one is in use, so whoever changes the word of a span has read that span's cell.

use crate::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};
use crate::id::IdRange;

/// Of the word, for the ids given. The others number the spans; one a millisecond, they last for decades.
const GIVEN_BITS: u32 = 24;

/// Everything below it fits.
pub const MOST_IDS: u64 = 1 << GIVEN_BITS;

#[derive(Debug)]
pub struct Span {
    word: AtomicU64,
    cells: [Cell; 2],
}

#[derive(Debug)]
struct Cell {
    first: AtomicU64,
    count: AtomicU64,
    /// From here on nobody is given anything of it.
    best_before_us: AtomicU64,
    /// Who takes this one is to say that the stock is low.
    alarm: AtomicU64,
}

impl Cell {
    fn empty() -> Cell {
        let nought = || AtomicU64::new(0);
        Cell { first: nought(), count: nought(), best_before_us: nought(), alarm: nought() }
    }
}

fn number(word: u64) -> u64 {
    word >> GIVEN_BITS
}

fn given(word: u64) -> u64 {
    word & (MOST_IDS - 1)
}

impl Span {
    pub fn empty() -> Span {
        Span { word: AtomicU64::new(0), cells: [Cell::empty(), Cell::empty()] }
    }

    /// Up to `most` consecutive ids, and whether the one that raises the alarm is among them.
    #[inline]
    pub fn take(&self, most: u32, now_us: u64) -> Option<(IdRange, bool)> {
        let mut word = self.word.load(Acquire);
        loop {
            let (cell, given) = (self.cell(word), given(word));
            let left = cell.count.load(Relaxed).saturating_sub(given);
            if left == 0 || now_us >= cell.best_before_us.load(Relaxed) {
                return None;
            }
            let (first, alarm) = (cell.first.load(Relaxed), cell.alarm.load(Relaxed));
            let count = left.min(most.into());
            match self.word.compare_exchange_weak(word, word + count, AcqRel, Acquire) {
                Ok(_) => {
                    let range = IdRange { first: first + given, count: count as u32 };
                    return Some((range, (given..given + count).contains(&alarm)));
                }
                Err(now) => word = now,
            }
        }
    }

    /// Ids not given yet, and until when they may be. For the holder of the lock under which spans are exchanged, as all
    /// that follows.
    pub fn left(&self) -> (u64, u64) {
        let word = self.word.load(Acquire);
        let cell = self.cell(word);
        (cell.count.load(Relaxed) - given(word), cell.best_before_us.load(Relaxed))
    }

    /// Nobody gets anything of it any more. Says how many ids are lost with it.
    pub fn seal(&self) -> u64 {
        let word = self.word.load(Relaxed);
        let count = self.cell(word).count.load(Relaxed);
        let before = self.word.fetch_max(number(word) << GIVEN_BITS | count, AcqRel);
        count - given(before)
    }

    /// The next span, after this one was given or sealed. `given`: ids of it that the caller keeps.
    pub fn exchange(&self, range: IdRange, best_before_us: u64, alarm: u64, given: u32) {
        debug_assert!(u64::from(range.count) < MOST_IDS, "{range:?}");
        let next = (number(self.word.load(Relaxed)) + 1) << GIVEN_BITS;
        let cell = self.cell(next);
        cell.first.store(range.first, Relaxed);
        cell.count.store(range.count.into(), Relaxed);
        cell.best_before_us.store(best_before_us, Relaxed);
        cell.alarm.store(alarm, Relaxed);
        // Acquires as well: what takers read of a cell, they have read before it is written again.
        self.word.swap(next | u64::from(given), AcqRel);
    }

    fn cell(&self, word: u64) -> &Cell {
        &self.cells[(number(word) & 1) as usize]
    }
}
