//! The one place where a run is counted: ids, duplicates, latencies, errors, by target and by worker.

use super::drawer::Batch;
use crate::census::{Census, Tally};
use crate::client::Miss;
use crate::id::{Layout, Origin};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Kinds of errors told apart; a target that makes up more has them counted as `other`.
const KINDS: usize = 64;

/// Between two looks for duplicates while the run goes on.
const FIND_EVERY: Duration = Duration::from_secs(1);

/// An hour in microseconds; what takes longer counts as this.
const LONGEST_US: u64 = 3_600_000_000;

/// How it goes, for those who watch.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    pub ids: u64,
    pub errors: u64,
    pub duplicates: u64,
}

impl Sums {
    pub fn line(&self, elapsed: Duration) -> String {
        let rate = self.ids as f64 / elapsed.as_secs_f64().max(0.001);
        let Sums { ids, errors, duplicates } = self;
        let seconds = elapsed.as_secs();
        format!("{seconds} s: {ids} ids, {rate:.0} ids/s, {errors} errors, {duplicates} duplicates so far")
    }
}

/// What a target did.
#[derive(Clone, Debug, Default)]
pub struct OfTarget {
    pub ids: u64,
    pub answers: u64,
    pub errors: u64,
    pub connections: u64,
}

/// Errors of one kind.
#[derive(Clone, Debug)]
pub struct OfKind {
    pub count: u64,
    /// What the first of them said.
    pub example: String,
}

pub struct Ledger {
    census: Census,
    layout: Layout,
    found: Instant,
    books: Books,
}

/// What is known at the end.
pub struct Books {
    pub tally: Tally,
    pub latency_us: Histogram<u64>,
    pub longest: Duration,
    pub errors: BTreeMap<String, OfKind>,
    pub refused: u64,
    pub disordered: u64,
    pub unanswered: u64,
    pub targets: Vec<OfTarget>,
    /// Ids of each worker, and which targets gave ids of it.
    pub workers: Vec<(Origin, u64, Vec<usize>)>,
    pub spilled_bytes: u64,
    gave: BTreeSet<(Origin, usize)>,
}

impl Ledger {
    pub fn new(census: Census, layout: Layout, targets: usize) -> Ledger {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("bounds and digits that are possible");
        let books = Books {
            tally: Tally::default(),
            latency_us,
            longest: Duration::ZERO,
            errors: BTreeMap::new(),
            refused: 0,
            disordered: 0,
            unanswered: 0,
            targets: vec![OfTarget::default(); targets],
            workers: Vec::new(),
            spilled_bytes: 0,
            gave: BTreeSet::new(),
        };
        Ledger { census, layout, found: Instant::now(), books }
    }

    /// Counts until every drawer is gone. Blocks: sorting and the disk take their time, and drawers are not to feel it.
    pub fn run(mut self, mut batches: mpsc::Receiver<Batch>, sums: &watch::Sender<Sums>) -> io::Result<Books> {
        let mut duplicates = 0;
        let mut errors = 0;
        while let Some(batch) = batches.blocking_recv() {
            errors += batch.misses.len() as u64;
            self.enter(batch)?;
            if self.found.elapsed() > FIND_EVERY {
                duplicates = self.census.found();
                self.found = Instant::now();
            }
            sums.send_replace(Sums { ids: self.census.ids(), errors, duplicates });
        }
        let Ledger { census, mut books, .. } = self;
        for (origin, ids) in census.by_worker() {
            let targets = books.gave.range((origin, 0)..=(origin, usize::MAX)).map(|(_, target)| *target).collect();
            books.workers.push((origin, ids, targets));
        }
        books.spilled_bytes = census.holding().disk_bytes;
        books.tally = census.finish()?;
        Ok(books)
    }

    fn enter(&mut self, batch: Batch) -> io::Result<()> {
        let Ledger { census, layout, books, .. } = self;
        let target = &mut books.targets[batch.target];
        let mut last = None;
        for range in &batch.ranges {
            target.ids += u64::from(range.count);
            census.add(*range)?;
            let origin = layout.decode(range.first).map(|parts| parts.origin);
            if let Some(origin) = origin
                && last != Some(origin)
            {
                books.gave.insert((origin, batch.target));
                last = Some(origin);
            }
        }
        target.answers += batch.latencies.len() as u64;
        target.connections += batch.connections;
        target.errors += batch.misses.len() as u64;
        for latency in batch.latencies {
            books.latency_us.saturating_record(latency.as_micros() as u64);
            books.longest = books.longest.max(latency);
        }
        books.disordered += batch.disordered;
        books.unanswered += batch.unanswered;
        for miss in batch.misses {
            books.miss(miss);
        }
        Ok(())
    }
}

impl Books {
    fn miss(&mut self, miss: Miss) {
        self.refused += u64::from(miss.refused);
        let known = self.errors.len() < KINDS || self.errors.contains_key(&*miss.kind);
        let kind = if known { miss.kind.into_owned() } else { "other".to_owned() };
        self.errors.entry(kind).or_insert(OfKind { count: 0, example: miss.detail }).count += 1;
    }
}
