//! One `meridian serve`: started, killed, stopped and told to leave, again and again.

use super::process::Process;
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::process::Command;

/// Longer than any act: a node that was told to leave serves until it is told again.
const LAME_DUCK_SECONDS: &str = "600";

/// What all nodes are started from.
#[derive(Clone, Debug)]
pub struct Launch {
    pub manifest: PathBuf,
    pub logs: PathBuf,
    pub state: PathBuf,
    pub hold_seconds: f64,
    pub health_off: Vec<String>,
    /// Where each node finds the other regions: `REGION=URL`. Empty if it does not ask them.
    pub peers: Vec<(String, String)>,
}

/// Where a node is and whether it may be sent requests, for everybody who looks.
#[derive(Debug)]
pub struct Seat {
    pub name: String,
    pub http: SocketAddr,
    pub ops: SocketAddr,
    /// What it said when it was last asked.
    pub ready: AtomicBool,
    /// It has been ready once since it was started: load balancers know it. Standbys are not among those who are sent
    /// requests when nobody is ready.
    pub joined: AtomicBool,
}

impl Seat {
    pub fn said(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
        self.joined.fetch_or(ready, Relaxed);
    }

    fn left(&self) {
        self.ready.store(false, Relaxed);
        self.joined.store(false, Relaxed);
    }
}

#[derive(Debug)]
pub struct Node {
    pub seat: std::sync::Arc<Seat>,
    region: String,
    zookeeper: SocketAddr,
    static_slot: Option<u16>,
    process: Option<Process>,
}

impl Node {
    pub fn new(region: &str, number: u16, address: [SocketAddr; 2], zookeeper: SocketAddr) -> Node {
        let [http, ops] = address;
        let (ready, joined) = (AtomicBool::new(false), AtomicBool::new(false));
        let seat = Seat { name: format!("{region}-{number}"), http, ops, ready, joined };
        Node { seat: seat.into(), region: region.to_owned(), zookeeper, static_slot: None, process: None }
    }

    pub fn with_static_slot(mut self, slot: Option<u16>) -> Node {
        self.static_slot = slot;
        self
    }

    pub fn start(&mut self, launch: &Launch) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe().context("finding the meridian binary")?);
        // What is set for one node must not reach all of these.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MERIDIAN_") {
                command.env_remove(name);
            }
        }
        command.args(["--log", "info,zookeeper_client=warn", "--log-format", "text", "serve", "--init"]);
        command.arg("--manifest").arg(&launch.manifest).args(["--region", &self.region, "--host", &self.seat.name]);
        command.args(["--listen", &self.seat.http.to_string(), "--ops-listen", &self.seat.ops.to_string()]);
        command.args(["--zookeeper", &self.zookeeper.to_string(), "--lame-duck-seconds", LAME_DUCK_SECONDS]);
        command.arg("--state-dir").arg(launch.state.join(&self.seat.name));
        command.args(["--region-hold-seconds", &launch.hold_seconds.to_string()]);
        if let Some(slot) = self.static_slot {
            command.args(["--static-slot", &slot.to_string()]);
        }
        if !launch.health_off.is_empty() {
            command.args(["--health-off", &launch.health_off.join(",")]);
        }
        for (region, url) in launch.peers.iter().filter(|(region, _)| *region != self.region) {
            command.args(["--peer", &format!("{region}={url}")]);
        }
        self.process = Some(Process::start(&self.seat.name, &launch.logs, command)?);
        Ok(())
    }

    /// SIGKILL, and reaped.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
        self.seat.left();
    }

    pub fn signal(&self, signal: libc::c_int) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    pub fn last_words(&self) -> String {
        self.process.as_ref().map(Process::last_words).unwrap_or_default()
    }
}

/// Where its state is kept, for all nodes.
pub fn state_folder(folder: &Path) -> PathBuf {
    folder.join("state")
}
