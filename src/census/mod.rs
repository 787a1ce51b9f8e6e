//! An exact count of ids that were given more than once, among more ids than fit into memory.
//!
//! An id becomes its **place**: worker first, then tick. So what one worker gave in a row is one [`Span`] of places,
//! and only the union of all spans is kept: as many places as were counted twice are missing from its size. Steady
//! draws collapse into a few spans; what stays scattered is sorted, packed into [`Run`]s of two or three bytes a span,
//! merged level by level, and written to disk when it outgrows the memory it may have. No id is ever forgotten and
//! none is guessed at: the count is exact whatever the order of arrival.

mod run;
mod spill;
mod union;

#[cfg(test)]
mod tests;

use crate::id::{IdRange, Layout, Origin, Tick};
use run::{Pack, Run};
use spill::Scratch;
use std::io;
use std::path::PathBuf;
use union::Union;

/// Consecutive places: `from`, `from + 1`, … `to - 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u64,
    to: u64,
}

impl Span {
    fn len(self) -> u64 {
        self.to - self.from
    }
}

/// How much of what may be held where.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Spans that wait to be sorted (16 bytes each).
    pub pending: usize,
    /// Packed spans in memory. Merging them takes as much again for a moment.
    pub packed_bytes: usize,
    /// Runs of one level, before they become one of the next. Its square: files, before they become one.
    pub fan_in: usize,
}

impl Default for Bounds {
    /// Half a gigabyte at the very worst, a few megabytes for steady draws.
    fn default() -> Bounds {
        Bounds { pending: 1 << 18, packed_bytes: 192 << 20, fan_in: 8 }
    }
}

/// Examples kept of ids given more than once. The count goes on beyond them.
const EXAMPLES: usize = 10;

/// What has been drawn so far.
#[derive(Debug)]
pub struct Census {
    layout: Layout,
    bounds: Bounds,
    scratch: Scratch,
    ids: u64,
    by_worker: Vec<u64>,
    /// The span each worker is at now: what follows or precedes it directly costs nothing.
    open: Vec<Span>,
    /// The first `settled` spans are sorted and apart from each other.
    pending: Vec<Span>,
    settled: usize,
    levels: Vec<Vec<Run>>,
    files: Vec<Run>,
    repeats: Repeats,
}

/// The places found twice, in whatever merge they were found.
#[derive(Debug, Default)]
struct Repeats {
    places: u64,
    examples: Vec<u64>,
}

impl Repeats {
    fn found(&mut self, span: Span) {
        self.places += span.len();
        let room = EXAMPLES - self.examples.len();
        self.examples.extend((span.from..span.to).take(room));
    }
}

/// What a census found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ids counted, repeated ones each time.
    pub ids: u64,
    /// Surplus occurrences: an id given k times counts k - 1.
    pub duplicates: u64,
    /// Some of the repeated ids, ascending.
    pub examples: Vec<u64>,
}

/// What the census holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub memory_bytes: usize,
    pub disk_bytes: u64,
}

impl Census {
    /// `folder`: where files go if memory does not suffice; nothing is written there before.
    pub fn new(layout: Layout, bounds: Bounds, folder: PathBuf) -> Census {
        let workers = usize::from(layout.datacenters()) * usize::from(layout.workers());
        Census {
            layout,
            bounds,
            scratch: Scratch::new(folder),
            ids: 0,
            by_worker: vec![0; workers],
            open: vec![Span::default(); workers],
            pending: Vec::new(),
            settled: 0,
            levels: Vec::new(),
            files: Vec::new(),
            repeats: Repeats::default(),
        }
    }

    /// Counts ids of one worker and one millisecond. An `Err` is the disk's, and ends the census: nothing is known of
    /// what it would have found.
    ///
    /// # Panics
    /// If the range is none of the layout; see [`Layout::holds`].
    pub fn add(&mut self, range: IdRange) -> io::Result<()> {
        let parts = self.layout.decode(range.first).expect("callers decode ids before they count them");
        let count = u64::from(range.count);
        debug_assert!(self.layout.holds(range));
        let worker = self.worker(parts.origin);
        let from = (worker as u64) << self.tick_bits() | self.layout.tick(parts.timestamp).0 | parts.sequence;
        let span = Span { from, to: from + count };
        self.ids += count;
        self.by_worker[worker] += count;
        let open = &mut self.open[worker];
        if open.to == span.from {
            open.to = span.to;
        } else if open.from == span.to {
            open.from = span.from;
        } else {
            let before = std::mem::replace(open, span);
            if before.len() > 0 {
                self.pending.push(before);
            }
            if self.pending.len() >= self.bounds.pending {
                self.settle();
                if self.pending.len() > self.bounds.pending / 2 {
                    self.pack()?;
                }
            }
        }
        Ok(())
    }

    /// Ids counted, repeated ones each time.
    pub fn ids(&self) -> u64 {
        self.ids
    }

