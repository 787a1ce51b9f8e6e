//! `meridian up`: the whole fleet on this machine, each node a process of its own.
//!
//! The nodes are children that die with this process, whatever ends it; what they hold is released when it ends in
//! order.

use super::{Exit, Failed, fleet, table};
use crate::cli::UpArgs;
use crate::clock;
use crate::fetch::{NODE_HEALTH_PATH, fetch};
use crate::shutdown::Signals;
use crate::telemetry::LogFormat;
use crate::topology::{Region, Topology};
use anyhow::Context;
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// A node that is not ready by then will not be.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Between two questions to a node that is not ready yet.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Longer than a node takes to drain and give its slot back.
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

const PUBLIC_PORT: u16 = 8080;
const OPERATIONS_PORT: u16 = 9090;

/// One node to run.
struct Node {
    region: String,
    datacenter: u16,
    number: u16,
    static_slot: Option<u16>,
    /// Beyond the quota: it will wait, and that is right.
    standby: bool,
    address: IpAddr,
    log: PathBuf,
    child: Child,
}

/// What is printed of a node.
#[derive(Serialize)]
struct Row {
    region: String,
    datacenter: u16,
    /// `null`: stands by, the region's quota is used.
    slot: Option<u16>,
    http: String,
    ops: String,
    pid: u32,
}

/// The part of a node's health that is shown.
#[derive(serde::Deserialize)]
struct Health {
    worker: Option<u16>,
}

/// `log`: what the nodes log, and how.
pub async fn run(args: &UpArgs, log: (&str, LogFormat), out: &mut impl Write) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let topology = fleet::read(&args.manifest)?;
    let mut signals = Signals::listen().context("listening for signals")?;
    fs::create_dir_all(&args.dir).with_context(|| format!("cannot make {}", args.dir.display()))?;
    let _only_one = lock(&args.dir.join("up.lock"))?.ok_or_else(|| {
        Failed::no(format!("another `meridian up` runs in {}; name another with --dir", args.dir.display()))
    })?;
    let (subnet, _subnet_lock) = subnet(&topology, args.nodes_per_region)?;
    let unsynchronised = !clock::kernel_state().synchronized;

    let fleet = Plan { args, log, topology: &topology, subnet, unsynchronised };
    let mut nodes = Vec::new();
    let ready = tokio::select! {
        rows = fleet.bring_up(&mut nodes) => Some(rows),
        _ = signals.next() => None,
    };
    let outcome = match ready {
        None => Ok(Exit::Fine),
        Some(Err(error)) => Err(error),
        Some(Ok(rows)) => {
            // Also when nothing can be written, the nodes are stopped in order.
            let printed = match first_ids(&rows).await {
                Ok(ids) => print(args, (&rows, &ids), started.elapsed(), unsynchronised, out),
                Err(error) => Err(error),
            };
            match printed {
                Err(error) => Err(error.context("cannot print the nodes")),
                Ok(()) => tokio::select! {
                    _ = signals.next() => Ok(Exit::Fine),
                    gone = first_to_end(&mut nodes) => Err(gone),
                },
            }
        }
    };
    if !args.json {
        let _ = writeln!(out, "\nstopping {} nodes, releasing their slots", nodes.len());
    }
    signals.exit_on_next(); // the nodes follow by themselves: they are told when this process dies
    stop(nodes).await;
    outcome
}

/// Takes a lock that lasts as long as the file is held; `None` if another process has it.
fn lock(path: &Path) -> anyhow::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The second octet of this fleet's loopback addresses, 127.s.datacenter+1.node+1: the first on which nobody listens.
/// Locked, so that two fleets started at once do not both find it free.
fn subnet(topology: &Topology, nodes: u16) -> anyhow::Result<(u8, File)> {
    let free = |subnet: u8| {
        topology.regions.iter().all(|region| {
            (0..nodes).all(|number| {
                let address = address(subnet, region, number);
                [PUBLIC_PORT, OPERATIONS_PORT]
                    .iter()
                    .all(|port| TcpListener::bind(SocketAddr::new(address, *port)).is_ok())
            })
        })
    };
    for subnet in 0..=255 {
        let path = std::env::temp_dir().join(format!("meridian-up-{subnet}.lock"));
        if let Ok(Some(lock)) = lock(&path)
            && free(subnet)
        {
            return Ok((subnet, lock));
        }
    }
    anyhow::bail!("no loopback addresses are free for ports {PUBLIC_PORT} and {OPERATIONS_PORT}")
}

fn address(subnet: u8, region: &Region, number: u16) -> IpAddr {
    Ipv4Addr::new(127, subnet, region.datacenter as u8 + 1, number as u8 + 1).into()
}

/// What all nodes are started from.
struct Plan<'a> {
    args: &'a UpArgs,
    log: (&'a str, LogFormat),
    topology: &'a Topology,
    subnet: u8,
    unsynchronised: bool,
}

