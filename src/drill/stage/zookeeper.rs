//! One real ZooKeeper server, standalone: a region's.

use super::process::{Process, wait_for};
use crate::drill::world::{JARS, tool};
use anyhow::Context;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// A virtual machine that starts beside many others.
const SERVES_WITHIN: Duration = Duration::from_secs(60);
/// Session expiry is rounded up to ticks.
const TICK_MS: u32 = 200;
const HEAP_MB: u32 = 96;

#[derive(Debug)]
pub struct Zookeeper {
    pub address: SocketAddr,
    name: String,
    folder: PathBuf,
    logs: PathBuf,
    process: Process,
}

impl Zookeeper {
    /// Starts it; does not wait until it serves.
    pub fn start(region: &str, address: SocketAddr, folder: &Path, logs: &Path) -> anyhow::Result<Zookeeper> {
        let name = format!("zookeeper-{region}");
        let folder = folder.join(&name);
        let data = folder.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        // forceSync=no: what a drill kills is a process, and the page cache outlives it.
        let text = format!(
            "tickTime={TICK_MS}\ninitLimit=50\nsyncLimit=25\nminSessionTimeout={}\nmaxSessionTimeout=60000\n\
             dataDir={}\nclientPort={}\nclientPortAddress={}\nadmin.enableServer=false\nmaxClientCnxns=0\n\
             forceSync=no\n4lw.commands.whitelist=srvr\n",
            TICK_MS * 2,
            data.display(),
            address.port(),
            address.ip(),
        );
        fs::write(folder.join("zoo.cfg"), text).context("cannot write zoo.cfg")?;
        let process = Process::start(&name, logs, java(&folder)?)?;
        Ok(Zookeeper { address, name, folder, logs: logs.to_owned(), process })
    }

    pub async fn serves(&mut self) -> anyhow::Result<()> {
        let Zookeeper { name, address, process, .. } = self;
        wait_for(&format!("{name} to serve"), SERVES_WITHIN, async || {
            process.check()?;
            Ok(mode(*address).await)
        })
        .await
    }

    /// SIGSTOP: connections stay, nobody answers.
    pub fn pause(&self) {
        self.process.signal(libc::SIGSTOP);
    }

    pub fn resume(&self) {
        self.process.signal(libc::SIGCONT);
    }

    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again on its old data, and waits until it serves.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill().await;
        self.process = Process::start(&self.name, &self.logs, java(&self.folder)?)?;
        self.serves().await
    }

    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }
}

fn java(folder: &Path) -> anyhow::Result<Command> {
    // The manifest of zookeeper.jar pulls in most of the rest.
    let class_path = ["zookeeper.jar", "servlet-api.jar", "slf4j-simple.jar"].map(|jar| format!("{JARS}/{jar}"));
    let mut command = Command::new(tool("java").context("java is not there")?);
    command
        .arg(format!("-Xmx{HEAP_MB}m"))
        .args(["-Xms16m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(["-XX:CICompilerCount=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true"])
        // Transaction logs are allocated ahead, 64 MB each by default.
        .args(["-Dzookeeper.preAllocSize=512", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"])
        .args(["-cp", &class_path.join(":"), "org.apache.zookeeper.server.quorum.QuorumPeerMain"])
        .arg(folder.join("zoo.cfg"))
        .current_dir(folder);
    Ok(command)
}

/// Some, once it says that it serves.
async fn mode(address: SocketAddr) -> Option<()> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"srvr").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.contains("Mode: ").then_some(())
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await.ok()?
}
