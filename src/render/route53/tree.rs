//! The tree, from the bottom up: each region's addresses and their checks; its spill set; the list of those who come
//! last; the pair of "itself, else the others"; and on top the fleet's name, which chooses the pair of the nearest region.

use crate::render::REGION_HEALTH_PATH;
use crate::render::chain::Chain;
use crate::render::layout::{Family, Layout};
use crate::render::weights::whole;
use crate::topology::Region;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Route 53's largest weight.
pub const MOST_WEIGHT: u32 = 255;

/// By what Route 53 finds the nearest region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The manifest's networks (Route 53 calls it IP-based).
    Cidr,
    /// The manifest's locations.
    Geoproximity,
    /// Amazon's measurements to its own regions.
    Latency,
}

/// The file: the tree, and where it comes from.
#[derive(Serialize)]
pub struct Document<'a> {
    pub generated: String,
    pub manifest_sha256: &'a str,
    #[serde(flatten)]
    pub tree: &'a Tree,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    pub zone: String,
    pub policy: Policy,
    /// One an address, by a name that stays.
    pub health_checks: BTreeMap<String, HealthCheck>,
    /// One a region: any of its addresses is healthy. A drained region's threshold is `drained_threshold`, which no
    /// number of healthy children reaches.
    pub serving: BTreeMap<String, Serving>,
    /// For the policy `cidr`: the blocks of each location of the CIDR collection.
    pub cidr_locations: BTreeMap<String, Vec<String>>,
    pub records: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub r#type: String,
    pub ip_address: IpAddr,
    /// Sent as the Host header, and by name of TLS.
    pub fqdn: String,
    pub port: u16,
    pub resource_path: String,
    pub request_interval: u64,
    pub failure_threshold: u32,
    pub measure_latency: bool,
    pub enable_sni: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Serving {
    pub children: Vec<String>,
    pub child_health_threshold: usize,
    pub drained_threshold: usize,
}