    /// How many ids each worker gave, those that gave any.
    pub fn by_worker(&self) -> impl Iterator<Item = (Origin, u64)> {
        let workers = usize::from(self.layout.workers());
        let origin = move |at| Origin { datacenter: (at / workers) as u16, worker: (at % workers) as u16 };
        self.by_worker.iter().enumerate().filter(|(_, ids)| **ids > 0).map(move |(at, ids)| (origin(at), *ids))
    }

    /// Duplicates found up to now, cheaply: those between recent ids. Never more than there are.
    pub fn found(&mut self) -> u64 {
        self.settle();
        self.repeats.places
    }

    pub fn holding(&self) -> Holding {
        let runs = self.levels.iter().flatten();
        let memory_bytes = runs.map(Run::bytes).sum::<u64>() as usize
            + self.levels.iter().map(|level| level.capacity() * size_of::<Run>()).sum::<usize>()
            + (self.pending.capacity() + self.open.capacity()) * size_of::<Span>()
            + self.by_worker.capacity() * size_of::<u64>();
        Holding { memory_bytes, disk_bytes: self.files.iter().map(Run::bytes).sum() }
    }

    /// Merges everything, and knows every duplicate.
    pub fn finish(mut self) -> io::Result<Tally> {
        self.pending.extend(self.open.drain(..).filter(|span| span.len() > 0));
        self.settle();
        self.pack()?;
        let runs: Vec<Run> = self.levels.drain(..).flatten().chain(self.files.drain(..)).collect();
        let mut distinct = 0;
        let mut union = Union::of(&runs)?;
        while let Some(span) = union.next(&mut self.repeats)? {
            distinct += span.len();
        }
        assert_eq!(
            self.ids,
            distinct + self.repeats.places,
            "every id is in the union, or was found to be there before"
        );
        let mut examples: Vec<u64> = self.repeats.examples.iter().map(|place| self.id(*place)).collect();
        examples.sort_unstable();
        examples.dedup();
        Ok(Tally { ids: self.ids, duplicates: self.repeats.places, examples })
    }

    /// Sorts what waits, and joins what touches.
    fn settle(&mut self) {
        if self.settled == self.pending.len() {
            return;
        }
        self.pending.sort_unstable();
        let mut kept = 0;
        for at in 1..self.pending.len() {
            let next = self.pending[at];
            let last = &mut self.pending[kept];
            if next.from > last.to {
                kept += 1;
                self.pending[kept] = next;
                continue;
            }
            let shared = Span { from: next.from, to: next.to.min(last.to) };
            if shared.len() > 0 {
                self.repeats.found(shared);
            }
            last.to = last.to.max(next.to);
        }
        self.pending.truncate(kept + 1);
        self.settled = self.pending.len();
    }

    /// Makes a run of what is settled, and keeps the runs few.
    fn pack(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pack = Pack::in_memory(0);
        for span in self.pending.drain(..) {
            pack.push(span)?;
        }
        self.settled = 0;
        let mut run = pack.finish()?;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(run);
            if self.levels[level].len() < self.bounds.fan_in {
                break;
            }
            let runs = std::mem::take(&mut self.levels[level]);
            let most = runs.iter().map(Run::bytes).sum::<u64>() as usize;
            run = merge(&runs, Pack::in_memory(most), &mut self.repeats)?;
        }
        let packed: u64 = self.levels.iter().flatten().map(Run::bytes).sum();
        if packed > self.bounds.packed_bytes as u64 {
            self.spill()?;
        }
        Ok(())
    }

    /// All runs in memory become one file; too many files become one.
    fn spill(&mut self) -> io::Result<()> {
        let runs: Vec<Run> = self.levels.drain(..).flatten().collect();
        self.files.push(merge(&runs, Pack::on_disk(self.scratch.file()?), &mut self.repeats)?);
        if self.files.len() >= self.bounds.fan_in.pow(2) {
            let files = std::mem::take(&mut self.files);
            self.files.push(merge(&files, Pack::on_disk(self.scratch.file()?), &mut self.repeats)?);
        }
        Ok(())
    }

    fn worker(&self, origin: Origin) -> usize {
        usize::from(origin.datacenter) << self.layout.worker_bits | usize::from(origin.worker)
    }

    fn tick_bits(&self) -> u32 {
        self.layout.timestamp_bits + self.layout.sequence_bits
    }

    fn id(&self, place: u64) -> u64 {
        let worker = (place >> self.tick_bits()) as u16;
        let tick = place & ((1 << self.tick_bits()) - 1);
        let workers = self.layout.workers();
        self.layout.id(Origin { datacenter: worker / workers, worker: worker % workers }, Tick(tick))
    }
}

fn merge(runs: &[Run], mut into: Pack, repeats: &mut Repeats) -> io::Result<Run> {
    let mut union = Union::of(runs)?;
    while let Some(span) = union.next(repeats)? {
        into.push(span)?;
    }
    into.finish()
}
