//! A client that behaves like a load balancer: it asks each node again and again whether it is ready, sends requests by
//! turns to those that said so last, and keeps its connections.

use super::drawing::{FORMS, PAUSE};
use super::{Caller, Drawn, Node};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two questions to a node whether it is ready; one answer decides. So a node that turns unready is sent
/// requests for this long, and what a probe takes.
pub const PROBE_EVERY: Duration = Duration::from_millis(100);

pub struct Balancer {
    shared: Arc<Shared>,
    drawn: Vec<Arc<Mutex<Drawn>>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Where each node serves, by where it says whether it is ready; and whether it was, when it was last asked.
    nodes: Mutex<BTreeMap<SocketAddr, (SocketAddr, bool)>>,
    stop: AtomicBool,
}

impl Balancer {
    /// One thread that probes, and so many that draw.
    pub fn start(threads: usize) -> Balancer {
        let shared = Arc::new(Shared::default());
        let named = |n| Arc::new(Mutex::new(Drawn::named(format!("balanced {n}"))));
        let drawn: Vec<Arc<Mutex<Drawn>>> = (0..threads).map(named).collect();
        let mut handles = vec![std::thread::spawn({
            let shared = shared.clone();
            move || probe(&shared)
        })];
        for (n, drawn) in drawn.iter().enumerate() {
            let (shared, drawn) = (shared.clone(), drawn.clone());
            handles.push(std::thread::spawn(move || draw(n, &shared, &drawn)));
        }
        Balancer { shared, drawn, threads: handles }
    }

    /// Nothing is sent to it before it said that it is ready.
    pub fn add(&self, node: &Node) {
        let mut nodes = self.shared.nodes.lock().expect("nothing panics under it");
        nodes.insert(node.ops_address(), (node.http(), false));
    }

    /// How many nodes said last that they are ready.
    pub fn ready(&self) -> usize {
        let nodes = self.shared.nodes.lock().expect("nothing panics under it");
        nodes.values().filter(|(_, ready)| *ready).count()
    }

    /// Stops asking; what each thread got.
    pub fn finish(mut self) -> Vec<Drawn> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a balancing thread does not panic");
        }
        self.drawn.iter().map(|drawn| drawn.lock().expect("nothing panics under it").clone()).collect()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn probe(shared: &Shared) {
    let mut probes: BTreeMap<SocketAddr, Caller> = BTreeMap::new();
    while !shared.stops() {
        let asked = Instant::now();
        let nodes: Vec<SocketAddr> = shared.nodes.lock().expect("nothing panics under it").keys().copied().collect();
        for ops in nodes {
            let probe = probes.entry(ops).or_insert_with(|| Caller::new(ops));
            let ready = probe.get("/readyz").is_ok_and(|reply| reply.status == 200);
            if let Some(node) = shared.nodes.lock().expect("nothing panics under it").get_mut(&ops) {
                node.1 = ready;
            }
        }
        std::thread::sleep(PROBE_EVERY.saturating_sub(asked.elapsed()));
    }
}

fn draw(first: usize, shared: &Shared, drawn: &Mutex<Drawn>) {
    let mut callers: BTreeMap<SocketAddr, Caller> = BTreeMap::new();
    let mut begun = false;
    for (turn, (path, accept)) in FORMS.iter().cycle().enumerate() {
        if shared.stops() {
            return;
        }
        let nodes = shared.nodes.lock().expect("nothing panics under it").clone();
        let ready: Vec<SocketAddr> = nodes.values().filter(|(_, ready)| *ready).map(|(http, _)| *http).collect();
        let asked = Instant::now();
        if ready.is_empty() {
            // Before the first node it is nobody's fault.
            if begun {
                let why = std::io::Error::other("no node is ready");
                drawn.lock().expect("nothing panics under it").note(asked, path, Err(why));
            }
        } else {
            begun = true;
            // Started apart, or all threads would ask the same node at the same time.
            let address = ready[(first + turn) % ready.len()];
            let reply = callers.entry(address).or_insert_with(|| Caller::new(address)).ask(path, accept);
            drawn.lock().expect("nothing panics under it").note(asked, path, reply);
        }
        std::thread::sleep(PAUSE);
    }
}
