//! The regional client: ids from an ordered list of regions, prefetched, failing over in milliseconds.
//!
//! A client does not wait for DNS to notice that a region is down. It holds ids for the next second (never older than
//! a few), so that taking one costs nanoseconds and a region's death usually nobody anything; whoever fails is ejected
//! and tried again in the background. `docs/CLIENT.md` has the rules and their reasons.
//!
//! ```no_run
//! # async fn example() -> Result<(), meridian::client::Error> {
//! use meridian::client::{Client, Regions};
//!
//! let regions = Regions::new()
//!     .region("us-east", ["http://us-east.ids.example.com:8080"])?
//!     .region("us-west", ["http://us-west.ids.example.com:8080"])?;
//! let client = Client::new(regions)?;
//! let id: u64 = client.next_id().await?;
//! let thousand: Vec<u64> = client.ids(1_000).await?.iter().collect();
//! # Ok(()) }
//! ```
//!
//! What a client does without a server:
//!
//! ```
//! use meridian::client::{Client, Error, Regions};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let client = Client::new(Regions::at(["http://127.0.0.1:1"]).unwrap()).unwrap();
//! assert_eq!(client.try_next_id(), None);
//! assert!(matches!(client.next_id().await, Err(Error::Unavailable { .. })));
//! # }
//! ```

mod budget;
mod counters;
pub(crate) mod dns;
mod draw;
mod ejection;
mod error;
mod harvest;
mod keeper;
mod line;
mod next;
mod pool;
mod prefetch;
mod regions;
mod roster;
mod settings;
mod span;
mod stock;

pub use budget::RetryBudget;
pub use counters::{Counters, EndpointCounters};
pub use ejection::Ejection;
pub use error::Error;
pub use line::{Form, Line, Miss, Source};
pub use prefetch::Prefetch;
pub use regions::{PUBLIC_PORT, Regions};
pub use settings::Settings;

use crate::clock;
use crate::id::IdRange;
use budget::Budget;
use counters::Sums;
use keeper::Closing;
use next::NextId;
use roster::Roster;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};
use stock::{Stock, Taken};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

/// The most ids of one call.
pub const IDS_PER_CALL: u32 = 10_000_000;

/// A client. Clones share everything; when the last is dropped, its task ends and its connections close.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

/// Ended when nobody holds it any more.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What callers and the client's own task share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    stock: Stock,
    roster: Arc<Roster>,
    budget: Mutex<Budget>,
    sums: Sums,
    /// Ids that callers wait for.
    demand: AtomicU64,
    /// Somebody came and found nothing.
    missed: AtomicBool,
    /// For the task: look.
    wake: Notify,
    /// For those who wait: look.
    filled: Notify,
    /// The last request that failed, and when it began.
    failure: Mutex<Option<(Instant, Error)>>,
    /// Why the last attempt that failed did, and when.
    trouble: Mutex<Option<(Instant, String)>>,
    closed: AtomicBool,
}

impl Shared {
    /// What is left to do when few ids are, or none of the current span: one call, out of the way of all others.
    #[cold]
    #[inline(never)]
    fn take_rarely(&self, taken: Option<(IdRange, bool)>, most: u32, now_us: u64) -> Option<IdRange> {
        let Taken { range, low } = match taken {
            Some((range, low)) => Taken { range: Some(range), low },
            None => self.stock.take(most, now_us),
        };
        if low {
            if range.is_none() {
                self.missed.store(true, Relaxed);
            }
            self.wake.notify_one();
        }
        range
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().expect("no holder of this lock panics")
    }

    fn fail(&self, begun: Instant, error: Error) {
        *self.failure.lock().expect("no holder of this lock panics") = Some((begun, error));
    }

    /// An attempt failed.
    fn note(&self, trouble: String) {
        *self.trouble.lock().expect("no holder of this lock panics") = Some((Instant::now(), trouble));
    }

    /// Why attempts fail, for somebody who waits since then.
    fn cause(&self, since: Instant) -> String {
        let noted = self.trouble.lock().expect("no holder of this lock panics").clone();
        match noted {
            Some((at, trouble)) if at >= since => trouble,
            _ => self.roster.trouble().unwrap_or_else(|| "those who were asked did not answer in time".to_owned()),
        }
    }

    /// Why a request failed that began after this.
    fn failure_since(&self, since: Instant) -> Option<Error> {
        let failure = self.failure.lock().expect("no holder of this lock panics");
        failure.as_ref().filter(|(begun, _)| *begun >= since).map(|(_, error)| error.clone())
    }
}

/// Ids, as the ranges in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(Vec<IdRange>);

impl Ids {
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|range| range.ids())
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|range| range.count as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Callers wait for so many ids, until this is dropped.
struct Demand<'a> {
    shared: &'a Shared,
    left: u32,
}