/// One record set. Every key is there in each, because Terraform's conditionals want objects of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stays for ever: Terraform's key, and with `set_identifier` what Route 53 knows it by.
    pub key: String,
    pub name: String,
    pub r#type: String,
    pub set_identifier: String,
    pub routing: Routing,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Routing {
    Weighted { weight: u32 },
    Failover { primary: bool },
    Cidr { location: String },
    Geoproximity { aws_region: Option<String>, latitude: Option<String>, longitude: Option<String> },
    Latency { region: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Answer {
    Addresses { ttl: u64, records: Vec<IpAddr>, serving: String },
    Alias { name: String, evaluate_target_health: bool },
}

pub fn build(layout: &Layout<'_>, policy: Policy, probe_port: u16) -> Tree {
    let topology = layout.topology;
    let health = &topology.health;
    let mut tree = Tree {
        zone: topology.dns.name.clone(),
        policy,
        health_checks: BTreeMap::new(),
        serving: BTreeMap::new(),
        cidr_locations: BTreeMap::new(),
        records: Vec::new(),
    };
    let mut taken = BTreeSet::new();
    for region in &topology.regions {
        let addresses = layout.families.iter().flat_map(|family| family.addresses(region));
        let mut children = Vec::new();
        for address in addresses {
            let name = format!("{}-{address}", region.name);
            let check = HealthCheck {
                r#type: if probe_port == 443 { "HTTPS" } else { "HTTP" }.to_owned(),
                ip_address: address,
                fqdn: topology.dns.name.clone(),
                port: probe_port,
                resource_path: REGION_HEALTH_PATH.to_owned(),
                request_interval: if health.interval.as_secs() <= 10 { 10 } else { 30 },
                failure_threshold: health.unhealthy_threshold,
                measure_latency: true,
                enable_sni: probe_port == 443,
            };
            tree.health_checks.insert(name.clone(), check);
            children.push(name);
        }
        let drained_threshold = children.len() + 1;
        let serving = Serving { children, child_health_threshold: 1, drained_threshold };
        tree.serving.insert(region.name.clone(), serving);
        if policy == Policy::Cidr && !region.networks.is_empty() {
            tree.cidr_locations.insert(region.name.clone(), blocks(&region.networks, &mut taken));
        }
    }
    for family in &layout.families {
        let mut grow = Grow { layout, family: *family, records: &mut tree.records };
        for (region, chain) in layout.with_chains() {
            grow.leaf(region);
            grow.region(chain);
        }
        grow.top(policy);
    }
    tree
}

/// The longest prefixes that IP-based routing takes are 24 and 48 bits; a longer one is widened to that, unless another
/// region has it already: no two locations may share a block.
fn blocks(networks: &[String], taken: &mut BTreeSet<String>) -> Vec<String> {
    let blocks = networks.iter().map(|network| widened(network).unwrap_or_else(|| network.clone()));
    blocks.filter(|block| taken.insert(block.clone())).collect()
}

/// The block that stands for one which is too small for Route 53, if it is.
pub fn widened(network: &str) -> Option<String> {
    let (base, prefix) = network.split_once('/')?;
    let (base, prefix) = (base.parse::<IpAddr>().ok()?, prefix.parse::<u32>().ok()?);
    match base {
        IpAddr::V4(base) if prefix > 24 => {
            Some(format!("{}/24", std::net::Ipv4Addr::from(u32::from(base) & (u32::MAX << 8))))
        }
        IpAddr::V6(base) if prefix > 48 => {
            Some(format!("{}/48", std::net::Ipv6Addr::from(u128::from(base) & (u128::MAX << 80))))
        }
        _ => None,
    }
}

struct Grow<'t, 'a> {
    layout: &'t Layout<'a>,
    family: Family,
    records: &'t mut Vec<Record>,
}

impl Grow<'_, '_> {
    fn name(&self, label: &str) -> String {
        format!("{label}.{}", self.layout.topology.dns.name)
    }

    fn add(&mut self, name: String, set_identifier: &str, routing: Routing, answer: Answer) {
        let r#type = self.family.record().to_owned();
        let key = format!("{type}/{name}/{set_identifier}");
        self.records.push(Record { key, name, r#type, set_identifier: set_identifier.to_owned(), routing, answer });
    }

    fn alias(&self, label: &str) -> Answer {
        Answer::Alias { name: self.name(label), evaluate_target_health: true }
    }

    /// The region's own addresses. A check needs a routing policy, so it is a weighted set of one.
    fn leaf(&mut self, region: &Region) {
        let answer = Answer::Addresses {
            ttl: self.layout.topology.dns.ttl.as_secs(),
            records: self.family.addresses(region),
            serving: region.name.clone(),
        };
        let name = self.name(&format!("leaf-{}", region.name));
        self.add(name, &region.name, Routing::Weighted { weight: 1 }, answer);
    }

    /// `pair-R`: itself, else `next-R`: its spill set, else one by one those who come last.
    fn region(&mut self, chain: &Chain) {
        let own = &chain.region;
        let weights: Vec<f64> = chain.spill.iter().map(|(_, weight)| *weight).collect();
        for ((to, _), weight) in chain.spill.iter().zip(whole(&weights, MOST_WEIGHT).0) {
            let answer = self.alias(&format!("leaf-{to}"));
            self.add(self.name(&format!("spill-{own}")), to, Routing::Weighted { weight }, answer);
        }
        let mut steps = vec![format!("leaf-{own}")];
        if !chain.spill.is_empty() {
            steps.push(format!("spill-{own}"));
        }
        steps.extend(chain.last.iter().map(|to| format!("leaf-{to}")));
        let label = |step: usize| if step == 0 { format!("pair-{own}") } else { format!("next-{own}-{step}") };
        for (step, target) in steps.iter().enumerate() {
            let name = self.name(&label(step));
            let answer = self.alias(target);
            // The last but one has the last as its other half.
            if step + 1 == steps.len() && step > 0 {
                break;
            }
            self.add(name.clone(), "primary", Routing::Failover { primary: true }, answer);
            let then = match steps.len() - step {
                0 | 1 => continue,
                2 => self.alias(&steps[step + 1]),
                _ => self.alias(&label(step + 1)),
            };
            self.add(name, "secondary", Routing::Failover { primary: false }, then);
        }
    }

    /// The fleet's name.
    ///
    /// A pair that is unhealthy would be left out, and its clients sent to any other region: outside their zone, or
    /// against the order. So that is allowed only where it can happen only when nobody lives at all.
    fn top(&mut self, policy: Policy) {
        let regions = self.layout.chains.len();
        let mut tops: Vec<(String, Routing, &Chain)> = Vec::new();
        for (region, chain) in self.layout.with_chains() {
            let routing = match policy {
                Policy::Cidr if region.networks.is_empty() => continue,
                Policy::Cidr => Routing::Cidr { location: region.name.clone() },
                Policy::Latency => Routing::Latency { region: region.cloud.region.clone() },
                Policy::Geoproximity if region.cloud.provider == "aws" => Routing::Geoproximity {
                    aws_region: Some(region.cloud.region.clone()),
                    latitude: None,
                    longitude: None,
                },
                Policy::Geoproximity => Routing::Geoproximity {
                    aws_region: None,
                    latitude: Some(format!("{:.2}", region.latitude)),
                    longitude: Some(format!("{:.2}", region.longitude)),
                },
            };
            tops.push((region.name.clone(), routing, chain));
        }
        if policy == Policy::Cidr {
            tops.push(("default".to_owned(), Routing::Cidr { location: "*".to_owned() }, &self.layout.chains[0]));
        }
        for (identifier, routing, chain) in tops {
            let answer = Answer::Alias {
                name: self.name(&format!("pair-{}", chain.region)),
                evaluate_target_health: chain.is_complete(regions),
            };
            self.add(self.layout.topology.dns.name.clone(), &identifier, routing, answer);
        }
    }
}
