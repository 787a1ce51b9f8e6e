//! The stage: the manifest's whole fleet as real processes, in a world of its own.

pub mod balancer;
mod fault;
mod names;
mod node;
mod process;
mod zookeeper;

pub use node::Seat;
pub use process::wait_for;

use self::balancer::Balancer;
use self::names::{Gdnsd, Unbound};
use self::node::{Launch, Node};
use self::zookeeper::Zookeeper;
use super::script::Blow;
use super::world;
use crate::client::PUBLIC_PORT;
use crate::clock;
use crate::fetch::fetch;
use crate::geodns::ask::{Question, ask};
use crate::lease::coordination::Expected;
use crate::render::REGION_HEALTH_PATH;
use crate::topology::{Region, Topology};
use anyhow::{Context, bail};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const OPERATIONS_PORT: u16 = 9090;
const ZOOKEEPER_PORT: u16 = 2181;
const DNS_PORT: u16 = 53;
/// Nodes of many stages that start on few processors.
const READY_WITHIN: Duration = Duration::from_secs(90);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Beyond the quota.
const STANDBYS: u16 = 2;

/// What a stage is built from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The profile's numbers are in it.
    pub topology: Topology,
    pub manifest: PathBuf,
    /// Everything the stage writes is below it.
    pub folder: PathBuf,
    pub nodes: Option<u16>,
    pub hold: Duration,
    pub health_off: Vec<String>,
}

/// What watchers need to know of the stage.
#[derive(Clone, Debug)]
pub struct Sight {
    pub topology: Arc<Topology>,
    pub authority: SocketAddr,
    pub resolver: SocketAddr,
    pub places: Vec<Spot>,
}

/// One region, as watchers see it.
#[derive(Clone, Debug)]
pub struct Spot {
    pub region: String,
    /// Where its load balancer listens.
    pub public: Vec<SocketAddr>,
    pub seats: Vec<Arc<Seat>>,
    /// Where its clients sit, and the subnet by which resolvers ask for them.
    pub client: Option<(IpAddr, (IpAddr, u8))>,
    /// Workers it holds when all is well.
    pub workers: usize,
}

/// One region.
#[derive(Debug)]
struct Place {
    region: Region,
    spot: Spot,
    zookeeper: Zookeeper,
    nodes: Vec<Node>,
    balancer: Option<Balancer>,
    blow: Option<Blow>,
}

#[derive(Debug)]
pub struct Stage {
    topology: Arc<Topology>,
    launch: Launch,
    places: Vec<Place>,
    gdnsd: Gdnsd,
    unbound: Unbound,
    /// The probes of the load balancers.
    _probes: JoinSet<()>,
}

impl Stage {
    /// Builds everything and waits until every client is answered its own region. `tell` hears how far it is.
    pub async fn build(plan: Plan, tell: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Stage> {
        let Plan { topology, folder, .. } = &plan;
        world::lay(topology)?;
        let logs = folder.join("logs");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let launch = launch(&plan, &logs);
        let mut places = Vec::new();
        for (index, region) in topology.regions.iter().enumerate() {
            places.push(place(region, index, &plan, &logs)?);
        }
        tell("starting ZooKeeper, one server for each region");
        for place in &mut places {
            place.zookeeper.serves().await?;
        }
        tell("starting the nodes");
        // First those within the quota: all at once, it would be chance who stands by.
        for standby in [false, true] {
            let mut started = Vec::new();
            for (index, place) in places.iter_mut().enumerate() {
                let workers = place.spot.workers;
                for (number, node) in place.nodes.iter_mut().enumerate().filter(|(n, _)| (*n >= workers) == standby) {
                    node.start(&launch)?;
                    started.push((index, number));
                }
            }
            for (index, number) in started {
                started_well(&mut places[index].nodes[number], standby).await?;
            }
        }
        let mut probes = JoinSet::new();
        for place in &mut places {
            probes.spawn(balancer::probe(place.spot.seats.clone()));
            place.listen().await?;
        }
        for place in &places {
            healthy(&place.spot, READY_WITHIN).await?;
        }
        tell("starting gdnsd and unbound");
        let authority = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 53).into(), DNS_PORT);
        let gdnsd = Gdnsd::start(topology, authority, PUBLIC_PORT, folder, &logs).await?;
        let resolver = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 54).into(), DNS_PORT);
        for place in &places {
            at_home(topology, authority, &place.spot).await?;
        }
        let client = places.iter().find_map(|place| place.spot.client);
        let (client, _) = client.context("no region of the manifest has client networks of IPv4")?;
        let unbound = Unbound::start(topology, resolver, authority, client, folder, &logs).await?;
        let topology = Arc::new(plan.topology);
        Ok(Stage { topology, launch, places, gdnsd, unbound, _probes: probes })
    }

    pub fn sight(&self) -> Sight {
        Sight {
            topology: self.topology.clone(),
            authority: self.gdnsd.address,
            resolver: self.unbound.address,
            places: self.places.iter().map(|place| place.spot.clone()).collect(),
        }
    }

    /// An error if a process has ended that was not told to.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.gdnsd.check()?;
        self.unbound.check()?;
        for place in &mut self.places {
            if place.blow.is_none() {
                place.zookeeper.check()?;
                place.nodes.iter_mut().try_for_each(Node::check)?;
            }
        }
        Ok(())
    }

    fn place(&mut self, region: &str) -> anyhow::Result<&mut Place> {
        self.places.iter_mut().find(|place| place.region.name == region).with_context(|| format!("no region {region}"))
    }
}

impl Place {
    async fn listen(&mut self) -> anyhow::Result<()> {
        self.balancer = Some(Balancer::listen(&self.spot.public, &self.spot.seats).await?);
        Ok(())
    }

