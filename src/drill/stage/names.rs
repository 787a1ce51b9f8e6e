//! The name servers of the stage: real gdnsd on rendered files, and real unbound as the clients' caching resolver.

use super::process::{Process, wait_for};
use crate::drill::world::tool;
use crate::geodns::ask::{Question, ask};
use crate::geodns::resolve::resolve;
use crate::geodns::survey::subnet;
use crate::render::{self, NameServer, Server};
use crate::topology::{Region, Topology};
use anyhow::{Context, anyhow};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const ONE_ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How gdnsd's configuration calls the probe of `meridian render`.
const SERVICE: &str = "region_health";

#[derive(Debug)]
pub struct Gdnsd {
    pub address: SocketAddr,
    /// Where an administrator overrides what the probes say.
    pub admin_state: PathBuf,
    process: Process,
}

impl Gdnsd {
    /// Starts it on freshly rendered files and waits until it answers. It answers only once it has probed every region.
    pub async fn start(
        topology: &Topology,
        address: SocketAddr,
        probe_port: u16,
        folder: &Path,
        logs: &Path,
    ) -> anyhow::Result<Gdnsd> {
        let (config, run) = (folder.join("gdnsd"), folder.join("gdnsd-run"));
        let server = Server {
            listen: vec![address],
            nameservers: NameServer::defaults(topology),
            probe_port,
            run_dir: Some(run.clone()),
            config_dir: config.clone(),
        };
        let rendering = render::gdnsd(topology, &server).map_err(|why| anyhow!("gdnsd cannot be rendered: {why}"))?;
        fs::create_dir_all(&run)?;
        for (name, text) in &rendering.files {
            let path = config.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&config))?;
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut command = Command::new(tool("gdnsd").context("gdnsd is not there")?);
        command.arg("-c").arg(&config).arg("start").current_dir(folder);
        let mut process = Process::start("gdnsd", logs, command)?;
        let network = topology.regions.iter().flat_map(|region| &region.networks).find_map(|network| subnet(network));
        let question = Question {
            server: address,
            name: &topology.dns.name,
            ipv4: true,
            subnet: network.context("no region has client networks")?,
        };
        wait_for("gdnsd to answer", ANSWERS_WITHIN, async || {
            process.check()?;
            Ok(ask(&question, ONE_ANSWER_WITHIN).await.ok())
        })
        .await?;
        Ok(Gdnsd { address, admin_state: run.join("state").join("admin_state"), process })
    }

    /// Takes a region out of the answers whatever the probes say, or leaves it to them again.
    pub fn force_down(&self, region: Option<&Region>) -> anyhow::Result<()> {
        let addresses = region.map(|region| region.addresses.as_slice()).unwrap_or_default();
        let text: String = addresses.iter().map(|address| format!("{address}/{SERVICE} => DOWN\n")).collect();
        let new = self.admin_state.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.admin_state))
            .with_context(|| format!("cannot write {}", self.admin_state.display()))
    }

    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }
}

#[derive(Debug)]
pub struct Unbound {
    pub address: SocketAddr,
    process: Process,
}

impl Unbound {
    /// Starts it in front of `authority` and waits until it answers a client.
    pub async fn start(
        topology: &Topology,
        address: SocketAddr,
        authority: SocketAddr,
        client: IpAddr,
        folder: &Path,
        logs: &Path,
    ) -> anyhow::Result<Unbound> {
        let home = folder.join("unbound");
        fs::create_dir_all(&home)?;
        let config = home.join("unbound.conf");
        fs::write(&config, configuration(&topology.dns.name, address, authority, &home)).context("unbound.conf")?;
        let mut command = Command::new(tool("unbound").context("unbound is not there")?);
        command.arg("-d").arg("-c").arg(&config).current_dir(&home);
        let mut process = Process::start("unbound", logs, command)?;
        wait_for("unbound to answer", ANSWERS_WITHIN, async || {
            process.check()?;
            let answer = resolve(address, client, &topology.dns.name, ONE_ANSWER_WITHIN).await;
            Ok(answer.ok().filter(|answer| !answer.addresses.is_empty()))
        })
        .await?;
        Ok(Unbound { address, process })
    }

    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }
}

/// A caching resolver that tells the authoritative server which network a client is in, and caches by it.
fn configuration(zone: &str, listen: SocketAddr, authority: SocketAddr, home: &Path) -> String {
    // The line on local-zone: names below `test.` and the like are blocked otherwise.
    format!(
        "server:\n  interface: {}@{}\n  access-control: 0.0.0.0/0 allow\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  do-ip6: no\n  \
         do-not-query-localhost: no\n  module-config: \"subnetcache iterator\"\n  send-client-subnet: {}\n  \
         client-subnet-always-forward: yes\n  max-client-subnet-ipv4: 24\n  local-zone: \"{zone}.\" transparent\n  \
         prefetch: no\n  serve-expired: no\n  aggressive-nsec: no\nremote-control:\n  control-enable: no\n\
         stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n",
        listen.ip(),
        listen.port(),
        home.display(),
        authority.ip(),
        authority.ip(),
        authority.port(),
    )
}
