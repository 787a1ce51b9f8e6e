//! Real gdnsd and real PowerDNS on what `meridian render` wrote for them, as unprivileged processes that die with the
//! test.

use super::support::program::{Ended, run};
use super::support::{block_until, own_address, spawn_for_life};
use meridian::geodns::ask::{Answer, Question, Unanswered, ask};
use meridian::geodns::survey::subnet;
use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const REMEDY: &str = "install it: scripts/install (apt-get install gdnsd pdns-server pdns-backend-bind)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gdnsd,
    Powerdns,
}

pub const BOTH: [Kind; 2] = [Kind::Gdnsd, Kind::Powerdns];

impl Kind {
    pub fn target(self) -> &'static str {
        match self {
            Kind::Gdnsd => "gdnsd",
            Kind::Powerdns => "powerdns",
        }
    }
}

/// A server that runs. Dropped: killed and reaped.
pub struct Engine {
    pub kind: Kind,
    pub address: SocketAddr,
    log: PathBuf,
    child: Child,
}

/// Renders into `folder`/target. What it printed.
pub fn render(kind: Kind, manifest: &Path, folder: &Path, port: u16, listen: SocketAddr) -> (Ended, PathBuf) {
    let into = folder.join(kind.target());
    let run_dir = folder.join(format!("{}-run", kind.target()));
    std::fs::create_dir_all(&run_dir).expect("a folder");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let mut args = vec!["render".to_owned(), kind.target().to_owned(), "-o".to_owned(), text(&into)];
    args.extend(["--manifest".to_owned(), text(manifest), "--listen".to_owned(), listen.to_string()]);
    args.extend(["--run-dir".to_owned(), text(&run_dir), "--probe-port".to_owned(), port.to_string()]);
    if kind == Kind::Powerdns {
        args.extend(["--config-dir".to_owned(), text(&into)]);
    }
    let ended = run(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ended.code(), Some(0), "{args:?}: {}", ended.err);
    (ended, into)
}

/// The engine's own checker has nothing to say against the files.
pub fn check(kind: Kind, into: &Path, zone: &str) {
    let mut command = match kind {
        Kind::Gdnsd => Command::new("/usr/sbin/gdnsd"),
        Kind::Powerdns => Command::new("/usr/bin/pdnsutil"),
    };
    match kind {
        Kind::Gdnsd => command.arg("-c").arg(into).arg("checkconf"),
        Kind::Powerdns => command.arg("--config-dir").arg(into).args(["check-zone", zone]),
    };
    let ended = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}. {REMEDY}"));
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{command:?}: {said}");
    match kind {
        Kind::Gdnsd => assert!(!said.contains("warning") && !said.contains("error"), "{said}"),
        Kind::Powerdns => assert!(said.contains("0 errors, 0 warnings"), "{said}"),
    }
}

/// A free port for UDP on an address of our own.
pub fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind((own_address(), 0)).expect("a free port");
    socket.local_addr().expect("a bound port")
}

impl Engine {
    /// Renders, checks, starts, and waits until it answers.
    pub fn start(kind: Kind, manifest: &Path, folder: &Path, port: u16) -> Engine {
        let address = free_address();
        let (_, into) = render(kind, manifest, folder, port, address);
        check(kind, &into, "ids.example.com");
        let mut command = match kind {
            Kind::Gdnsd => {
                let mut command = Command::new("/usr/sbin/gdnsd");
                command.arg("-c").arg(&into).arg("start");
                command
            }
            Kind::Powerdns => {
                let mut command = Command::new("/usr/sbin/pdns_server");
                let folder = format!("--config-dir={}", into.display());
                command.args([&folder, "--daemon=no", "--guardian=no", "--disable-syslog=yes", "--write-pid=no"]);
                command
            }
        };
        let path = folder.join(format!("{}.log", kind.target()));
        let log = File::create(&path).expect("a log file");
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        let child =
            spawn_for_life(command).unwrap_or_else(|error| panic!("{kind:?} does not start ({error}). {REMEDY}"));
        let mut engine = Engine { kind, address, log: path, child };
        let client = ("10.0.0.0/16", true);
        block_until(format!("{kind:?} answers"), || {
            let ended = engine.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{kind:?} ended: {}", engine.log());
            engine.try_ask(client.0, client.1).ok().map(drop)
        });
        engine
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn try_ask(&self, client: &str, ipv4: bool) -> Result<Answer, Unanswered> {
        let question = Question {
            server: self.address,
            name: "ids.example.com",
            ipv4,
            subnet: subnet(client).expect("a network"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(ask(&question, Duration::from_secs(2)))
    }

    /// What a client of this network is answered.
    pub fn ask(&self, client: &str) -> Answer {
        self.try_ask(client, true).unwrap_or_else(|error| panic!("{:?}: {client}: {error}: {}", self.kind, self.log()))
    }

    /// Waits until these addresses are answered to a client of this network.
    pub fn await_answer(&self, client: &str, expect: &[IpAddr]) {
        let mut sorted = expect.to_vec();
        sorted.sort();
        block_until(format!("{:?} answers {client} with {expect:?}", self.kind), || {
            (self.ask(client).addresses == sorted).then_some(())
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
