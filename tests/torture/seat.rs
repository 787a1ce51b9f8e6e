//! A place with its node, the node's own wires to the ensemble, its own wall clock and its own disk.

use crate::drawer::{Address, Drawers, Received};
use crate::ledger::Ledger;
use crate::schedule::{PLACES, Place};
use crate::support::{Ensemble, Launch, Node, Proxy, WallClock, Way};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub struct Seat {
    place: Place,
    folder: PathBuf,
    manifest: PathBuf,
    flaw: Option<String>,
    /// One to each server, so that a node finds another server through its own wires.
    wires: Vec<Proxy>,
    clock: WallClock,
    node: Option<Node>,
    starts: usize,
    address: Address,
    pub received: Arc<Mutex<Received>>,
    drawers: Option<Drawers>,
}

impl Seat {
    pub fn new(place: Place, folder: &Path, manifest: &Path, ensemble: &Ensemble, flaw: Option<&str>) -> Seat {
        let folder = folder.join(PLACES[place.0].0);
        std::fs::create_dir_all(folder.join("state")).expect("a folder");
        Seat {
            place,
            clock: WallClock::new(&folder, 0.0),
            folder,
            manifest: manifest.to_owned(),
            flaw: flaw.map(str::to_owned),
            wires: (0..ensemble.len()).map(|server| Proxy::to(ensemble.address(server))).collect(),
            node: None,
            starts: 0,
            address: Address::default(),
            received: Arc::default(),
            drawers: None,
        }
    }

    pub fn name(&self) -> &'static str {
        PLACES[self.place.0].0
    }

    pub fn draw(&mut self, ledger: &Arc<Ledger>, started: Instant) {
        self.drawers = Some(Drawers::start(self.place, &self.address, &self.received, ledger, started));
    }

    pub fn stop_drawing(&mut self) {
        if let Some(drawers) = self.drawers.take() {
            drawers.finish();
        }
    }

    /// A new process, with a log of its own.
    pub fn start(&mut self) {
        let wires: Vec<String> = self.wires.iter().map(Proxy::connect_string).collect();
        let name = format!("{}.{}", self.name(), self.starts);
        let state = self.folder.join("state").display().to_string();
        let mut launch =
            Launch::new(&name, &self.folder, &self.manifest, &wires.join(",")).with(&["--state-dir", &state]);
        if let Some(slot) = PLACES[self.place.0].1 {
            launch = launch.with(&["--static-slot", &slot.to_string()]);
        }
        if let Some(flaw) = &self.flaw {
            launch = launch.environment("MERIDIAN_BROKEN", flaw);
        }
        self.starts += 1;
        let node = self.clock.of(launch).start();
        *self.address.lock().expect("nothing panics under it") = Some(node.http());
        self.node = Some(node);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        *self.address.lock().expect("nothing panics under it") = None;
        self.node = None; // killed and reaped
    }

    /// Nobody is asked any more once it has left.
    pub fn reap(&mut self) {
        if self.node.as_mut().is_some_and(Node::has_ended) {
            self.kill();
        }
    }

    /// SIGTERM; what becomes of it is asked later.
    pub fn stop(&self) {
        if let Some(node) = &self.node {
            node.stop();
        }
    }

    pub fn pause(&self) {
        if let Some(node) = &self.node {
            node.signal(libc::SIGSTOP);
        }
    }

    pub fn resume(&self) {
        if let Some(node) = &self.node {
            node.signal(libc::SIGCONT);
        }
    }

    pub fn cut(&self, way: Way) {
        self.wires.iter().for_each(|wire| wire.cut(way));
    }

    pub fn slow(&self, delay: Duration) {
        self.wires.iter().for_each(|wire| wire.slow(delay));
    }

    pub fn set_clock(&self, offset_s: f64) {
        self.clock.set(offset_s);
    }

    /// What a full disk does to a high-water mark: the file can be made, and nothing can be written to it.
    pub fn fill_disk(&self, genesis: &str, slots: &[u16]) {
        let Some(node) = &self.node else { return };
        for slot in slots {
            let next = format!(".high-water-{genesis}-1-{slot:02}.next-{}", node.pid());
            let file = self.folder.join("state").join(next);
            let _ = std::fs::remove_file(&file);
            std::os::unix::fs::symlink("/dev/full", &file).expect("a link to a full disk");
        }
    }

    pub fn free_disk(&self) {
        let files = std::fs::read_dir(self.folder.join("state")).expect("the folder of the seat");
        for file in files.flatten() {
            if file.file_type().is_ok_and(|kind| kind.is_symlink()) {
                let _ = std::fs::remove_file(file.path());
            }
        }
    }

    /// Everything as it should be, whatever was done to it.
    pub fn heal(&mut self) {
        self.resume();
        self.wires.iter().for_each(Proxy::heal);
        self.slow(Duration::ZERO);
        self.set_clock(0.0);
        self.free_disk();
    }

    pub fn heal_wires(&self) {
        self.wires.iter().for_each(Proxy::heal);
    }

    pub fn serves(&self, at: Duration) -> bool {
        self.received.lock().expect("nothing panics under it").serves(at)
    }

    pub fn is_there(&self) -> bool {
        self.node.is_some()
    }

    /// The logs of all its processes so far.
    pub fn logs(&self) -> Vec<PathBuf> {
        (0..self.starts).map(|start| self.folder.join(format!("{}.{start}.log", self.name()))).collect()
    }
}
