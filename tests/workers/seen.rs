//! What the harness has seen of the workers: every id, where each stands, and when.

use crate::word::{Stand, Word};
use meridian::census::{Bounds, Census, Tally};
use meridian::id::{IdRange, SNOWFLAKE64};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A worker: its carrier, and its place there.
type Worker = (usize, usize);
/// A slot: its datacenter, and its number there.
type Slot = (u16, u16);

/// A slot without an id for longer than this counts as one that stopped.
pub const SILENT: Duration = Duration::from_secs(1);

pub struct Seen {
    census: Census,
    workers: HashMap<Worker, (Option<Slot>, Stand)>,
    issued: HashMap<Slot, Issued>,
    /// The sums each carrier told last.
    pub numbers: BTreeMap<usize, BTreeMap<String, f64>>,
    phase: Phase,
}

/// When a slot last gave ids.
#[derive(Clone, Copy)]
struct Issued {
    last: Instant,
    /// The longest time without any, in this phase.
    longest: Duration,
}

/// What happened since the phase began.
struct Phase {
    began: Instant,
    ids_before: u64,
    refused: u64,
    /// When workers came to hold a slot.
    held: Vec<Instant>,
}

impl Phase {
    fn new(ids_before: u64) -> Phase {
        Phase { began: Instant::now(), ids_before, refused: 0, held: Vec::new() }
    }
}

/// The ids of a phase.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Ids {
    pub ids: u64,
    /// Requests that a worker with a grant refused, because it was at its ceiling.
    pub refused: u64,
    /// The longest time a slot that had issued before gave nothing.
    pub longest_gap_ms: f64,
    /// Slots that gave nothing for longer than a second.
    pub silent_slots: usize,
}

impl Seen {
    pub fn new(scratch: PathBuf) -> Seen {
        Seen {
            census: Census::new(SNOWFLAKE64, Bounds::default(), scratch),
            workers: HashMap::new(),
            issued: HashMap::new(),
            numbers: BTreeMap::new(),
            phase: Phase::new(0),
        }
    }

    pub fn hear(&mut self, carrier: usize, word: Word) {
        let now = Instant::now();
        match word {
            Word::Ids(range) => self.count(range, now),
            Word::Stands { worker, slot, stand } => {
                let worker = (carrier, worker);
                let before = self.workers.insert(worker, (slot, stand)).map(|(_, stand)| stand);
                if stand == Stand::Holding && before != Some(Stand::Holding) {
                    self.phase.held.push(now);
                }
            }
            Word::Refused => self.phase.refused += 1,
            Word::Numbers(numbers) => drop(self.numbers.insert(carrier, numbers)),
        }
    }

    fn count(&mut self, range: IdRange, now: Instant) {
        let origin = SNOWFLAKE64.decode(range.first).expect("an id of the layout").origin;
        self.census.add(range).expect("the disk takes what does not fit into memory");
        let began = self.phase.began;
        let issued = self
            .issued
            .entry((origin.datacenter, origin.worker))
            .or_insert(Issued { last: now, longest: Duration::ZERO });
        issued.longest = issued.longest.max(now.saturating_duration_since(issued.last.max(began)));
        issued.last = now;
    }

    pub fn begin_phase(&mut self) {
        self.phase = Phase::new(self.census.ids());
        for issued in self.issued.values_mut() {
            issued.longest = Duration::ZERO;
        }
    }

    /// Ids of this phase up to now. Who is silent still counts.
    pub fn ids(&self) -> Ids {
        let now = Instant::now();
        let began = self.phase.began;
        let gap = |issued: &Issued| issued.longest.max(now.saturating_duration_since(issued.last.max(began)));
        let gaps: Vec<Duration> = self.issued.values().map(gap).collect();
        Ids {
            ids: self.census.ids() - self.phase.ids_before,
            refused: self.phase.refused,
            longest_gap_ms: gaps.iter().max().map_or(0.0, |gap| gap.as_secs_f64() * 1_000.0),
            silent_slots: gaps.iter().filter(|gap| **gap > SILENT).count(),
        }
    }

    /// The workers of a carrier that was killed stand nowhere. How many slots they held.
    pub fn forget(&mut self, carrier: usize) -> usize {
        let held = self.slots_held_by(|(of, _)| *of == carrier);
        self.workers.retain(|(of, _), _| *of != carrier);
        self.numbers.remove(&carrier);
        held
    }

    /// Slots that a living worker holds, attached to its session.
    pub fn slots_held(&self) -> usize {
        self.slots_held_by(|_| true)
    }

    fn slots_held_by(&self, of: impl Fn(&Worker) -> bool) -> usize {
        let holding = self.workers.iter().filter(|(worker, (_, stand))| of(worker) && *stand == Stand::Holding);
        holding.filter_map(|(_, (slot, _))| *slot).collect::<BTreeSet<Slot>>().len()
    }

    pub fn count_of(&self, stand: Stand) -> usize {
        self.workers.values().filter(|(_, stands)| *stands == stand).count()
    }

    /// How long after this moment each slot of this phase came to be held, ascending.
    pub fn held_after(&self, moment: Instant) -> Vec<Duration> {
        let mut after: Vec<Duration> =
            self.phase.held.iter().map(|held| held.saturating_duration_since(moment)).collect();
        after.sort_unstable();
        after
    }

    pub fn total_ids(&self) -> u64 {
        self.census.ids()
    }

    pub fn finish(self) -> Tally {
        self.census.finish().expect("the disk gives back what it took")
    }
}
