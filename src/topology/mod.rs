//! A valid fleet: what the manifest says once every rule holds. Parse once, then trust the type.

mod fleet;
mod network;
mod regions;
mod routes;
mod rule;
pub mod spill;

use crate::id::Layout;
use crate::manifest::{self, Problems};
use spill::Routing;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

/// The whole fleet of one manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// SHA-256 of the manifest's bytes, in hex: equal to `sha256sum FILE`.
    pub digest: String,
    pub fleet: String,
    /// The manifest's epoch, in milliseconds since 1970 (all timestamps of ids and leases count from here).
    pub epoch_unix_ms: i64,
    /// The epoch as the manifest spells it (RFC 3339).
    pub epoch: String,
    pub layout: Layout,
    pub pools: Pools,
    pub dns: Dns,
    pub health: Health,
    pub lease: Lease,
    pub limits: Limits,
    /// In the manifest's order.
    pub regions: Vec<Region>,
}

/// Which slots are asked for by number and which are handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools {
    pub fixed: RangeInclusive<u16>,
    pub dynamic: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    pub name: String,
    pub ttl: Duration,
    pub floating_ttl: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub interval: Duration,
    pub timeout: Duration,
    pub unhealthy_threshold: u32,
    pub healthy_threshold: u32,
    /// `None`: switched off, by name, in the manifest.
    pub response_time_ms: Option<u64>,
    pub clock_drift_ms: Option<u64>,
    pub ntp_synchronized: bool,
}

/// The numbers of the lease, see docs/PROTOCOL.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub session: Duration,
    pub window: Duration,
    pub first_window: Duration,
    pub max_wait: Duration,
    pub max_borrow: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub ids_per_request: u32,
    pub in_flight: usize,
    pub connections: usize,
    pub body_bytes: usize,
    pub header_bytes: usize,
    pub header_time: Duration,
    pub idle: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    pub name: String,
    pub datacenter: u16,
    /// Relative weight.
    pub traffic: f64,
    pub workers: Workers,
    /// How many slots one node asks for.
    pub workers_per_node: u16,
    /// Where its load goes while it is down: region and relative weight.
    pub spill: Vec<(String, f64)>,
    /// Who takes it all when nobody of the spill set lives, nearest first.
    pub order: Vec<String>,
    /// `None`: any; else the zone its load never leaves.
    pub residency: Option<String>,
    pub zookeeper: String,
    pub endpoint: String,
    pub addresses: Vec<IpAddr>,
    /// CIDR blocks of the clients whose nearest region this is.
    pub networks: Vec<String>,
    pub latitude: f64,
    pub longitude: f64,
    pub cloud: Cloud,
}

impl Region {
    /// How many nodes it takes to hold so many slots, the static ones included.
    pub fn nodes_for(&self, slots: u16) -> u16 {
        let fixed = self.workers.fixed;
        fixed / self.workers_per_node + slots.saturating_sub(fixed).div_ceil(self.workers_per_node)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// How many slots the region may hold at once, static ones included.
    pub quota: u16,
    pub fixed: u16,
    /// Replaces `quota` while the region carries a neighbour.
    pub surge: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    pub provider: String,
    pub region: String,
    pub zones: Vec<String>,
    pub cidr: String,
}

/// What a manifest turned out to be.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The fleet, if nothing is wrong.
    pub topology: Option<Topology>,
    /// Where load goes, if that much is readable, even if other things are wrong.
    pub routing: Option<Routing>,
    /// Everything that is wrong, in the order of the text. Empty exactly when there is a topology.
    pub problems: Problems,
}

/// Reads a manifest and holds every rule against it.
pub fn inspect(file: &str, bytes: &[u8]) -> Inspection {
    let mut problems = Problems::in_file(file);
    let mut routing = None;
    let topology = manifest::read(bytes, &mut problems)
        .and_then(|manifest| Topology::from_manifest(&manifest, manifest::digest(bytes), &mut routing, &mut problems))
        .filter(|_| problems.is_empty());
    debug_assert_eq!(topology.is_some(), problems.is_empty(), "whatever is refused is explained");
    Inspection { topology, routing, problems: problems.sorted() }
}

impl Topology {
    /// The valid fleet, or everything that is wrong. `file` is named in the problems only.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Topology, Problems> {
        let Inspection { topology, problems, .. } = inspect(file, bytes);
        topology.ok_or(problems)
    }

    fn from_manifest(
        manifest: &manifest::Manifest,
        digest: String,
        routing: &mut Option<Routing>,
        problems: &mut Problems,
    ) -> Option<Topology> {
        let schema = fleet::schema(manifest, problems);
        let fleet = manifest.fleet.as_ref().and_then(|at| rule::name(at, problems));
        let epoch = fleet::epoch(manifest, problems);
        let layout = fleet::layout(manifest, problems);
        let pools = fleet::pools(manifest, layout, problems);
        let dns = fleet::dns(manifest, problems);
        let health = fleet::health(manifest, problems);
        let lease = fleet::lease(manifest, problems);
        let limits = fleet::limits(manifest, layout, lease.as_ref(), problems);
        let dns_name = manifest.dns.as_ref().and_then(|dns| dns.name.as_ref());
        let shared = regions::Shared { layout, pools: pools.as_ref(), dns_name };
        let found = regions::regions(manifest.regions.as_ref()?, &shared, problems);
        *routing = found.routing;

        schema?;
        let (epoch, epoch_unix_ms) = epoch?;
        Some(Topology {
            digest,
            fleet: fleet?,
            epoch_unix_ms,
            epoch,
            layout: layout?,
            pools: pools?,
            dns: dns?,
            health: health?,
            lease: lease?,
            limits: limits?,
            regions: found.regions?,
        })
    }

    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// The numbers of a region's static nodes: as many as its static slots have room for, counted from the first slot of the
    /// pool. With one worker a node, node and slot have the same number.
    pub fn static_nodes(&self, region: &Region) -> Range<u16> {
        let first = *self.pools.fixed.start();
        first..first + region.workers.fixed / region.workers_per_node
    }

    /// The slots of one of them: the first node has the first ones, the second those that follow.
    pub fn static_slots(&self, region: &Region, node: u16) -> Range<u16> {
        let first = *self.pools.fixed.start();
        let from = first + (node - first) * region.workers_per_node;
        from..from + region.workers_per_node
    }
}
