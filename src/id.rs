//! The bit layout of an id, as data, and the arithmetic between ids, timestamps and counter ticks.
//!
//! A worker counts in **ticks**: `timestamp << sequence_bits | sequence`, a plain integer in which a full sequence
//! overflows into the timestamp. An id is a tick with the worker's bits spliced between its two halves, so a run of
//! ticks inside one millisecond is a run of consecutive ids, and nothing longer is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Milliseconds since the epoch of the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    pub fn saturating_sub(self, other: Millis) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl std::ops::Add<u64> for Millis {
    type Output = Millis;
    fn add(self, milliseconds: u64) -> Millis {
        Millis(self.0.saturating_add(milliseconds))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A worker's own counter value: `timestamp << sequence_bits | sequence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Where an id is made: a datacenter (region) and a slot in it. The two together are one of the layout's workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    pub datacenter: u16,
    pub worker: u16,
}

/// How the bits of an id are shared out, from the most significant: zero, timestamp, datacenter, worker, sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub name: &'static str,
    pub timestamp_bits: u32,
    pub datacenter_bits: u32,
    pub worker_bits: u32,
    pub sequence_bits: u32,
}

/// `[1 zero][41 ms since epoch][5 datacenter][5 worker][12 sequence]`: 1,024 workers, 4,096 ids per ms per worker,
/// 69.7 years from the epoch.
pub const SNOWFLAKE64: Layout =
    Layout { name: "snowflake64", timestamp_bits: 41, datacenter_bits: 5, worker_bits: 5, sequence_bits: 12 };

/// Every layout a manifest may name.
pub const LAYOUTS: &[Layout] = &[SNOWFLAKE64];

/// What an id says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    pub timestamp: Millis,
    pub origin: Origin,
    pub sequence: u64,
}

/// Consecutive ids: `first`, `first + 1`, … `first + count - 1`, all of one worker and one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    pub first: u64,
    pub count: u32,
}

impl IdRange {
    pub fn ids(self) -> std::ops::Range<u64> {
        self.first..self.first + u64::from(self.count)
    }
}

impl Layout {
    pub fn named(name: &str) -> Option<Layout> {
        LAYOUTS.iter().copied().find(|layout| layout.name == name)
    }

    /// How many datacenters (regions) fit.
    pub const fn datacenters(&self) -> u16 {
        1 << self.datacenter_bits
    }

    /// How many workers (slots) fit into one datacenter.
    pub const fn workers(&self) -> u16 {
        1 << self.worker_bits
    }

    /// How many ids one worker has for one millisecond.
    pub const fn ids_per_ms(&self) -> u64 {
        1 << self.sequence_bits
    }

    /// The last timestamp that fits.
    pub const fn last_timestamp(&self) -> Millis {
        Millis((1 << self.timestamp_bits) - 1)
    }

    /// The first tick of a millisecond.
    pub const fn tick(&self, at: Millis) -> Tick {
        Tick(at.0 << self.sequence_bits)
    }

    /// The millisecond a tick belongs to.
    pub const fn millis(&self, tick: Tick) -> Millis {
        Millis(tick.0 >> self.sequence_bits)
    }

    /// The first millisecond all of whose ticks are at or above `tick`.
    pub const fn millis_rounded_up(&self, tick: Tick) -> Millis {
        Millis(tick.0.div_ceil(self.ids_per_ms()))
    }

    pub const fn id(&self, origin: Origin, tick: Tick) -> u64 {
        let sequence = tick.0 & (self.ids_per_ms() - 1);
        let timestamp = tick.0 >> self.sequence_bits;
        (((timestamp << self.datacenter_bits | origin.datacenter as u64) << self.worker_bits | origin.worker as u64)
            << self.sequence_bits)
            | sequence
    }

