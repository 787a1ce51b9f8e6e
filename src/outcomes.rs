//! What became of the id requests of the last minute: how long they took and how many failed. Health judges by it.
//!
//! Lock-free and never cleared: each counter is one word `period << 32 | count`. Who finds a counter of another period
//! restarts it at one with a compare-and-swap, so recording costs a few loads and two adds, and a reader skips what is stale.
//! Time comes in as an argument; this file reads no clock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What became of one id request. Requests that were wrong (4xx but 429) are nobody's outcome and are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with ids after this long from request read to answer ready, without the wait that the number of ids
    /// itself demands of the format.
    Served(Duration),
    /// A 5xx for any reason but shedding.
    Failed,
    /// 429, or 503 with code `shed`.
    Shed,
}

/// Id requests of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    pub served: u64,
    pub failed: u64,
    pub shed: u64,
}

impl Recent {
    /// The share that failed of those the node tried to serve, 0 when there were none. Shed requests are not in it:
    /// neither do they make a node ill, nor does a flood of them hide that everything else fails.
    pub fn failed_share(&self) -> f64 {
        match self.served + self.failed {
            0 => 0.0,
            tried => self.failed as f64 / tried as f64,
        }
    }
}

/// Buckets of one power of two: each is at most 1/16 = 6.25 % wide.
const PER_OCTAVE_BITS: u32 = 4;
const PER_OCTAVE: usize = 1 << PER_OCTAVE_BITS;
/// 2^27 µs = 134 s: longer takes count as that long.
const OCTAVES: usize = 28;
const BUCKETS: usize = (OCTAVES - PER_OCTAVE_BITS as usize + 1) * PER_OCTAVE;

/// Six windows of ten seconds: the present one and the five before it.
const WINDOWS: usize = 6;
const WINDOW_US: u64 = 10_000_000;

/// Ten slots of one second: the present one and the nine before it, and one that is just being left.
const SLOTS: usize = 11;
const RECENT_SLOTS: u64 = 10;
const SLOT_US: u64 = 1_000_000;

/// A count that belongs to one period; in any other it is zero.
#[derive(Debug, Default)]
struct Stamped(AtomicU64);

impl Stamped {
    /// An add that races with the change of the period counts for the new one: off by one request, once.
    fn add(&self, period: u32) {
        let mut word = self.0.load(Relaxed);
        while (word >> 32) as u32 != period {
            match self.0.compare_exchange_weak(word, u64::from(period) << 32 | 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self, wanted: impl Fn(u32) -> bool) -> u64 {
        let word = self.0.load(Relaxed);
        if wanted((word >> 32) as u32) { word & u64::from(u32::MAX) } else { 0 }
    }
}

#[derive(Debug, Default)]
struct Slot {
    served: Stamped,
    failed: Stamped,
    shed: Stamped,
}

/// Outcomes of id requests, by time.
#[derive(Debug)]
pub struct Outcomes {
    /// `WINDOWS` times `BUCKETS`.
    times: Box<[Stamped]>,
    /// The period in which each window last got anything: one that is empty is not read, as an idle node's are.
    filled: [AtomicU32; WINDOWS],
    slots: [Slot; SLOTS],
}

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes {
            times: (0..WINDOWS * BUCKETS).map(|_| Stamped::default()).collect(),
            filled: Default::default(),
            slots: std::array::from_fn(|_| Slot::default()),
        }
    }
}

impl Outcomes {
    /// `boot_us`: now, of the clock nobody sets.
    pub fn record(&self, boot_us: u64, outcome: Outcome) {
        let second = period(boot_us, SLOT_US);
        let slot = &self.slots[second as usize % SLOTS];
        match outcome {
            Outcome::Failed => slot.failed.add(second),
            Outcome::Shed => slot.shed.add(second),
            Outcome::Served(took) => {
                slot.served.add(second);
                let window = period(boot_us, WINDOW_US);
                let place = window as usize % WINDOWS;
                if self.filled[place].load(Relaxed) != window {
                    self.filled[place].store(window, Relaxed);
                }
                let bucket = bucket(took.as_micros().min(u128::from(u64::MAX)) as u64);
                self.times[place * BUCKETS + bucket].add(window);
            }
        }
    }

    /// The service time 99 % of the last minute's served requests stayed within, never told too short and at most
    /// 6.25 % too long. `None` when there were none.
    pub fn p99(&self, boot_us: u64) -> Option<Duration> {
        let last = period(boot_us, WINDOW_US);
        let wanted = |window: u32| window != 0 && window <= last && last - window < WINDOWS as u32;
        let mut counts = [0u64; BUCKETS];
        let windows = self.times.chunks_exact(BUCKETS).zip(&self.filled);
        for (window, _) in windows.filter(|(_, filled)| wanted(filled.load(Relaxed))) {
            for (count, stamped) in counts.iter_mut().zip(window) {
                *count += stamped.get(wanted);
            }
        }
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = (total * 99).div_ceil(100);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.map(|bucket| Duration::from_micros(upper_us(bucket)))
    }

