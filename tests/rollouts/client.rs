//! Clients of the Service, for as long as a stage stands: one that connects anew for each id, and two that keep their
//! connection, as those behind a connection-level balancer do: to whom it goes is decided when it is made, and it stays
//! with that pod until one of them closes it, whatever becomes of the endpoint meanwhile.

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::pod::Pod;
use crate::service::Service;
use crate::support::{Caller, ranges_of};
use meridian::id::SNOWFLAKE64;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Before a client that knows no endpoint looks again.
const NOBODY: Duration = Duration::from_millis(10);

struct Habit {
    forms: &'static [(&'static str, &'static str)],
    keeps: bool,
    pause: Duration,
}

/// How many there are, numbered from 0.
pub const CLIENTS: u64 = HABITS.len() as u64;

static HABITS: [Habit; 3] = [
    Habit { forms: &[("/api/v1/id", "application/json")], keeps: false, pause: Duration::from_millis(25) },
    Habit {
        forms: &[
            ("/api/v1/ids?count=200", "application/octet-stream"),
            ("/api/v1/ranges?count=2000", "application/json"),
        ],
        keeps: true,
        pause: Duration::from_millis(25),
    },
    // Asks seldom, and so finds out late what became of its connection.
    Habit { forms: &[("/api/v1/id", "application/json")], keeps: true, pause: Duration::from_millis(400) },
];

pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

pub struct Shared {
    pub service: Arc<Service>,
    pub ledger: Arc<Ledger>,
    pub stop: AtomicBool,
    /// Something was killed or stopped in this step, so that nobody may be there to serve.
    pub struck: AtomicBool,
}

impl Clients {
    pub fn start(seed: u64, shared: Arc<Shared>) -> Clients {
        let client = |(number, habit): (usize, &'static Habit)| {
            let shared = shared.clone();
            std::thread::spawn(move || draw(number as u64, habit, Dice::new(seed ^ number as u64), &shared))
        };
        let threads = HABITS.iter().enumerate().map(client).collect();
        Clients { shared, threads }
    }

    /// # Panics
    /// If a client panicked: an answer that is none.
    pub fn finish(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn draw(number: u64, habit: &Habit, mut dice: Dice, shared: &Shared) {
    let mut kept: Option<(Arc<Pod>, Caller)> = None;
    let mut served = false;
    // Since when it has wanted the id it waits for, and whether something was killed meanwhile.
    let mut wanted: Option<Instant> = None;
    let mut struck = false;
    // The last id of each slot: what comes next from it must be higher.
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for (path, accept) in habit.forms.iter().cycle() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        wanted.get_or_insert_with(Instant::now);
        struck |= shared.struck.load(Ordering::Relaxed);
        let (pod, mut caller) = match kept.take() {
            Some(kept) => kept,
            None => {
                let endpoints = shared.service.endpoints(number);
                if endpoints.is_empty() {
                    // Before the first node it is nobody's fault.
                    if served && !struck {
                        shared.ledger.nobody();
                    }
                    std::thread::sleep(NOBODY);
                    continue;
                }
                let pod = endpoints[dice.index(endpoints.len())].clone();
                let caller = Caller::new(pod.http());
                (pod, caller)
            }
        };
        let asked = Instant::now();
        let reply = caller.ask(path, accept);
        let problem = match &reply {
            Ok(reply) if reply.status == 200 => None,
            Ok(reply) => Some(format!("{} {}", reply.status, reply.code())),
            Err(error) => Some(format!("{:?}", error.kind())),
        };
        match (problem, reply) {
            (None, Ok(reply)) => {
                let ranges = ranges_of(path, &reply.body);
                for range in &ranges {
                    let slot = SNOWFLAKE64.decode(range.first).expect("an id of the layout").origin.worker;
                    let highest = range.first + u64::from(range.count) - 1;
                    if let Some(before) = last.insert(slot, highest)
                        && before >= range.first
                    {
                        shared.ledger.disorder(format!("slot {slot}: {} after {before}", range.first));
                    }
                }
                shared.ledger.given(&ranges);
                struck |= shared.struck.load(Ordering::Relaxed);
                let since = wanted.take().expect("set above");
                // Before the first id the stage was being built.
                if std::mem::replace(&mut served, true) {
                    shared.ledger.waited(since.elapsed(), !struck);
                }
                struck = false;
                if habit.keeps && caller.is_connected() {
                    kept = Some((pod, caller));
                }
            }
            (Some(problem), _) => match pod.excuse(asked) {
                Some(excuse) => {
                    struck = true;
                    shared.ledger.struck(format!("{problem} ({excuse})"));
                }
                None => shared.ledger.refused(format!("client {number}: {problem} from {}", pod.describe())),
            },
            (None, Err(_)) => unreachable!("an error is a problem"),
        }
        std::thread::sleep(habit.pause);
    }
}
