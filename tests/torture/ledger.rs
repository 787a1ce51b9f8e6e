//! Every id that was given, and by whom.
//!
//! The census is exact, whatever came when. What was given lately is kept with its giver as well, so that a duplicate is
//! seen while the processes that made it still run, with their names.

use crate::schedule::{PLACES, Place};
use meridian::census::{Bounds, Census, Tally};
use meridian::id::{IdRange, SNOWFLAKE64};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// Ranges remembered with their giver: a few minutes of a run.
const REMEMBERED: usize = 1_000_000;

/// Duplicates described; all are counted.
const DESCRIBED: usize = 20;

pub struct Ledger {
    inner: Mutex<Inner>,
}

struct Inner {
    census: Census,
    /// By first id, which is by time: the first one is the oldest.
    recent: BTreeMap<u64, Given>,
    repeats: Vec<String>,
}

#[derive(Clone, Copy)]
struct Given {
    last: u64,
    place: Place,
    at: Duration,
}

impl Ledger {
    pub fn new(folder: &Path) -> Ledger {
        let census = Census::new(SNOWFLAKE64, Bounds::default(), folder.to_owned());
        Ledger { inner: Mutex::new(Inner { census, recent: BTreeMap::new(), repeats: Vec::new() }) }
    }

    /// `at`: since the start of the run.
    pub fn enter(&self, place: Place, at: Duration, ranges: &[IdRange]) {
        let mut inner = self.inner.lock().expect("nothing panics under it");
        for range in ranges {
            inner.census.add(*range).expect("a disk for the census");
            inner.compare(Given { last: range.first + u64::from(range.count) - 1, place, at }, range.first);
        }
    }

    pub fn ids(&self) -> u64 {
        self.inner.lock().expect("nothing panics under it").census.ids()
    }

    /// Duplicates seen so far, as sentences.
    pub fn repeats(&self) -> Vec<String> {
        self.inner.lock().expect("nothing panics under it").repeats.clone()
    }

    /// The exact count.
    pub fn finish(self) -> (Tally, Vec<String>) {
        let inner = self.inner.into_inner().expect("nothing panics under it");
        (inner.census.finish().expect("a disk for the census"), inner.repeats)
    }
}

impl Inner {
    fn compare(&mut self, given: Given, first: u64) {
        let before = self.recent.range(..=first).next_back().filter(|(_, other)| other.last >= first);
        let after = self.recent.range(first..=given.last).next();
        if let Some((other_first, other)) = before.or(after)
            && self.repeats.len() < DESCRIBED
        {
            let id = first.max(*other_first);
            let slot = SNOWFLAKE64.decode(id).map(|parts| parts.origin.worker).unwrap_or_default();
            self.repeats.push(format!(
                "{id} (slot {slot}) came from {} at {:.3} s and from {} at {:.3} s",
                PLACES[other.place.0].0,
                other.at.as_secs_f64(),
                PLACES[given.place.0].0,
                given.at.as_secs_f64()
            ));
        }
        self.recent.insert(first, given);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_first();
        }
    }
}