    fn expected(&self, topology: &Topology) -> Expected {
        Expected {
            fleet: topology.fleet.clone(),
            datacenter: self.region.datacenter,
            epoch: topology.epoch.clone(),
            layout: topology.layout.name.to_owned(),
        }
    }
}

fn launch(plan: &Plan, logs: &Path) -> Launch {
    let mut health_off = plan.health_off.clone();
    if !clock::kernel_state().synchronized {
        health_off.push("ntp_synchronized".to_owned());
    }
    let url = |region: &Region| {
        let address = region.addresses.first()?;
        Some((region.name.clone(), format!("http://{}", SocketAddr::new(*address, PUBLIC_PORT))))
    };
    Launch {
        manifest: plan.manifest.clone(),
        logs: logs.to_owned(),
        state: node::state_folder(&plan.folder),
        hold_seconds: plan.hold.as_secs_f64(),
        health_off,
        peers: plan.topology.regions.iter().filter_map(url).collect(),
    }
}

/// A region's ZooKeeper, started, and its nodes, not yet.
fn place(region: &Region, index: usize, plan: &Plan, logs: &Path) -> anyhow::Result<Place> {
    // No manifest has so many regions or nodes: the layout has 32 datacenters of 32 workers.
    let (own, quota) = (index as u8 + 1, region.workers.quota - region.workers.fixed);
    if !region.addresses.iter().any(IpAddr::is_ipv4) {
        bail!("region {} has no IPv4 address, and a drill asks for those", region.name);
    }
    let zookeeper = SocketAddr::new(Ipv4Addr::new(127, 1, own, 1).into(), ZOOKEEPER_PORT);
    // A region without dynamic slots is carried by its static ones.
    let workers = if quota > 0 { quota } else { region.workers.quota };
    let room = region.workers.surge - region.workers.quota;
    let count = plan.nodes.unwrap_or(workers + STANDBYS.min(room.max(1)));
    let first = *plan.topology.pools.fixed.start();
    let node = |number: u16| {
        let address = IpAddr::from(Ipv4Addr::new(127, 2, own, number as u8 + 1));
        let address = [PUBLIC_PORT, OPERATIONS_PORT].map(|port| SocketAddr::new(address, port));
        let slot = (quota == 0 && number < workers).then_some(first + number);
        Node::new(&region.name, number, address, zookeeper).with_static_slot(slot)
    };
    let nodes: Vec<Node> = (0..count).map(node).collect();
    let spot = Spot {
        region: region.name.clone(),
        public: region.addresses.iter().map(|address| SocketAddr::new(*address, PUBLIC_PORT)).collect(),
        seats: nodes.iter().map(|node| node.seat.clone()).collect(),
        client: world::client(region).map(|client| (client, subnet_of(client))),
        workers: usize::from(workers.min(count)),
    };
    let zookeeper = Zookeeper::start(&region.name, zookeeper, &plan.folder, logs)?;
    Ok(Place { region: region.clone(), spot, zookeeper, nodes, balancer: None, blow: None })
}

/// The client's own subnet, as resolvers cut it.
fn subnet_of(client: IpAddr) -> (IpAddr, u8) {
    match client {
        IpAddr::V4(client) => (Ipv4Addr::from(u32::from(client) & !0xff).into(), 24),
        IpAddr::V6(_) => (client, 128),
    }
}

async fn started_well(node: &mut Node, standby: bool) -> anyhow::Result<()> {
    let seat = node.seat.clone();
    let what = format!("{} to {}", seat.name, if standby { "stand by" } else { "hold a slot" });
    let url = format!("http://{}/readyz", seat.ops);
    let waited = wait_for(&what, READY_WITHIN, async || {
        node.check()?;
        Ok(match fetch(&url, ANSWER_WITHIN).await {
            Ok((status, _)) if status.is_success() => Some(()),
            Ok((_, body)) if standby && String::from_utf8_lossy(&body).contains("standby") => Some(()),
            _ => None,
        })
    });
    let waited = waited.await;
    waited.with_context(|| node.last_words())
}

/// Waits until the region says of itself that it is well.
async fn healthy(spot: &Spot, within: Duration) -> anyhow::Result<()> {
    let address = spot.public.first().context("a region without addresses")?;
    let url = format!("http://{address}{REGION_HEALTH_PATH}");
    let mut last = String::new();
    let waited = wait_for(&format!("{} to be well", spot.region), within, async || {
        let (status, body) = match fetch(&url, ANSWER_WITHIN).await {
            Ok(answer) => answer,
            Err(error) => {
                last = error.to_string();
                return Ok(None);
            }
        };
        last = String::from_utf8_lossy(&body).into_owned();
        Ok((status == 200).then_some(()))
    })
    .await;
    waited.context(last)
}

/// Waits until the authoritative server answers a region's clients with their region.
async fn at_home(topology: &Topology, authority: SocketAddr, spot: &Spot) -> anyhow::Result<()> {
    let Some((_, subnet)) = spot.client else { return Ok(()) };
    let question = Question { server: authority, name: &topology.dns.name, ipv4: true, subnet };
    let what = format!("the authoritative server to answer clients of {} with it", spot.region);
    let health = &topology.health;
    let within = health.interval * (health.healthy_threshold + 1) + READY_WITHIN;
    wait_for(&what, within, async || {
        let answer = ask(&question, ANSWER_WITHIN).await.ok();
        let home = |address: &IpAddr| spot.public.iter().any(|public| public.ip() == *address);
        Ok(answer.filter(|answer| !answer.addresses.is_empty() && answer.addresses.iter().all(home)).map(|_| ()))
    })
    .await
}
