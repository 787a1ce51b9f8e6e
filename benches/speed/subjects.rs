//! Who is measured: Meridian, and what it is held against, each a process of its own on loopback.

use crate::process::{Process, installed};
use crate::support::program::{Program, meridian};
use crate::support::web::{await_ok, get};
use crate::support::{DEADLINE, Ensemble, block_for};
use meridian::clock;
use meridian::fetch::REGION_HEALTH_PATH;
use meridian::topology::{Region, Topology};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regions/meridian.yaml");
pub const REGION: &str = "us-east";

/// A server under measurement.
pub struct Subject {
    pub name: &'static str,
    pub address: SocketAddr,
    pub process: Process,
    _folder: Option<TempDir>,
}

/// Where a node belongs: the region of a manifest, and an ensemble.
pub struct Place {
    hosts: String,
    manifest: String,
    present: bool,
    peers: Vec<String>,
}

/// A node in each of the other regions. Alone, a node looks for their names in vain, and sees each second to whether it has to
/// surge for them.
pub struct Neighbours {
    peers: Vec<String>,
    _nodes: Vec<Program>,
    _folder: TempDir,
}

impl Neighbours {
    /// Starts them, each with files of its own, and waits until all are well.
    pub fn start() -> Neighbours {
        let folder = TempDir::new().expect("a folder");
        let topology = Topology::parse(MANIFEST, &std::fs::read(MANIFEST).expect("the manifest of the repository"));
        let topology = topology.unwrap_or_else(|problems| panic!("{problems}"));
        let others = topology.regions.iter().filter(|region| region.name != REGION);
        let (mut peers, mut nodes) = (Vec::new(), Vec::new());
        for Region { name, .. } in others {
            let coordination = format!("file:{}", folder.path().join(name).display());
            let place = ["--manifest", MANIFEST, "--region", name, "--coordination", &coordination, "--init"];
            let ports = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
            // What the machine's clock and load are like is not what is measured.
            let off = ["--health-off", "ntp_synchronized,clock_drift_ms,response_time_ms"];
            let mut node = Program::start(meridian(&[&["serve", "--json"], &place[..], &ports, &off].concat()));
            let line: Value = serde_json::from_str(&node.line()).expect("JSON");
            let http = line["http"].as_str().expect("an address");
            await_ok(http, REGION_HEALTH_PATH);
            peers.push(format!("{name}={http}"));
            nodes.push(node);
        }
        Neighbours { peers, _nodes: nodes, _folder: folder }
    }
}

impl Place {
    /// By the manifest of the repository.
    pub fn on(ensemble: &Ensemble) -> Place {
        let manifest = std::fs::read_to_string(MANIFEST).expect("the manifest of the repository");
        Place { hosts: ensemble.connect_string(), manifest, present: true, peers: Vec::new() }
    }

    /// Whether it is waited for until ids are of this moment; where no time counts they need not be.
    pub fn present(mut self, wanted: bool) -> Place {
        self.present = wanted;
        self
    }

    /// In another tree of the same ensemble.
    pub fn under(mut self, chroot: &str) -> Place {
        self.hosts.push_str(chroot);
        self
    }

    /// In sight of these.
    pub fn among(mut self, neighbours: &Neighbours) -> Place {
        self.peers.clone_from(&neighbours.peers);
        self
    }

    /// By a manifest that differs from it here.
    pub fn with(mut self, from: &str, to: &str) -> Place {
        assert_eq!(self.manifest.matches(from).count(), 1, "{from:?} in {MANIFEST}");
        self.manifest = self.manifest.replace(from, to);
        self
    }
}

