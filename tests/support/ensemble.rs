//! Real ZooKeeper servers on loopback, one process each, that die with their owner.
//!
//! Each ensemble has an address of its own in 127.0.0.0/8, so that neither tests running side by side nor outgoing
//! connections take a port between its choice and its use, also while a server is down.

use super::block_until;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::Duration;
use tempfile::TempDir;

const JARS: &str = "/usr/share/java";
const REMEDY: &str = "install it: scripts/install-zookeeper";

/// How often other ports are tried when a server does not come up.
const STARTS: usize = 3;

#[derive(Clone, Debug)]
pub struct Settings {
    /// 1 is a standalone server, anything else an ensemble.
    pub servers: usize,
    /// Session expiry is rounded up to ticks.
    pub tick_ms: u32,
    pub min_session_ms: u32,
    /// The most a server's heap may grow to.
    pub heap_mb: u32,
    /// More `-D…` for the servers.
    pub java: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { servers: 1, tick_ms: 200, min_session_ms: 400, heap_mb: 96, java: Vec::new() }
    }
}

/// Servers by index from 0. Dropped: killed, reaped, their folder removed.
pub struct Ensemble {
    servers: Vec<Server>,
    settings: Settings,
    // Last, so that the servers are gone before their folder.
    folder: TempDir,
}

struct Server {
    client: SocketAddr,
    quorum: SocketAddr,
    election: SocketAddr,
    folder: PathBuf,
    process: Option<Process>,
}

impl Ensemble {
    pub fn standalone() -> Ensemble {
        Ensemble::start(Settings::default())
    }

    pub fn three() -> Ensemble {
        Ensemble::start(Settings { servers: 3, ..Settings::default() })
    }

    /// Starts the servers and waits until they serve.
    pub fn start(settings: Settings) -> Ensemble {
        let mut report = String::new();
        for _ in 0..STARTS {
            let mut ensemble = Ensemble::prepare(settings.clone());
            ensemble.start_all();
            match ensemble.await_serving() {
                Ok(()) => return ensemble,
                // Most likely a port was taken between its choice and its use.
                Err(why) => writeln!(report, "{why}").expect("a string takes any text"),
            }
        }
        panic!("no ZooKeeper came up in {STARTS} starts:\n{report}");
    }

    fn prepare(settings: Settings) -> Ensemble {
        let folder = tempfile::Builder::new().prefix("meridian-zk-").tempdir().expect("a temporary folder");
        let address = own_address();
        // All are held until all are chosen, so that no two are the same.
        let held: Vec<TcpListener> =
            (0..settings.servers * 3).map(|_| TcpListener::bind((address, 0)).expect("a free port")).collect();
        let ports: Vec<SocketAddr> = held.iter().map(|held| held.local_addr().expect("a bound port")).collect();
        let servers = ports
            .chunks_exact(3)
            .enumerate()
            .map(|(index, ports)| Server {
                client: ports[0],
                quorum: ports[1],
                election: ports[2],
                folder: folder.path().join(index.to_string()),
                process: None,
            })
            .collect();
        let ensemble = Ensemble { servers, settings, folder };
        ensemble.write_configurations();
        ensemble
    }

    fn write_configurations(&self) {
        let tick = self.settings.tick_ms;
        for (index, server) in self.servers.iter().enumerate() {
            let data = server.folder.join("data");
            std::fs::create_dir_all(&data).expect("a data folder");
            // forceSync=no: what these tests kill is a process, and the page cache outlives it.
            let mut text = format!(
                "tickTime={tick}\ninitLimit={}\nsyncLimit={}\nminSessionTimeout={}\nmaxSessionTimeout=60000\n\
                 dataDir={}\nclientPort={}\nclientPortAddress={}\nadmin.enableServer=false\nmaxClientCnxns=0\n\
                 forceSync=no\n4lw.commands.whitelist=srvr,mntr,srst\n",
                10_000 / tick,
                5_000 / tick,
                self.settings.min_session_ms,
                data.display(),
                server.client.port(),
                server.client.ip(),
            );
            if self.servers.len() > 1 {
                text.push_str("standaloneEnabled=false\nquorumListenOnAllIPs=false\n");
                for (id, server) in self.servers.iter().enumerate() {
                    let (quorum, election) = (server.quorum, server.election.port());
                    writeln!(text, "server.{}={quorum}:{election}", id + 1).expect("a string takes any text");
                }
                std::fs::write(data.join("myid"), (index + 1).to_string()).expect("myid");
            }
            std::fs::write(server.folder.join("zoo.cfg"), text).expect("a configuration");
        }
    }

    /// `host:port,…` of all servers.
    pub fn connect_string(&self) -> String {
        self.servers.iter().map(|server| server.client.to_string()).collect::<Vec<_>>().join(",")
    }