    /// The last ten seconds.
    pub fn recent(&self, boot_us: u64) -> Recent {
        let last = period(boot_us, SLOT_US);
        let wanted = |second: u32| second != 0 && second <= last && u64::from(last - second) < RECENT_SLOTS;
        self.slots.iter().fold(Recent::default(), |sum, slot| Recent {
            served: sum.served + slot.served.get(wanted),
            failed: sum.failed + slot.failed.get(wanted),
            shed: sum.shed + slot.shed.get(wanted),
        })
    }
}

/// Which period a moment is in; never 0, which stands for "never".
fn period(boot_us: u64, length_us: u64) -> u32 {
    (boot_us / length_us) as u32 + 1
}

/// Exact below 16 µs; above, 16 buckets for each power of two.
fn bucket(us: u64) -> usize {
    if us < PER_OCTAVE as u64 {
        return us as usize;
    }
    let octave = us.ilog2();
    let within = (us >> (octave - PER_OCTAVE_BITS)) as usize - PER_OCTAVE;
    ((octave - PER_OCTAVE_BITS + 1) as usize * PER_OCTAVE + within).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn upper_us(bucket: usize) -> u64 {
    if bucket < PER_OCTAVE {
        return bucket as u64;
    }
    let (octave, within) = (bucket / PER_OCTAVE - 1, bucket % PER_OCTAVE);
    (((PER_OCTAVE + within + 1) as u64) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    fn served(ms: u64) -> Outcome {
        Outcome::Served(Duration::from_millis(ms))
    }

    #[test]
    fn nothing_known_is_nothing_told() {
        let outcomes = Outcomes::default();
        assert_eq!((outcomes.p99(0), outcomes.recent(0)), (None, Recent::default()));
        assert_eq!(outcomes.recent(0).failed_share(), 0.0);
    }

    #[test]
    fn p99_is_of_the_last_minute() {
        let outcomes = Outcomes::default();
        let start = 1_000 * SECOND;
        for _ in 0..100 {
            outcomes.record(start, served(80));
        }
        for _ in 0..9_900 {
            outcomes.record(start + SECOND, served(1));
        }
        let p99 = outcomes.p99(start + SECOND).unwrap();
        assert!(p99 < Duration::from_millis(2), "exactly 1 % is slow: {p99:?}");
        outcomes.record(start + 2 * SECOND, served(80));
        let p99 = outcomes.p99(start + 2 * SECOND).unwrap();
        assert!((80..=85).contains(&p99.as_millis()), "{p99:?}");
        assert!(outcomes.p99(start + 49 * SECOND).is_some());
        assert_eq!(outcomes.p99(start + 70 * SECOND), None, "forgotten");
        // The ring comes round: what was there does not come back.
        outcomes.record(start + 60 * SECOND, served(3));
        assert!(outcomes.p99(start + 60 * SECOND).unwrap() < Duration::from_millis(4));
        // A window that got nothing for minutes hides none of those that did.
        outcomes.record(start + 200 * SECOND, served(9));
        outcomes.record(start + 215 * SECOND, served(9));
        assert!((9..=10).contains(&outcomes.p99(start + 220 * SECOND).unwrap().as_millis()));
    }

    #[test]
    fn failures_are_of_the_last_ten_seconds_and_shedding_is_none() {
        let outcomes = Outcomes::default();
        let start = 77 * SECOND;
        for _ in 0..3 {
            outcomes.record(start, Outcome::Failed);
            outcomes.record(start + 5 * SECOND, served(1));
            outcomes.record(start + 5 * SECOND, Outcome::Shed);
        }
        let recent = outcomes.recent(start + 9 * SECOND);
        assert_eq!(recent, Recent { served: 3, failed: 3, shed: 3 });
        assert_eq!(recent.failed_share(), 0.5);
        assert_eq!(outcomes.recent(start + 10 * SECOND).failed, 0);
        assert_eq!(outcomes.recent(start + 11 * SECOND), Recent { served: 3, failed: 0, shed: 3 });
        assert_eq!(outcomes.recent(start + 60 * SECOND), Recent::default());
    }

    #[test]
    fn threads_lose_nothing() {
        let outcomes = Outcomes::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| outcomes.record(SECOND, served(1))));
            }
        });
        assert_eq!(outcomes.recent(SECOND).served, 40_000);
    }

    proptest! {
        #[test]
        fn a_bucket_is_never_short_and_at_most_a_tenth_long(us in 0u64..1 << 27) {
            let told = upper_us(bucket(us));
            prop_assert!(told >= us);
            prop_assert!((told - us) as f64 <= us as f64 * 0.1, "{us} told as {told}");
        }

        #[test]
        fn any_time_has_a_bucket(us in any::<u64>()) {
            prop_assert!(bucket(us) < BUCKETS);
        }
    }
}
