//! Those who ask the node in a place for ids, without a pause, whatever happens to it.

use crate::ledger::Ledger;
use crate::schedule::Place;
use crate::support::{Caller, ranges_of};
use meridian::id::{IdRange, SNOWFLAKE64};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Answers this close to each other are one stretch of service.
pub const APART: Duration = Duration::from_millis(100);

/// Between two requests: 2 cores carry the nodes, ZooKeeper and this.
const PAUSE: Duration = Duration::from_millis(3);

/// Before the next question to one that has nothing to give.
const LATER: Duration = Duration::from_millis(20);

/// What one thread asks for by turns, and the other.
const MIXED: [(&str, &str); 4] = [
    ("/api/v1/ranges?count=2000", "application/json"),
    ("/api/v1/ids?count=300", "application/octet-stream"),
    ("/api/v1/ranges?count=6000", "application/json"),
    ("/api/v1/ids?count=20", "application/json"),
];
const SINGLE: [(&str, &str); 1] = [("/api/v1/id", "application/json")];

/// What came from the node in a place.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub answers: u64,
    pub ids: u64,
    pub refused: BTreeMap<String, u64>,
    /// No answer: nobody listens, or the connection ended.
    pub lost: u64,
    /// When ids came, since the start of the run: from, to.
    pub served: Vec<(Duration, Duration)>,
    pub disorder: Vec<String>,
}

impl Received {
    fn served_at(&mut self, at: Duration) {
        match self.served.last_mut() {
            Some((_, to)) if at.saturating_sub(*to) <= APART => *to = at.max(*to),
            _ => self.served.push((at, at)),
        }
    }

    /// Whether ids came just before this moment.
    pub fn serves(&self, at: Duration) -> bool {
        self.served.last().is_some_and(|(_, to)| at.saturating_sub(*to) <= APART * 2)
    }
}

/// Where the node of a place listens now, if there is one.
pub type Address = Arc<Mutex<Option<SocketAddr>>>;

pub struct Drawers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drawers {
    pub fn start(
        place: Place,
        address: &Address,
        received: &Arc<Mutex<Received>>,
        ledger: &Arc<Ledger>,
        started: Instant,
    ) -> Drawers {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = [&MIXED[..], &SINGLE[..]].map(|forms| {
            let drawer = Drawer {
                place,
                address: address.clone(),
                received: received.clone(),
                ledger: ledger.clone(),
                started,
                stop: stop.clone(),
                last: BTreeMap::new(),
            };
            std::thread::spawn(move || drawer.run(forms))
        });
        Drawers { stop, threads: threads.into() }
    }

    /// Stops asking, after what is under way.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a drawer does not panic");
        }
    }
}

struct Drawer {
    place: Place,
    address: Address,
    received: Arc<Mutex<Received>>,
    ledger: Arc<Ledger>,
    started: Instant,
    stop: Arc<AtomicBool>,
    /// The last id of each slot: what comes next from it must be higher.
    last: BTreeMap<u16, u64>,
}

impl Drawer {
    fn run(mut self, forms: &[(&str, &str)]) {
        let mut caller: Option<(SocketAddr, Caller)> = None;
        for (path, accept) in forms.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let Some(address) = *self.address.lock().expect("nothing panics under it") else {
                caller = None;
                std::thread::sleep(LATER);
                continue;
            };
            let (_, caller) = match &mut caller {
                Some(known) if known.0 == address => known,
                other => other.insert((address, Caller::new(address))),
            };
            let reply = caller.ask(path, accept);
            let at = self.started.elapsed();
            let pause = match reply {
                Ok(reply) if reply.status == 200 => {
                    self.take(at, &ranges_of(path, &reply.body));
                    PAUSE
                }
                Ok(reply) => {
                    let mut received = self.received.lock().expect("nothing panics under it");
                    *received.refused.entry(format!("{} {}", reply.status, reply.code())).or_default() += 1;
                    LATER
                }
                Err(_) => {
                    self.received.lock().expect("nothing panics under it").lost += 1;
                    LATER
                }
            };
            std::thread::sleep(pause);
        }
    }

    fn take(&mut self, at: Duration, ranges: &[IdRange]) {
        self.ledger.enter(self.place, at, ranges);
        let mut received = self.received.lock().expect("nothing panics under it");
        received.answers += 1;
        received.served_at(at);
        for range in ranges {
            received.ids += u64::from(range.count);
            let slot = SNOWFLAKE64.decode(range.first).expect("an id of the layout").origin.worker;
            let last = range.first + u64::from(range.count) - 1;
            if let Some(before) = self.last.insert(slot, last)
                && before >= range.first
            {
                received.disorder.push(format!(
                    "slot {slot} at {:.3} s: {} after {before}",
                    at.as_secs_f64(),
                    range.first
                ));
            }
        }
    }
}