    pub fn address(&self, index: usize) -> SocketAddr {
        self.servers[index].client
    }

    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// SIGKILL, and reaped.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].process = None;
    }

    /// Starts a server on its old data; does not wait until it serves.
    pub fn restart(&mut self, index: usize) {
        self.kill(index);
        let server = &mut self.servers[index];
        server.process = Some(Process::java(&server.folder, &self.settings));
    }

    pub fn stop_all(&mut self) {
        for index in 0..self.servers.len() {
            self.kill(index);
        }
    }

    pub fn start_all(&mut self) {
        for index in 0..self.servers.len() {
            self.restart(index);
        }
    }

    /// SIGSTOP: connections stay, nobody answers.
    pub fn pause(&self, index: usize) {
        self.process(index).signal(libc::SIGSTOP);
    }

    pub fn resume(&self, index: usize) {
        self.process(index).signal(libc::SIGCONT);
    }

    pub fn pid(&self, index: usize) -> u32 {
        self.process(index).child.id()
    }

    fn process(&self, index: usize) -> &Process {
        self.servers[index].process.as_ref().unwrap_or_else(|| panic!("server {index} does not run"))
    }

    /// The index of the leader, waited for. In a standalone ensemble the only server.
    pub fn leader(&self) -> usize {
        block_until("a leader", || {
            let leads = |mode: Option<String>| matches!(mode.as_deref(), Some("leader" | "standalone"));
            (0..self.servers.len()).find(|&index| self.servers[index].process.is_some() && leads(self.mode(index)))
        })
    }

    /// Waits until every server that runs serves, and one of them leads.
    pub fn wait_serving(&mut self) {
        if let Err(why) = self.await_serving() {
            panic!("{why}");
        }
    }

    fn await_serving(&mut self) -> Result<(), String> {
        for index in 0..self.servers.len() {
            if self.servers[index].process.is_none() {
                continue;
            }
            let served = block_until(format!("server {index} to serve: {}", self.log(index)), || {
                if self.mode(index).is_some() {
                    return Some(true);
                }
                let process = self.servers[index].process.as_mut().expect("checked above");
                process.has_ended().then_some(false)
            });
            if !served {
                return Err(format!("server {index} ended: {}", self.log(index)));
            }
        }
        Ok(())
    }

    /// `leader`, `follower` or `standalone`, if the server serves.
    pub fn mode(&self, index: usize) -> Option<String> {
        let answer = self.four_letters(index, "srvr").ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
    }

    /// What a server measures of itself, by its own names (`mntr`), without what is not a number. `None`: it does not serve.
    pub fn measured(&self, index: usize) -> Option<BTreeMap<String, f64>> {
        let answer = self.four_letters(index, "mntr").ok()?;
        let numbers = answer.lines().filter_map(|line| line.split_once('\t'));
        let numbers: BTreeMap<_, _> =
            numbers.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect();
        (!numbers.is_empty()).then_some(numbers)
    }

    /// From here on a server measures anew; what it counts of itself (`proposal_count`, …) begins at 0 again.
    pub fn measure_anew(&self, index: usize) {
        block_until(format!("server {index} to forget its numbers"), || self.four_letters(index, "srst").ok());
    }

    fn four_letters(&self, index: usize, word: &str) -> std::io::Result<String> {
        let bound = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&self.servers[index].client, bound)?;
        stream.set_read_timeout(Some(bound))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The end of a server's log.
    pub fn log(&self, index: usize) -> String {
        let text = std::fs::read_to_string(self.servers[index].folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("…\n{}", lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

/// A loopback address that nobody else on this machine is likely to use at the same time: another one with each call.
pub fn own_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [high, low, ..] = (std::process::id() as u16).to_le_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    IpAddr::V4(Ipv4Addr::new(127, 1 + high % 250, low, 1 + count % 250))
}

/// One java process. Dropped: killed and reaped, also while paused, also by a panic.
struct Process {
    child: Child,
}

impl Process {
    fn java(folder: &Path, settings: &Settings) -> Process {
        let zookeeper = Path::new(JARS).join("zookeeper.jar");
        assert!(zookeeper.exists(), "ZooKeeper's jars are missing ({}). {REMEDY}", zookeeper.display());
        // The manifest of zookeeper.jar pulls in most of the rest.
        let class_path: Vec<String> = ["zookeeper.jar", "servlet-api.jar", "slf4j-simple.jar"]
            .iter()
            .map(|jar| format!("{JARS}/{jar}"))
            .collect();
        let log = std::fs::File::create(folder.join("log")).expect("a log file");
        let mut command = Command::new("java");
        command
            .arg(format!("-Xmx{}m", settings.heap_mb))
            .args(["-Xms16m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-XX:CICompilerCount=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true"])
            // Transaction logs are allocated ahead, 64 MB each by default.
            .args(["-Dzookeeper.preAllocSize=512", "-Dorg.slf4j.simpleLogger.defaultLogLevel=info"])
            .args(["-Dorg.slf4j.simpleLogger.showDateTime=true"])
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
            .args(&settings.java)
            .args(["-cp", &class_path.join(":")])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(folder.join("zoo.cfg"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        let child = spawn_for_life(command).unwrap_or_else(|error| panic!("java does not start ({error}). {REMEDY}"));
        Process { child }
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        // SAFETY: plain system call; the child is not reaped before drop, so the id is still its own.
        let outcome = unsafe { libc::kill(pid, signal) };
        assert_eq!(outcome, 0, "kill({pid}, {signal}): {}", std::io::Error::last_os_error());
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a process that the kernel kills when this one dies. "This one" means the *thread* that starts it, and a
/// test's thread ends with its test; so one thread that lives as long as the process starts them all.
pub fn spawn_for_life(mut command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static STARTER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("starter".to_owned())
            .spawn(move || {
                for (mut command, reply) in queue {
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread");
        Mutex::new(orders)
    });
    // SAFETY: prctl is async-signal-safe and touches only the child.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let (reply, answer) = mpsc::channel();
    starter.lock().expect("nothing panics under it").send((command, reply)).expect("the starter lives for ever");
    answer.recv().expect("the starter answers")
}
