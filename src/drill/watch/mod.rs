//! Who watches: the authoritative server's answers, clients behind the cache, clients with a list of regions, what
//! regions and nodes say of themselves. Each notes what it sees in one record and decides nothing.

mod authority;
mod caller;
mod drawer;
mod ledger;
mod machine;
mod nodes;

pub use authority::sample;
pub use ledger::Ledger;
pub use machine::Watchdog;
pub use nodes::standbys;

use super::record::{Change, Event, Record};
use super::stage::Sight;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The record, the clock it is kept by, and who hears of what changes.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

type Tell = Box<dyn Fn(f64, &str) + Send + Sync>;

struct Shared {
    zero: Instant,
    record: Mutex<Record>,
    tell: Tell,
    /// While this is set, nodes are looked at closely.
    close: AtomicBool,
}

impl Log {
    /// From here on time counts.
    pub fn start(regions: Vec<String>, tell: impl Fn(f64, &str) + Send + Sync + 'static) -> Log {
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let mut record = Record::new(regions);
        record.processors = processors;
        let record = Mutex::new(record);
        let (tell, close) = (Box::new(tell), AtomicBool::new(false));
        Log { shared: Arc::new(Shared { zero: Instant::now(), record, tell, close }) }
    }

    pub fn now_s(&self) -> f64 {
        self.shared.zero.elapsed().as_secs_f64()
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something, and tells of it if it is a change.
    pub fn note(&self, note: impl FnOnce(&mut Record) -> Option<Event>) {
        let mut record = self.record();
        let event = note(&mut record);
        if let Some(event) = event.filter(|_| record.has_begun()) {
            let line = record.tell(&event);
            drop(record);
            (self.shared.tell)(event.at_s, &line);
        }
    }

    pub fn change(&self, change: Change) {
        let at_s = self.now_s();
        self.note(|record| record.state(at_s, change));
    }

    pub fn look_closely(&self, closely: bool) {
        self.shared.close.store(closely, Relaxed);
    }

    fn closely(&self) -> bool {
        self.shared.close.load(Relaxed)
    }

    pub fn into_record(self) -> Record {
        std::mem::take(&mut *self.record())
    }
}

/// Starts all who watch. They end when the set is dropped.
pub fn start(sight: &Sight, log: &Log, ids: &mpsc::Sender<u64>) -> anyhow::Result<JoinSet<()>> {
    let mut watchers = JoinSet::new();
    for (place, spot) in sight.places.iter().enumerate() {
        if let Some((client, subnet)) = spot.client {
            watchers.spawn(authority::watch(sight.clone(), place, subnet, log.clone()));
            watchers.spawn(caller::call(sight.clone(), place, client, log.clone(), ids.clone()));
        }
        let client = drawer::client(sight, &spot.region)?;
        watchers.spawn(drawer::draw(client, place, log.clone(), ids.clone()));
        watchers.spawn(nodes::verdicts(spot.clone(), place, log.clone()));
        watchers.spawn(nodes::metrics(sight.clone(), place, log.clone()));
    }
    Ok(watchers)
}

impl Sight {
    /// The region, by its place, that has this address.
    fn owner(&self, address: IpAddr) -> Option<usize> {
        self.places.iter().position(|spot| spot.public.iter().any(|public| public.ip() == address))
    }

    /// The region, by its place, whose node made this id.
    fn maker(&self, id: u64) -> Option<usize> {
        let origin = self.topology.layout.decode(id)?.origin;
        self.topology.regions.iter().position(|region| region.datacenter == origin.datacenter)
    }
}