impl Plan<'_> {
    /// Starts the nodes inside the quotas, and once they hold their slots those beyond: all at once, it would be chance
    /// who stands by.
    async fn bring_up(&self, nodes: &mut Vec<Node>) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for standby in [false, true] {
            let started = nodes.len();
            for region in &self.topology.regions {
                let carry = region.nodes_for(region.workers.quota);
                for number in (0..self.args.nodes_per_region).filter(|n| (*n >= carry) == standby) {
                    nodes.push(self.start(region, number)?);
                }
            }
            rows.extend(all_ready(&mut nodes[started..]).await?);
        }
        let place = |row: &Row| self.topology.regions.iter().position(|region| region.name == row.region);
        rows.sort_by_key(place);
        Ok(rows)
    }

    fn start(&self, region: &Region, number: u16) -> anyhow::Result<Node> {
        let Plan { args, log: (filter, format), subnet, unsynchronised, .. } = *self;
        let address = address(subnet, region, number);
        let static_slot = self.topology.static_nodes(region).nth(number.into());
        let name = format!("{}-{number}", region.name);
        let logs = args.dir.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let log = logs.join(format!("{name}.log"));
        let log_file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;

        let mut command = Command::new(std::env::current_exe().context("finding the meridian binary")?);
        // The logs are read by the person in front of this machine, as are the last words in an error.
        let format = match format {
            LogFormat::Auto | LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        command.args(["--log", filter, "--log-format", format]);
        // Meant for a single node, these would contradict what is given below, or give all nodes one slot, or keep them
        // for a load balancer that is not there.
        for variable in ["COORDINATION", "ZOOKEEPER", "STATIC_SLOT", "LAME_DUCK_SECONDS"] {
            command.env_remove(format!("MERIDIAN_{variable}"));
        }
        command.arg("serve").arg("--manifest").arg(&args.manifest.path).args(["--region", &region.name, "--init"]);
        command.args(["--host", &name, "--zone", "local"]);
        command.arg("--listen").arg(SocketAddr::new(address, PUBLIC_PORT).to_string());
        command.arg("--ops-listen").arg(SocketAddr::new(address, OPERATIONS_PORT).to_string());
        command.arg("--state-dir").arg(args.dir.join("state").join(&name));
        match &args.zookeeper {
            Some(hosts) => command.args(["--zookeeper", hosts]),
            None => command.arg("--coordination").arg(format!("file:{}", args.dir.join("leases").display())),
        };
        if let Some(slot) = static_slot {
            command.args(["--static-slot", &slot.to_string()]);
        }
        for other in self.topology.regions.iter().filter(|other| other.name != region.name) {
            let first = SocketAddr::new(self::address(subnet, other, 0), PUBLIC_PORT);
            command.arg("--peer").arg(format!("{}=http://{first}", other.name));
        }
        if unsynchronised {
            // The flag would hide what the environment switches off.
            let more = std::env::var("MERIDIAN_HEALTH_OFF").unwrap_or_default();
            command.arg("--health-off").arg(format!("ntp_synchronized,{more}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file).process_group(0).kill_on_drop(true);
        let parent = std::process::id();
        // SAFETY: prctl and getppid are async-signal-safe, and nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(move || {
                // Also when this process is killed, its nodes drain and release their slots.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // Killed between the fork and here, it would never be told.
                match libc::getppid() as u32 == parent {
                    true => Ok(()),
                    false => Err(std::io::ErrorKind::Interrupted.into()),
                }
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Node {
            region: region.name.clone(),
            datacenter: region.datacenter,
            number,
            static_slot,
            standby: number >= region.nodes_for(region.workers.quota),
            address,
            log,
            child,
        })
    }
}

impl Node {
    fn http(&self) -> String {
        format!("http://{}", SocketAddr::new(self.address, PUBLIC_PORT))
    }

    fn ops(&self) -> String {
        format!("http://{}", SocketAddr::new(self.address, OPERATIONS_PORT))
    }

    /// The last lines this node wrote, for an error message.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Waits until it holds a slot, or stands by if it is beyond the quota.
    async fn ready(&mut self) -> anyhow::Result<Row> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("{}-{} ended with {status}:\n{}", self.region, self.number, self.last_words());
            }
            let up = fetch(&format!("{}/readyz", self.ops()), Duration::from_secs(2)).await;
            let last = match up {
                Ok((status, _)) if status.is_success() => break,
                Ok((_, body)) if self.standby && String::from_utf8_lossy(&body).contains("standby") => break,
                Ok((_, body)) => String::from_utf8_lossy(&body).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                let hint = match self.static_slot {
                    Some(slot) => format!(" (it waits for static slot {slot}; `meridian status` shows who has it)"),
                    None => String::new(),
                };
                anyhow::bail!("{}-{} is not ready after {READY_WITHIN:?}{hint}: {last}", self.region, self.number);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        let (_, body) = fetch(&format!("{}{NODE_HEALTH_PATH}", self.http()), Duration::from_secs(2)).await?;
        let health: Health = serde_json::from_slice(&body).context("a node's health")?;
        Ok(Row {
            region: self.region.clone(),
            datacenter: self.datacenter,
            slot: health.worker,
            http: self.http(),
            ops: self.ops(),
            pid: self.child.id().unwrap_or_default(),
        })
    }
}

async fn all_ready(nodes: &mut [Node]) -> anyhow::Result<Vec<Row>> {
    let progress = std::io::stderr().is_terminal();
    let total = nodes.len();
    let mut rows = Vec::with_capacity(total);
    for node in nodes {
        if progress {
            let _ = write!(std::io::stderr(), "\r{} of {total} nodes ready", rows.len());
        }
        rows.push(node.ready().await?);
    }
    if progress {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(rows)
}

/// A region's first id.
struct Drawn {
    region: String,
    id: String,
    http: String,
}

/// Draws one id from each region: what this fleet is for.
async fn first_ids(rows: &[Row]) -> anyhow::Result<Vec<Drawn>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: String,
    }
    let mut drawn: Vec<Drawn> = Vec::new();
    for row in rows.iter().filter(|row| row.slot.is_some()) {
        if drawn.iter().any(|drawn| drawn.region == row.region) {
            continue;
        }
        let (_, body) = fetch(&format!("{}/api/v1/id", row.http), Duration::from_secs(2)).await?;
        let Answer { id } = serde_json::from_slice(&body)
            .with_context(|| format!("{} gave no id: {}", row.region, String::from_utf8_lossy(&body)))?;
        drawn.push(Drawn { region: row.region.clone(), id, http: row.http.clone() });
    }
    Ok(drawn)
}

