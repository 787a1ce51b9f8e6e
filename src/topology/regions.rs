//! The rules of the regions: each by itself, each against what the fleet shares, and all against each other.

use super::network::{self, Blocks};
use super::routes::{Neighbours, single_failures};
use super::rule::{self, Unique};
use super::spill::{Route, Routing};
use super::{Cloud, Pools, Region, Workers};
use crate::id::Layout;
use crate::manifest::{self, At, Field, Named, Problems};
use std::net::IpAddr;

/// What is already known of the fleet.
pub struct Shared<'a> {
    pub layout: Option<Layout>,
    pub pools: Option<&'a Pools>,
    /// The name that clients everywhere resolve, and its place.
    pub dns_name: Option<&'a At<String>>,
}

/// The regions and the routes between them, each as far as its own part of the manifest is sound.
pub struct Found {
    pub regions: Option<Vec<Region>>,
    pub routing: Option<Routing>,
}

pub fn regions(list: &At<Named<manifest::Region>>, shared: &Shared<'_>, problems: &mut Problems) -> Found {
    if list.is_empty() {
        let fix = "add a region, as in regions/meridian.yaml of this project";
        problems.add(&list.place, "there is no region", "at least one region", fix);
        return Found { regions: None, routing: None };
    }
    let neighbours = Neighbours::of(list);
    let mut once = Once::new(shared);
    let mut regions = Some(Vec::new());
    let mut routes = Some(Vec::new());
    for (name, body) in list.iter() {
        let named = rule::name(name, problems);
        let route = body.as_ref().and_then(|body| neighbours.route(name, body, problems));
        let region =
            body.as_ref().and_then(|body| region(&name.value, body, route.as_ref(), shared, &mut once, problems));
        let region = region.filter(|_| named.is_some());
        collect(&mut routes, route);
        collect(&mut regions, region);
    }
    let routing = routes.map(Routing::new);
    if let Some(routing) = &routing {
        single_failures(list, routing, problems);
    }
    Found { regions, routing }
}

/// All or nothing.
fn collect<T>(all: &mut Option<Vec<T>>, one: Option<T>) {
    match (all.as_mut(), one) {
        (Some(list), Some(one)) => list.push(one),
        _ => *all = None,
    }
}

/// What no two regions may share.
struct Once {
    datacenters: Unique<u16>,
    endpoints: Unique<String>,
    addresses: Unique<IpAddr>,
    networks: Blocks,
    cidrs: Blocks,
}

impl Once {
    fn new(shared: &Shared<'_>) -> Once {
        let mut endpoints = Unique::new();
        if let Some(name) = shared.dns_name {
            endpoints.reserve(name.value.clone(), &name.place);
        }
        Once {
            datacenters: Unique::new(),
            endpoints,
            addresses: Unique::new(),
            networks: Blocks::default(),
            cidrs: Blocks::default(),
        }
    }
}

fn region(
    name: &str,
    body: &manifest::Region,
    route: Option<&Route>,
    shared: &Shared<'_>,
    once: &mut Once,
    problems: &mut Problems,
) -> Option<Region> {
    let datacenters = shared.layout.map_or(u16::MAX, |layout| layout.datacenters() - 1);
    let datacenter = rule::within(&body.datacenter, 0..=datacenters.into(), problems).and_then(|datacenter| {
        let allowed = "a datacenter of its own for every region, or their ids would be equal";
        once.datacenters.admit(
            datacenter,
            &body.datacenter.as_ref()?.place,
            allowed,
            "write a number that no other region has",
            problems,
        )
    });
    let workers = body.workers.as_ref().and_then(|at| workers(at, shared, problems));
    let workers_per_node = workers_per_node(body, workers.as_ref(), problems);
    let zookeeper = body.zookeeper.as_ref().and_then(|at| network::ensemble(at, problems));
    let endpoint = rule::dns_name(&body.endpoint, problems).and_then(|endpoint| {
        let (allowed, fix) = ("a name of its own for every region and for the fleet", "write the name of this region");
        once.endpoints.admit(endpoint, &body.endpoint.as_ref()?.place, allowed, fix, problems)
    });
    let addresses = body.addresses.as_ref().and_then(|list| {
        rule::not_empty(list, "at least one address", "add the address of the region's load balancer", problems)?;
        rule::members(list, |at| {
            let address = network::address(at, problems)?;
            let (allowed, fix) = ("each address once, in one region", "remove one of the two");
            once.addresses.admit(address, &at.place, allowed, fix, problems)
        })
    });
    let networks = body.networks.as_ref().and_then(|list| rule::members(list, |at| once.networks.admit(at, problems)));
    let location = body.location.as_ref().and_then(|location| {
        let latitude = rule::degrees(&location.latitude, 90.0, problems);
        let longitude = rule::degrees(&location.longitude, 180.0, problems);
        Some((latitude?, longitude?))
    });
    let cloud = body.cloud.as_ref().and_then(|at| cloud(at, &mut once.cidrs, problems));

    let route = route?;
    let (latitude, longitude) = location?;
    Some(Region {
        name: name.to_owned(),
        datacenter: datacenter?,
        traffic: route.traffic,
        workers: workers?,
        workers_per_node: workers_per_node?,
        spill: route.spill.clone(),
        order: route.order.clone(),
        residency: route.residency.clone(),
        zookeeper: zookeeper?,
        endpoint: endpoint?,
        addresses: addresses?,
        networks: networks?,
        latitude,
        longitude,
        cloud: cloud?,
    })
}

