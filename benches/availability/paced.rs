//! Clients that draw at a rate, and how long each answer took.

use crate::support::{Caller, Node};
use meridian::id::IdRange;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: u32 = 4;
const IDS_A_REQUEST: usize = 10;

/// Of each client: together 10,000 ids/s.
const EVERY: Duration = Duration::from_millis(4);

pub struct Paced {
    stop: Arc<AtomicBool>,
    drawn: Arc<Mutex<Answers>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Clone, Default)]
pub struct Answers {
    /// When each request was due, and what it took from then.
    pub took: Vec<(Instant, Duration)>,
    pub ranges: Vec<IdRange>,
    pub refused: usize,
    pub lost: usize,
}

impl Paced {
    pub fn from(node: &Node) -> Paced {
        let (stop, drawn) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Answers>>::default());
        let began = Instant::now();
        let thread = |client| {
            let (address, stop, drawn) = (node.http(), stop.clone(), drawn.clone());
            std::thread::spawn(move || {
                let mut caller = Caller::new(address);
                let mut due = began + EVERY * client / CLIENTS;
                while !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let path = format!("/api/v1/ids?count={IDS_A_REQUEST}");
                    let reply = caller.ask(&path, "application/octet-stream");
                    let mut drawn = drawn.lock().expect("nothing panics under it");
                    match reply {
                        Ok(reply) if reply.status == 200 && reply.body.len() == IDS_A_REQUEST * 8 => {
                            drawn.took.push((due, due.elapsed()));
                            let ids = reply.body.chunks_exact(8).map(|id| id.try_into().expect("eight bytes"));
                            drawn.ranges.extend(ids.map(|id| IdRange { first: u64::from_be_bytes(id), count: 1 }));
                        }
                        Ok(_) => drawn.refused += 1,
                        Err(_) => drawn.lost += 1,
                    }
                    due += EVERY;
                }
            })
        };
        let threads = (0..CLIENTS).map(thread).collect();
        Paced { stop, drawn, threads }
    }

    pub fn finish(mut self) -> Answers {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
        self.drawn.lock().expect("nothing panics under it").clone()
    }
}

impl Answers {
    /// Of what was due between these moments: how many, and the percentiles of their latency in milliseconds.
    pub fn between(&self, from: Instant, to: Instant, percentiles: &[f64]) -> (usize, Vec<f64>) {
        let due = self.took.iter().filter(|(due, _)| (from..to).contains(due));
        let mut took: Vec<f64> = due.map(|(_, took)| took.as_secs_f64() * 1_000.0).collect();
        took.sort_by(f64::total_cmp);
        let at = |p: &f64| took[((took.len() as f64 * p) as usize).min(took.len() - 1)];
        (took.len(), percentiles.iter().map(at).collect())
    }
}
