//! What clients were given and what they were denied, counted without exception.

use meridian::census::{Bounds, Census, Tally};
use meridian::id::{IdRange, SNOWFLAKE64};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// Refusals described; all are counted.
const DESCRIBED: usize = 12;

pub struct Ledger(Mutex<Inner>);

struct Inner {
    census: Census,
    sums: Sums,
}

#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// By nodes that had said that they were ready and to which nothing had been done: each breaks the promise.
    pub refused: u64,
    pub described: Vec<String>,
    /// By processes that were killed or stopped under the request, by what it looked like.
    pub struck: BTreeMap<String, u64>,
    /// Looks at which a client knew no endpoint though nothing had been killed.
    pub nobody: u64,
    /// Ids that did not rise within a slot, seen by one client on one connection after the other.
    pub disorder: Vec<String>,
    /// Answers with ids, of all clients.
    pub answers: u64,
    /// The longest that a client wanted one id for: in orderly steps, and when processes were killed or stopped.
    pub wait_orderly: Duration,
    pub wait_struck: Duration,
}

impl Ledger {
    pub fn new(folder: &Path) -> Ledger {
        let census = Census::new(SNOWFLAKE64, Bounds { pending: 1 << 14, ..Bounds::default() }, folder.to_owned());
        Ledger(Mutex::new(Inner { census, sums: Sums::default() }))
    }

    pub fn given(&self, ranges: &[IdRange]) {
        let mut inner = self.0.lock().expect("nothing panics under it");
        inner.sums.answers += 1;
        for range in ranges {
            inner.census.add(*range).expect("a disk for the census");
        }
    }

    pub fn refused(&self, what: String) {
        let mut inner = self.0.lock().expect("nothing panics under it");
        inner.sums.refused += 1;
        if inner.sums.described.len() < DESCRIBED {
            inner.sums.described.push(what);
        }
    }

    pub fn struck(&self, what: String) {
        *self.0.lock().expect("nothing panics under it").sums.struck.entry(what).or_default() += 1;
    }

    pub fn nobody(&self) {
        self.0.lock().expect("nothing panics under it").sums.nobody += 1;
    }

    pub fn disorder(&self, what: String) {
        self.0.lock().expect("nothing panics under it").sums.disorder.push(what);
    }

    pub fn waited(&self, wait: Duration, orderly: bool) {
        let sums = &mut self.0.lock().expect("nothing panics under it").sums;
        let longest = if orderly { &mut sums.wait_orderly } else { &mut sums.wait_struck };
        *longest = wait.max(*longest);
    }

    /// Up to now.
    pub fn sums(&self) -> Sums {
        self.0.lock().expect("nothing panics under it").sums.clone()
    }

    /// Every duplicate there is.
    pub fn finish(&self) -> (Tally, Sums) {
        let mut inner = self.0.lock().expect("nothing panics under it");
        let empty = Census::new(SNOWFLAKE64, Bounds::default(), Path::new("").to_owned());
        let census = std::mem::replace(&mut inner.census, empty);
        (census.finish().expect("a disk for the census"), inner.sums.clone())
    }
}

/// A ledger that is handed one id of two different answers again must say so.
pub fn check() {
    let ledger = Ledger::new(&std::env::temp_dir());
    let first = 1 << 40;
    ledger.given(&[IdRange { first, count: 100 }]);
    ledger.given(&[IdRange { first: first + 200, count: 1 }]);
    ledger.given(&[IdRange { first: first + 99, count: 1 }]);
    let (tally, sums) = ledger.finish();
    assert_eq!((tally.ids, tally.duplicates, sums.answers), (102, 1, 3), "a duplicate is not seen");
    assert_eq!(tally.examples, [first + 99]);
}