    /// Takes an id apart. `None` if a bit is set that the layout does not have.
    pub const fn decode(&self, id: u64) -> Option<Parts> {
        let bits = self.timestamp_bits + self.datacenter_bits + self.worker_bits + self.sequence_bits;
        if bits < u64::BITS && id >> bits != 0 {
            return None;
        }
        let sequence = id & (self.ids_per_ms() - 1);
        let rest = id >> self.sequence_bits;
        let worker = (rest & (self.workers() as u64 - 1)) as u16;
        let rest = rest >> self.worker_bits;
        let datacenter = (rest & (self.datacenters() as u64 - 1)) as u16;
        let timestamp = Millis(rest >> self.datacenter_bits);
        Some(Parts { timestamp, origin: Origin { datacenter, worker }, sequence })
    }

    /// Whether all ids of a range are of this layout, one worker and one millisecond. A range from elsewhere may not be.
    pub const fn holds(&self, range: IdRange) -> bool {
        match self.decode(range.first) {
            Some(parts) => range.count > 0 && parts.sequence + range.count as u64 <= self.ids_per_ms(),
            None => false,
        }
    }

    /// The ids of the ticks `[from, to)` of one worker, as ranges: one per millisecond.
    pub fn ranges(&self, origin: Origin, from: Tick, to: Tick) -> impl Iterator<Item = IdRange> + Clone + use<> {
        let layout = *self;
        let mut next = from.0;
        std::iter::from_fn(move || {
            if next >= to.0 {
                return None;
            }
            let end = ((next >> layout.sequence_bits) + 1) << layout.sequence_bits;
            let end = end.min(to.0);
            let range = IdRange { first: layout.id(origin, Tick(next)), count: (end - next) as u32 };
            next = end;
            Some(range)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_of_the_docs() {
        let origin = Origin { datacenter: 2, worker: 17 };
        let id = SNOWFLAKE64.id(origin, Tick(1_000 << 12 | 5));
        assert_eq!(id, 1_000 << 22 | 2 << 17 | 17 << 12 | 5);
        assert_eq!(SNOWFLAKE64.decode(id), Some(Parts { timestamp: Millis(1_000), origin, sequence: 5 }));
        assert_eq!(SNOWFLAKE64.decode(1 << 63), None, "the sign bit is not ours");
    }

    fn layouts() -> impl Strategy<Value = Layout> {
        (30u32..=48, 1u32..=6, 1u32..=8)
            .prop_flat_map(|(t, d, w)| (Just((t, d, w)), 1u32..=(63 - t - d - w).min(16)))
            .prop_map(|((timestamp_bits, datacenter_bits, worker_bits), sequence_bits)| Layout {
                name: "any",
                timestamp_bits,
                datacenter_bits,
                worker_bits,
                sequence_bits,
            })
    }

    proptest! {
        #[test]
        fn decode_undoes_id(layout in layouts(), t in any::<u64>(), d in any::<u16>(), w in any::<u16>(), s in any::<u64>()) {
            let parts = Parts {
                timestamp: Millis(t & layout.last_timestamp().0),
                origin: Origin { datacenter: d % layout.datacenters(), worker: w % layout.workers() },
                sequence: s % layout.ids_per_ms(),
            };
            let tick = Tick(layout.tick(parts.timestamp).0 | parts.sequence);
            prop_assert_eq!(layout.decode(layout.id(parts.origin, tick)), Some(parts));
        }

        #[test]
        fn ranges_are_exactly_the_ticks_in_order(layout in layouts(), from in 0u64..1 << 30, n in 0u64..20_000, d in any::<u16>(), w in any::<u16>()) {
            let origin = Origin { datacenter: d % layout.datacenters(), worker: w % layout.workers() };
            let expanded: Vec<u64> = layout.ranges(origin, Tick(from), Tick(from + n)).flat_map(IdRange::ids).collect();
            let each: Vec<u64> = (from..from + n).map(|t| layout.id(origin, Tick(t))).collect();
            prop_assert!(expanded.windows(2).all(|w| w[0] < w[1]));
            prop_assert_eq!(expanded, each);
        }
    }
}