impl<'a> Demand<'a> {
    fn new(shared: &'a Shared, left: u32) -> Demand<'a> {
        shared.demand.fetch_add(left.into(), AcqRel);
        Demand { shared, left }
    }

    fn less(&mut self, got: u32) {
        self.left -= got;
        self.shared.demand.fetch_sub(got.into(), AcqRel);
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.shared.demand.fetch_sub(self.left.into(), AcqRel);
    }
}

impl Client {
    /// A client of these regions with the default settings. Call it within a tokio runtime; its task runs there. Nothing
    /// is asked before the first id is.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(regions: Regions) -> Result<Client, Error> {
        Client::with(regions, Settings::default())
    }

    /// The same with settings of your own.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn with(regions: Regions, settings: Settings) -> Result<Client, Error> {
        settings.check()?;
        if regions.0.is_empty() {
            return Err(Error::Settings("no region; give at least one".to_owned()));
        }
        let shared = Arc::new(Shared {
            stock: Stock::new(settings.layout),
            roster: Arc::new(Roster::new(&regions, settings.clone())),
            budget: Mutex::new(Budget::new(settings.retry_budget, Instant::now().into_std())),
            sums: Sums::default(),
            demand: AtomicU64::new(0),
            missed: AtomicBool::new(false),
            wake: Notify::new(),
            filled: Notify::new(),
            failure: Mutex::new(None),
            trouble: Mutex::new(None),
            closed: AtomicBool::new(false),
            settings,
        });
        let task = tokio::spawn(keeper::run(Closing::new(shared.clone()), regions));
        Ok(Client { shared, _task: Arc::new(Task(task.abort_handle())) })
    }

    /// An id if one is at hand; costs nanoseconds and never waits. `None`: none is now, and some will soon be.
    #[inline]
    pub fn try_next_id(&self) -> Option<u64> {
        self.take(1).map(|range| range.first)
    }

    /// The next id. Ids of one worker strictly ascend in the order in which calls return; ids of several interleave.
    ///
    /// # Cancel safety
    /// No id is lost with the future.
    #[inline]
    pub fn next_id(&self) -> impl Future<Output = Result<u64, Error>> + Send {
        NextId::of(self)
    }

    async fn wait_for_one(&self) -> Result<u64, Error> {
        let mut got = Vec::new();
        self.wait(1, &mut got).await?;
        Ok(got[0].first)
    }

    /// `count` ids at once; up to [`IDS_PER_CALL`].
    ///
    /// # Cancel safety
    /// What was taken already is lost with the future: a gap.
    pub async fn ids(&self, count: u32) -> Result<Ids, Error> {
        if count > IDS_PER_CALL {
            return Err(Error::TooMany { asked: count, most: IDS_PER_CALL });
        }
        let mut got = Vec::new();
        self.wait(count, &mut got).await?;
        Ok(Ids(got))
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let Sums { requests, failed, retries, failovers, budget_waits, trials } = &self.shared.sums;
        let (ids, dropped) = self.shared.stock.used();
        let mut counters = Counters {
            ids,
            dropped,
            held: self.shared.stock.left(),
            requests: requests.load(Relaxed),
            failed: failed.load(Relaxed),
            retries: retries.load(Relaxed),
            failovers: failovers.load(Relaxed),
            budget_waits: budget_waits.load(Relaxed),
            trials: trials.load(Relaxed),
            ..Counters::default()
        };
        self.shared.roster.count(&mut counters);
        counters
    }

    /// The clock is read for each id, although that is nearly half of the cost. The task drops what is too old, but not
    /// while nobody drives its runtime or the process is stopped; then only who takes an id can see how old it is.
    #[inline(always)] // or the range is returned through memory
    fn take(&self, most: u32) -> Option<IdRange> {
        let now_us = clock::coarse_us();
        match self.shared.stock.take_current(most, now_us) {
            Some((range, false)) => Some(range),
            rare => self.shared.take_rarely(rare, most, now_us),
        }
    }

    /// Takes what is there, and waits for the rest.
    async fn wait(&self, count: u32, got: &mut Vec<IdRange>) -> Result<(), Error> {
        let shared = &*self.shared;
        let begun = Instant::now();
        let within = shared.settings.deadline + shared.settings.wait(count);
        let until = begun + within;
        let mut demand = Demand::new(shared, count);
        loop {
            let mut filled = std::pin::pin!(shared.filled.notified());
            filled.as_mut().enable(); // or a notice between the look and the wait would be missed
            while demand.left > 0
                && let Some(range) = self.take(demand.left)
            {
                demand.less(range.count);
                got.push(range);
            }
            if demand.left == 0 {
                return Ok(());
            }
            if shared.closed.load(Relaxed) {
                return Err(Error::Closed);
            }
            if let Some(error) = shared.failure_since(begun) {
                return Err(error);
            }
            if timeout_at(until, filled).await.is_err() {
                return Err(Error::Unavailable { within, cause: shared.cause(begun) });
            }
        }
    }
}