fn workers(workers: &At<manifest::Workers>, shared: &Shared<'_>, problems: &mut Problems) -> Option<Workers> {
    let slots = shared.layout.map_or(u16::MAX, |layout| layout.workers());
    let quota = rule::within::<u16>(&workers.quota, 1..=slots.into(), problems);
    let fixed = rule::within::<u16>(&workers.r#static, 0..=slots.into(), problems);
    let surge = rule::within::<u16>(&workers.surge, 1..=slots.into(), problems);

    let mut at_most = |field: &Field<i128>, value: Option<u16>, most: u16, what: &str, or: &str| {
        let at = field.as_ref()?;
        let value = value?;
        if value <= most {
            return Some(value);
        }
        let fix = format!("lower it to {most} or less, or {or}");
        problems.add(&at.place, format!("{value} is more than {what}"), format!("at most {most}"), fix);
        None
    };
    let (mut quota, mut fixed, mut surge) = (quota, fixed, surge);
    let mut most = slots;
    if let (Some(number), Some(pools)) = (fixed, shared.pools) {
        let dynamic = pools.dynamic.len() as u16;
        most = slots.min(number + dynamic);
        let what = format!("{number} static ones and the {dynamic} slots of slots.dynamic");
        quota = at_most(&workers.quota, quota, most, &what, "widen slots.dynamic");
        surge = at_most(&workers.surge, surge, most, &what, "widen slots.dynamic");
        let pool = pools.fixed.len() as u16;
        fixed =
            at_most(&workers.r#static, fixed, pool, &format!("the {pool} slots of slots.static"), "widen slots.static");
    }
    if let Some(quota) = quota {
        let what = format!("the quota of {quota}, which includes the static ones");
        fixed = at_most(&workers.r#static, fixed, quota, &what, "raise quota");
    }
    if let (Some(quota), Some(less), Some(at)) = (quota, surge, &workers.surge)
        && less < quota
    {
        let what = format!("{less} is less than the quota of {quota}, which it replaces while a neighbour is down");
        problems.add(&at.place, what, format!("{quota} to {most}"), format!("raise it to {quota} or more"));
    }
    Some(Workers { quota: quota?, fixed: fixed?, surge: surge? })
}

/// How many slots a node of the region asks for. Static ones go to nodes by their number, so that they have to come out even.
fn workers_per_node(body: &manifest::Region, workers: Option<&Workers>, problems: &mut Problems) -> Option<u16> {
    const MOST: u16 = 16;
    let per_node = rule::within::<u16>(&body.workers_per_node, 1..=MOST.into(), problems)?;
    let (place, Some(&Workers { quota, fixed, .. })) = (&body.workers_per_node.as_ref()?.place, workers) else {
        return Some(per_node);
    };
    if per_node > quota {
        let what = format!("{per_node} is more than the quota of {quota}, so that no node would ever hold them all");
        let fix = format!("lower it to {quota} or less, or raise workers.quota");
        problems.add(place, what, format!("1 to {}", quota.min(MOST)), fix);
        return None;
    }
    if !fixed.is_multiple_of(per_node) {
        let what = format!("{fixed} static slots do not come out even among nodes of {per_node}");
        let fits: Vec<String> = (1..=MOST).filter(|n| fixed.is_multiple_of(*n)).map(|n| n.to_string()).collect();
        let fix = format!("choose one of these, or make workers.static a multiple of {per_node}");
        problems.add(place, what, fits.join(", "), fix);
        return None;
    }
    Some(per_node)
}

fn cloud(cloud: &At<manifest::Cloud>, cidrs: &mut Blocks, problems: &mut Problems) -> Option<Cloud> {
    let provider = cloud.provider.as_ref().and_then(|at| rule::cloud_word(at, problems));
    let region = cloud.region.as_ref().and_then(|at| rule::cloud_word(at, problems));
    let zones = cloud.zones.as_ref().and_then(|list| {
        rule::not_empty(list, "at least one zone, better three", "add the zones that workers may run in", problems)?;
        let mut zones = Unique::new();
        rule::members(list, |at| {
            zones.admit(rule::cloud_word(at, problems)?, &at.place, "each zone once", "remove one of the two", problems)
        })
    });
    let cidr = cloud.cidr.as_ref().and_then(|at| cidrs.admit(at, problems));
    Some(Cloud { provider: provider?, region: region?, zones: zones?, cidr: cidr? })
}
