//! The real binary as a process that dies with its test: `meridian serve`, and commands that end by themselves.

use super::ensemble::spawn_for_life;
use super::{Caller, Reply, block_until};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// Runs a command of the binary to its end.
pub fn meridian(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command.args(arguments).args(["--log", "warn"]);
    command.output().expect("the binary runs")
}

/// How a node is started.
#[derive(Clone, Debug)]
pub struct Launch {
    name: String,
    folder: PathBuf,
    manifest: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// `meridian serve`. Dropped: killed and reaped; its log is shown if the test panics.
pub struct Node {
    name: String,
    child: Child,
    http: SocketAddr,
    ops: SocketAddr,
    log: PathBuf,
}

impl Launch {
    /// `name` is for people, and names the log in `folder`.
    pub fn new(name: &str, folder: &Path, manifest: &Path, zookeeper: &str) -> Launch {
        let fixed = ["--health-off", "ntp_synchronized", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let arguments = ["serve", "--json", "--region", "us-west", "--host", name, "--log", "info,meridian=debug"];
        let given = ["--zookeeper", zookeeper];
        let arguments = arguments.iter().chain(&fixed).chain(&given).map(|argument| argument.to_string()).collect();
        let (name, folder, manifest) = (name.to_owned(), folder.to_owned(), manifest.to_owned());
        Launch { name, folder, manifest, arguments, environment: Vec::new() }
    }

    /// Another manifest.
    pub fn manifest(mut self, manifest: &Path) -> Launch {
        self.manifest = manifest.to_owned();
        self
    }

    pub fn with(mut self, arguments: &[&str]) -> Launch {
        self.arguments.extend(arguments.iter().map(|argument| argument.to_string()));
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Launch {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits until its ports are bound.
    pub fn start(self) -> Node {
        let log = self.folder.join(format!("{}.log", self.name));
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command
            .args(&self.arguments)
            .arg("--manifest")
            .arg(&self.manifest)
            .args(["--log-format", "text"])
            .envs(self.environment)
            .env("TOKIO_WORKER_THREADS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log file"));
        let mut child = spawn_for_life(command).expect("the binary runs");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        stdout.read_line(&mut line).expect("a line");
        let bound: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| {
            let _ = (child.kill(), child.wait());
            panic!("{}: {error} in {line:?}:\n{}", self.name, std::fs::read_to_string(&log).unwrap_or_default())
        });
        let address = |key: &str| {
            let url = bound[key].as_str().and_then(|url| url.strip_prefix("http://"));
            url.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{key} in {line}"))
        };
        assert_eq!(bound["pid"], child.id());
        Node { http: address("http"), ops: address("ops"), name: self.name, child, log }
    }
}

impl Node {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn http(&self) -> SocketAddr {
        self.http
    }

    pub fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One call of the public port, on a connection of its own.
    pub fn get(&self, path: &str) -> Reply {
        let reply = Caller::new(self.http).get(path);
        reply.unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name))
    }

    /// One call of the operations port.
    pub fn ops(&self, path: &str) -> Reply {
        let reply = Caller::new(self.ops).get(path);
        reply.unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name))
    }

    /// An operator's order.
    pub fn order(&self, path: &str) -> Reply {
        let reply = Caller::new(self.ops).post(path);
        reply.unwrap_or_else(|error| panic!("{}: {path}: {error}", self.name))
    }

    pub fn is_ready(&self) -> bool {
        self.ops("/readyz").status == 200
    }

    pub fn wait_ready(&self) {
        block_until(format!("{} to be ready", self.name), || self.is_ready().then_some(()));
    }

    /// Waits until it is unready for a reason that contains this, and gives the whole reason.
    pub fn wait_unready(&self, reason: &str) -> String {
        block_until(format!("{} to be unready: {reason}", self.name), || {
            let reply = self.ops("/readyz");
            (reply.status == 503 && reply.text().contains(reason)).then(|| reply.text())
        })
    }

    /// What the node measures: the value of the line that begins with this name and these labels, if it is there.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.ops("/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    /// How often an event of the lease was counted.
    pub fn events(&self, event: &str) -> u64 {
        self.metric(&format!("meridian_lease_events_total{{event=\"{event}\"}}")).unwrap_or_default() as u64
    }

    pub fn wait_events(&self, event: &str, at_least: u64) {
        block_until(format!("{}: {at_least} {event}", self.name), || (self.events(event) >= at_least).then_some(()));
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: plain system call; the child is not reaped before it is waited for, so the id is still its own.
        let outcome = unsafe { libc::kill(pid, signal) };
        assert_eq!(outcome, 0, "kill({pid}, {signal}): {}", std::io::Error::last_os_error());
    }

    /// SIGTERM.
    pub fn stop(&self) {
        self.signal(libc::SIGTERM);
    }

    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    pub fn wait_exit(&mut self) -> ExitStatus {
        block_until(format!("{} to end", self.name), || self.child.try_wait().expect("a child"))
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- the log of {} ends:\n{}", self.name, lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