fn print(
    args: &UpArgs,
    (rows, ids): (&[Row], &[Drawn]),
    took: Duration,
    unsynchronised: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if args.json {
        for row in rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
        out.flush()?;
        return Ok(());
    }
    let coordination = match &args.zookeeper {
        Some(hosts) => format!("ZooKeeper at {hosts}"),
        None => format!("locked files in {}", args.dir.join("leases").display()),
    };
    writeln!(out, "{} nodes up in {:.1} s, coordinated through {coordination}\n", rows.len(), took.as_secs_f64())?;
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let slot = row.slot.map_or_else(|| "standby".to_owned(), |slot| slot.to_string());
            let Row { region, datacenter, http, ops, pid, .. } = row;
            [region.clone(), datacenter.to_string(), slot, http.clone(), ops.clone(), pid.to_string()]
        })
        .collect();
    table::print(out, ["REGION", "DATACENTER", "SLOT", "HTTP", "OPERATIONS", "PID"], &cells)?;
    if unsynchronised {
        writeln!(
            out,
            "\nThis machine's clock is not synchronised: the health check ntp_synchronized is switched off."
        )?;
    }
    writeln!(out, "\nAn id from each region, and how to get the next:\n")?;
    let ids: Vec<_> = ids
        .iter()
        .map(|drawn| [drawn.region.clone(), drawn.id.clone(), format!("curl {}/api/v1/id", drawn.http)])
        .collect();
    table::print(out, ["REGION", "ID", "NEXT"], &ids)?;
    let place = match &args.zookeeper {
        Some(hosts) => format!("--zookeeper {hosts}"),
        None => format!("--coordination file:{}", args.dir.join("leases").display()),
    };
    writeln!(out, "\nWho holds which slot:\n  meridian status {place}")?;
    writeln!(out, "\nLogs are in {}. Ctrl-C stops everything.", args.dir.join("logs").display())?;
    out.flush()?;
    Ok(())
}

/// Waits for a node that ends though nobody asked it to.
async fn first_to_end(nodes: &mut [Node]) -> anyhow::Error {
    loop {
        for node in nodes.iter_mut() {
            if let Ok(Some(status)) = node.child.try_wait() {
                return anyhow::anyhow!("{}-{} ended with {status}:\n{}", node.region, node.number, node.last_words());
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Asks every node to leave, and waits until all have.
async fn stop(mut nodes: Vec<Node>) {
    for node in &nodes {
        if let Some(pid) = node.child.id() {
            // SAFETY: no memory is involved; the pid is that of a child which has not been reaped.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
        }
    }
    let deadline = tokio::time::Instant::now() + STOPPED_WITHIN;
    for node in &mut nodes {
        if tokio::time::timeout_at(deadline, node.child.wait()).await.is_err() {
            tracing::warn!(region = node.region, number = node.number, "did not stop in time; killed");
            let _ = node.child.kill().await;
        }
    }
}
