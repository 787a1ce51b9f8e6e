//! Clients who ask for more than a node can give, and do not care: each asks again when it is due, whatever it was told.

use super::{Caller, Node};
use meridian::id::IdRange;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub connections: u32,
    /// Requests a second over all connections; `None`: each asks again at once.
    pub rate: Option<f64>,
    /// Ids a request, drawn as ranges.
    pub count: u32,
    pub lasts: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Flooded {
    pub ranges: Vec<IdRange>,
    pub served: u64,
    /// 429, or 503 with code `shed`, with a `Retry-After`.
    pub shed: u64,
    /// Anything else.
    pub wrong: Vec<String>,
    /// Looks at the two health calls that were no 200, of so many.
    pub unwell: Vec<String>,
    pub looks: u64,
    pub seconds: f64,
}

impl Flooded {
    pub fn ids(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.count)).sum()
    }

    /// Ids a second.
    pub fn goodput(&self) -> f64 {
        self.ids() as f64 / self.seconds
    }
}

impl Flood {
    pub fn pour(self, node: &Node) -> Flooded {
        let (all, over) = (Arc::<Mutex<Flooded>>::default(), Arc::new(AtomicBool::new(false)));
        let began = Instant::now();
        let ends = began + self.lasts;
        let path = format!("/api/v1/ranges?count={}", self.count);
        let threads: Vec<_> = (0..self.connections)
            .map(|number| {
                let (all, path, address) = (all.clone(), path.clone(), node.http());
                let thread = std::thread::Builder::new().stack_size(256 * 1024);
                let pour = move || {
                    let mut one = Flooded::default();
                    let mut caller = Caller::new(address);
                    let every = self.rate.map(|rate| Duration::from_secs_f64(f64::from(self.connections) / rate));
                    let mut due = began + every.unwrap_or_default() * number / self.connections;
                    while due.max(Instant::now()) < ends {
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        one.take(caller.get(&path));
                        due = every.map_or(due, |every| (due + every).max(Instant::now() - every));
                    }
                    all.lock().expect("nothing panics under it").add(one);
                };
                thread.spawn(pour).expect("a thread")
            })
            .collect();
        let watcher = {
            let (over, address) = (over.clone(), node.http());
            std::thread::spawn(move || {
                let mut looks = Flooded::default();
                while !over.load(Ordering::Relaxed) {
                    for path in ["/api/v1/health", "/api/v1/region/health"] {
                        looks.looks += 1;
                        match Caller::new(address).get(path) {
                            Ok(reply) if reply.status == 200 => {}
                            Ok(reply) => looks.unwell.push(reply.text()),
                            Err(error) => looks.unwell.push(error.to_string()),
                        }
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                looks
            })
        };
        for thread in threads {
            thread.join().expect("a flood does not panic");
        }
        over.store(true, Ordering::Relaxed);
        let mut flooded = std::mem::take(&mut *all.lock().expect("nothing panics under it"));
        flooded.add(watcher.join().expect("nor does who watches"));
        flooded.seconds = began.elapsed().as_secs_f64();
        flooded
    }
}

impl Flooded {
    fn take(&mut self, reply: std::io::Result<super::Reply>) {
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => return self.wrong.push(error.to_string()),
        };
        match (reply.status, reply.retry_after()) {
            (200, _) => {
                self.served += 1;
                self.ranges.extend(super::ranges_of("/ranges", &reply.body));
            }
            (429, Some(1..)) => self.shed += 1,
            (503, Some(1..)) if reply.code() == "shed" => self.shed += 1,
            (status, after) => self.wrong.push(format!("{status}, Retry-After {after:?}: {}", reply.text())),
        }
    }

    fn add(&mut self, other: Flooded) {
        self.ranges.extend(other.ranges);
        self.wrong.extend(other.wrong);
        self.unwell.extend(other.unwell);
        self.served += other.served;
        self.shed += other.shed;
        self.looks += other.looks;
    }
}