/// A node on real ZooKeeper, with everything on: metrics, health, limits.
pub fn node(place: &Place) -> Subject {
    let folder = TempDir::new().expect("a folder");
    let manifest = folder.path().join("meridian.yaml");
    std::fs::write(&manifest, &place.manifest).expect("a manifest");
    let manifest = manifest.to_str().expect("text");
    let where_to = ["--manifest", manifest, "--region", REGION, "--zookeeper", &place.hosts];
    let ports = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--init"];
    let peers: Vec<&str> = place.peers.iter().flat_map(|peer| ["--peer", peer]).collect();
    let mut process = Process::start(&meridian(&[&["serve", "--json"], &where_to[..], &ports, &peers].concat()));
    let line: Value = serde_json::from_str(&process.program.line()).expect("JSON");
    let http = line["http"].as_str().expect("an address").to_owned();
    let address = http.trim_start_matches("http://").parse().expect("an address");
    if place.present {
        await_present(&http);
    } else {
        await_ok(&http, "/api/v1/id");
    }
    Subject { name: "meridian", address, process, _folder: Some(folder) }
}

/// Waits until a fresh id is of this moment: a slot of a new tree begins ahead of the clock, and has time to spare.
fn await_present(http: &str) {
    block_for(Duration::from_secs(90), "an id of this moment", || {
        let id = get(http, "/api/v1/id", "text/plain").ok().filter(|answer| answer.status == 200)?;
        let id = get(http, &format!("/api/v1/ids/{}", id.text().trim()), "*/*").ok()?;
        let id: Value = serde_json::from_slice(&id.body).expect("JSON");
        (id["time"].as_str()? <= clock::rfc3339(clock::real_us() / 1_000).as_str()).then_some(())
    });
}

/// hyper with nothing around it: what HTTP itself costs in this language. This very program, started again.
pub fn bare_hyper() -> Subject {
    bare(crate::bare::ARGUMENT)
}

/// The same over HTTP/2.
pub fn bare_hyper_of_http2() -> Subject {
    bare(crate::bare::ARGUMENT_OF_HTTP2)
}

fn bare(argument: &str) -> Subject {
    let own = std::env::current_exe().expect("a path");
    let mut command = Command::new(own);
    command.arg(argument);
    let mut process = Process::start(&command);
    let address = process.program.line().trim().parse().expect("an address");
    Subject { name: "bare hyper", address, process, _folder: None }
}

/// nginx that says one fixed thing.
pub fn nginx() -> Subject {
    need("nginx");
    let folder = TempDir::new().expect("a folder");
    let address = free();
    let at = folder.path().display();
    let config = format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr crit;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\n  access_log off; keepalive_requests 1000000000; server_tokens off;\n\
         {}\
           server {{\n    listen {address};\n    default_type application/json;\n    \
         location / {{ return 200 '{{\"id\":\"7251238491238491238\"}}'; }}\n  }}\n}}\n",
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {at}/{name};\n"))
            .concat(),
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("a file");
    let mut command = Command::new("nginx");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).arg("-p").arg(folder.path()).arg("-c").arg(&file);
    let process = Process::start(&command);
    await_listening(address);
    Subject { name: "nginx", address, process, _folder: Some(folder) }
}

/// The fastest gRPC server of snowflake ids that we know of, with one worker as a node has.
pub fn ferroid() -> Subject {
    let folder = std::env::var_os("MERIDIAN_BENCH_TOOLS").map(PathBuf::from).unwrap_or_else(tools);
    let binary = folder.join("bin/ferroid-tonic-server");
    assert!(binary.is_file(), "{} is not there: run scripts/install-bench", binary.display());
    let address = free();
    let mut command = Command::new(binary);
    command.args(["--num-workers", "1", "--server-addr", &address.to_string()]);
    let process = Process::start(&command);
    await_listening(address);
    Subject { name: "ferroid-tonic-server", address, process, _folder: None }
}

/// Where `scripts/install-bench` puts things.
fn tools() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install-bench");
    let told = Command::new(&script).arg("--where").output().expect("scripts/install-bench runs");
    PathBuf::from(String::from_utf8(told.stdout).expect("a path").trim())
}

pub fn need(program: &str) {
    assert!(installed(program), "{program} is not installed: run scripts/install-bench");
}

/// A port that is free now. Between this and the server's own bind somebody might take it; then the run says so and ends.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

fn await_listening(address: SocketAddr) {
    block_for(DEADLINE, format_args!("somebody to listen on {address}"), || TcpStream::connect(address).ok());
}
