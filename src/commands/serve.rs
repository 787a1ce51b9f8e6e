//! `meridian serve`: one node, from its parts.

#[cfg(feature = "broken")]
use super::broken;
use super::{Exit, Failed, fleet};
use crate::cli::ServeArgs;
use crate::clock::{self, Clock};
use crate::desk::Desk;
use crate::grpc::{self, Grpc};
use crate::health::verdict::Criterion;
use crate::health::{self, Health, report};
use crate::http::{self, Api, Judge, Ops, Parts};
use crate::issuer::Issuer;
use crate::lease::grant::Grant;
use crate::lease::keeper::{self, Keeper, Watched};
use crate::lease::survey;
use crate::lease::znode::{self, Class, NodeId, Registration};
use crate::load::Load;
use crate::manifest::nearest;
use crate::memory::{self, Crowd, Start};
use crate::metrics;
use crate::outcomes::Outcomes;
use crate::peers::{Names, Peers, Probing, Target, Thresholds};
use crate::shutdown::{Signals, Told};
use crate::topology::{self, Region, Topology};
use anyhow::Context;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// How long giving the slots back may take before the process leaves without: the ceiling bounds what is lost.
const RELEASE_WITHIN: Duration = Duration::from_secs(5);

/// For no longer than this is a quota exceeded that shrank, however long the lame duck.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(30);

/// Where the other regions serve, unless `--peer` says otherwise: the default of `--listen`.
const PUBLIC_PORT: u16 = 8080;

/// What a node is called and where it listens, once bound.
#[derive(serde::Serialize)]
struct Bound<'a> {
    region: &'a str,
    datacenter: u16,
    http: String,
    ops: String,
    pid: u32,
}

/// Runs on a thread of its own what keeps the node, and on `workers` what serves its ports: while nobody asks, one thread
/// wakes for what happens and not two, and under load the lease does not queue behind requests.
pub async fn run(args: &ServeArgs, workers: &Handle, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let region = fleet::region(&topology, &args.region)?;
    let slots = static_slots(args, &topology, region)?;
    let off = criteria_off(args)?;
    let targets = targets(args, &topology, region)?;
    let coordination = fleet::coordination(&args.coordination, region)?;
    let settings = fleet::settings(&topology, region, args.lame_duck_seconds.min(GIVE_BACK_WITHIN));
    #[cfg(feature = "broken")]
    let settings = broken::settings(settings)?;

    let mut signals = Signals::listen().context("listening for signals")?;
    let (listen, ops_listen) = (args.listen, args.ops_listen);
    let both = async move { anyhow::Ok((bind(listen, "--listen").await?, bind(ops_listen, "--ops-listen").await?)) };
    let (public, operations) = workers.spawn(both).await??; // woken by the workers' events from now on
    let host = args.host.clone().unwrap_or_else(hostname);
    let url = |listener: &TcpListener| -> anyhow::Result<String> { Ok(reachable(listener.local_addr()?, &host)) };
    let (http, ops) = (url(&public)?, url(&operations)?);
    let bound = Bound {
        region: &region.name,
        datacenter: region.datacenter,
        http: http.clone(),
        ops: ops.clone(),
        pid: std::process::id(),
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&bound)?)?;
        out.flush()?;
    }
    tracing::info!(region = region.name, datacenter = region.datacenter, http, ops, "serving");

    let clock = Arc::new(Clock::start(topology.epoch_unix_ms));
    let mut registry = metrics::registry();
    register_build(&topology, &mut registry);
    let cards = cards(args, slots, region.workers_per_node, host, http, ops);
    let me = cards.iter().map(|card| card.node.clone()).collect();
    let config = keeper::Config {
        coordination,
        expected: fleet::expected(&topology, region),
        settings,
        cards,
        state_dir: args.state_dir.clone(),
        init: args.init.then(|| fleet::blueprint(&topology, region)),
    };
    let (keepers, lease) = Keeper::of_each(config, clock.clone(), &mut registry);
    let issuer = Arc::new(Issuer::new(clock.clone(), topology.lease.max_wait, &mut registry));
    let outcomes = Arc::new(Outcomes::default());
    let (stopping, stopping_seen) = watch::channel(false);
    let (installed, grants) = watch::channel(Vec::new());
    let (surveyed, known) = watch::channel(None);
    let survey_again = Arc::new(Notify::new());
    let pulse = Arc::new(survey::Pulse::default());
    let limits = health::limits(&topology.health, off);
    warn_of_clock(&limits);
    let health = Arc::new(Health::new(
        health::Region {
            name: region.name.clone(),
            datacenter: region.datacenter,
            known,
            pulse: pulse.clone(),
            hold_ms: args.region_hold_seconds.as_millis() as u64,
        },
        limits,
        clock.clone(),
        Watched { grants, ..lease.clone() },
        outcomes.clone(),
        stopping_seen.clone(),
        &mut registry,
    ));
    let peers = Arc::new(Peers::new(
        (region.name.clone(), topology.routing()),
        (lease.clone(), survey_again.clone()),
        args.region_hold_seconds,
        &mut registry,
    ));
    let load = Arc::new(Load::new(topology.limits.in_flight, &mut registry));
    let desk = Arc::new(Desk::new(issuer.clone(), load, outcomes, &mut registry));
    let http_metrics = http::Metrics::new(&mut registry);

    let (judge, region_judge, ready, live) = (health.clone(), health.clone(), health.clone(), health.clone());
    let health_judge: Judge = Arc::new(move || judge.report());
    let serving = health_judge.clone();
    let grpc = Arc::new(Grpc::new(grpc::Parts {
        desk: desk.clone(),
        serving: Arc::new(move || serving().status != report::Status::Fail),
        metrics: grpc::Metrics::new(&mut registry),
        limits: topology.limits.clone(),
    }));
    let api = Arc::new(Api::new(Parts {
        desk,
        grpc,
        clock: clock.clone(),
        metrics: http_metrics.clone(),
        health: health_judge,
        region_health: Arc::new(move || region_judge.region_report()),
        regions: topology.regions.iter().map(|region| (region.datacenter, region.name.clone())).collect(),
        layout: topology.layout,
        limits: topology.limits.clone(),
    }));
    let operator = peers.clone();
    let ops = Arc::new(Ops {
        registry: Arc::new(registry),
        metrics: http_metrics.clone(),
        live: Arc::new(move || live.live()),
        ready: Arc::new(move || ready.ready()),
        operate: Arc::new(move |order| {
            let operator = operator.clone();
            Box::pin(async move { operator.order(order).await })
        }),
        limits: topology.limits.clone(),
    });

    let _following = clock::follow(clock).context("cannot start the thread that follows the clock")?;
    // First, so that nothing is done before the claim.
    let (stop_keepers, keepers_stop) = watch::channel(false);
    let mut keepers: JoinSet<()> = keepers.into_iter().map(|keeper| keeper.run(keepers_stop.clone())).collect();
    let mut background = JoinSet::new();
    background.spawn(show_the_way_out(lease.clone(), stopping_seen.clone(), api.clone()));
    background.spawn(survey::run(lease.clone(), me, survey_again.clone(), surveyed, pulse, clock::boot_us));
    background.spawn(install(lease, issuer, installed));
    background.spawn(tick(health, http_metrics, survey_again.clone()));
    for (name, target) in targets {
        let (peers, probing) = (peers.clone(), probing(&topology.health));
        background.spawn(async move { peers.probe(name, target, probing).await });
    }
    background.spawn(async move { peers.surge().await });
    let (stop_http, http_stops) = watch::channel(false);
    let mut public = workers.spawn(http::run(public, api.clone(), turned_true(http_stops)));
    let (stop_ops, ops_stops) = watch::channel(false);
    let mut operations = workers.spawn(http::ops::run(operations, ops, turned_true(ops_stops)));

    {
        // None of these ends by itself: a node without one of them is worse than a node that is started again.
        let bug = async {
            tokio::select! {
                Some(_) = keepers.join_next() => Failed::bug("the keeper of the lease ended by itself"),
                _ = &mut public => Failed::bug("the public port closed by itself"),
                _ = &mut operations => Failed::bug("the operations port closed by itself"),
                Some(_) = background.join_next() => Failed::bug("a background task ended by itself"),
            }
        };
        let mut bug = pin!(bug);
        let signal = tokio::select! {
            signal = signals.next() => signal,
            bug = &mut bug => return Err(bug),
        };
        // Unready before anything else, so that whoever looks sends nothing new.
        stopping.send_replace(true);
        signals.exit_on_next();
        let lame_duck = match signal {
            Told::Terminate => args.lame_duck_seconds,
            // A person at a terminal, behind whom no load balancer waits.
            Told::Interrupt => Duration::ZERO,
        };
        if !lame_duck.is_zero() {
            tracing::info!("{signal}: unready, and serving for another {lame_duck:?}; once more ends at once");
            tokio::select! {
                () = tokio::time::sleep(lame_duck) => {}
                bug = &mut bug => return Err(bug),
            }
        }
        tracing::info!("{signal}: draining; once more ends at once");
    }

    // What runs is finished, then the slots go back; metrics can be scraped to the end.
    stop_http.send_replace(true);
    let cut = match tokio::time::timeout(Duration::from_secs(args.drain_seconds), public).await {
        Ok(drained) => drained.context("the public port")?.cut,
        Err(_) => {
            tracing::warn!(seconds = args.drain_seconds, "requests under way took too long; leaving without them");
            0
        }
    };
    if cut > 0 {
        tracing::warn!(cut, "connections were cut while at work");
    }
    stop_keepers.send_replace(true);
    let left = async {
        while let Some(left) = keepers.join_next().await {
            left.context("a keeper")?;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(RELEASE_WITHIN, left).await {
        Ok(left) => left?,
        Err(_) => tracing::warn!("a slot could not be given back in time; it stays cold until its ceiling"),
    }
    stop_ops.send_replace(true);
    let _ = tokio::time::timeout(Duration::from_secs(1), operations).await;
    background.shutdown().await;
    tracing::info!("stopped");
    Ok(Exit::Fine)
}

/// The slots a static node asks for; none: it takes dynamic ones.
fn static_slots(args: &ServeArgs, topology: &Topology, region: &Region) -> anyhow::Result<Option<Range<u16>>> {
    let Some(node) = args.static_slot else { return Ok(None) };
    let nodes = topology.static_nodes(region);
    if nodes.contains(&node) {
        return Ok(Some(topology.static_slots(region, node)));
    }
    let (name, n) = (&region.name, region.workers_per_node);
    if nodes.is_empty() {
        return Err(Failed::usage(format!("--static-slot {node}: region {name} has no static slots")));
    }
    let (first, last) = (nodes.start, nodes.end - 1);
    let what = match n {
        1 => format!("has static slots {first} to {last}"),
        n => format!("has static nodes {first} to {last}, with {n} slots each"),
    };
    Err(Failed::usage(format!(
        "--static-slot {node}: region {name} {what}; without the flag the node takes a dynamic one"
    )))
}

/// Where the other regions are asked for their health.
fn targets(args: &ServeArgs, topology: &Topology, own: &Region) -> anyhow::Result<Vec<(String, Target)>> {
    let mut urls: BTreeMap<&str, String> = topology
        .regions
        .iter()
        .filter(|region| region.name != own.name)
        .map(|region| (region.name.as_str(), format!("http://{}:{PUBLIC_PORT}", region.endpoint)))
        .collect();
    for peer in args.peers.iter().map(|peer| peer.trim()).filter(|peer| !peer.is_empty()) {
        let usage = |why: &str| Failed::usage(format!("--peer {peer:?}: {why}"));
        let (name, url) = peer.split_once('=').ok_or_else(|| usage("write REGION=http://host:port"))?;
        let region = fleet::region(topology, name)?;
        if region.name == own.name {
            return Err(usage("this is the node's own region"));
        }
        urls.insert(&region.name, url.to_owned());
    }
    let names = Names::default();
    let target = |(name, url): (&str, String)| {
        let target = Target::new(&url, &names).map_err(|error| Failed::usage(format!("--peer {name}: {error:#}")))?;
        Ok((name.to_owned(), target))
    };
    urls.into_iter().map(target).collect()
}

fn probing(health: &topology::Health) -> Probing {
    Probing {
        interval: health.interval,
        timeout: health.timeout,
        thresholds: Thresholds { down: health.unhealthy_threshold, up: health.healthy_threshold },
    }
}

fn criteria_off(args: &ServeArgs) -> anyhow::Result<Vec<Criterion>> {
    args.health_off
        .iter()
        .map(|name| name.trim())
        .filter(|name| !name.is_empty())
        .map(|name| {
            name.parse().map_err(|why| {
                let guess = nearest(name, Criterion::ALL.map(Criterion::name));
                let guess = guess.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Failed::usage(format!("--health-off {name:?}: {why}{guess}"))
            })
        })
        .collect()
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; choose another with {flag}"))
}

/// The URL others reach a listener by: an unspecified address means this host.
fn reachable(address: SocketAddr, host: &str) -> String {
    match address.ip().is_unspecified() {
        true => format!("http://{host}:{}", address.port()),
        false => format!("http://{address}"),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// What the node says of itself, once for each slot it asks for: as many workers, which differ in their names alone.
fn cards(
    args: &ServeArgs,
    slots: Option<Range<u16>>,
    workers: u16,
    host: String,
    http: String,
    ops: String,
) -> Vec<Registration> {
    let started = clock::timestamp();
    let card = |wanted_slot: Option<u16>| Registration {
        v: znode::VERSION,
        node: NodeId::random(),
        class: if wanted_slot.is_some() { Class::Fixed } else { Class::Dynamic },
        wanted_slot,
        eligible: true,
        host: host.clone(),
        zone: args.zone.clone(),
        http: http.clone(),
        ops: ops.clone(),
        version: crate::VERSION.to_owned(),
        started: started.clone(),
    };
    match slots {
        Some(slots) => slots.map(|slot| card(Some(slot))).collect(),
        None => (0..workers).map(|_| card(None)).collect(),
    }
}

/// Which manifest and which build this is: an alert fires when the nodes of a fleet disagree.
fn register_build(topology: &Topology, registry: &mut Registry) {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Manifest {
        sha256: String,
    }
    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Build {
        version: &'static str,
    }
    let manifest = Manifest { sha256: topology.digest.clone() };
    registry.register("manifest", "The manifest this node runs by", Info::new(manifest));
    registry.register("build", "The build of this node", Info::new(Build { version: crate::VERSION }));
}

/// A host that cannot satisfy a criterion should hear it at the start, not from a failing probe.
fn warn_of_clock(limits: &health::verdict::Limits) {
    let judged = !limits.off.contains(&Criterion::NtpSynchronized);
    if judged && !clock::kernel_state().synchronized {
        tracing::warn!(
            "the kernel's clock is not synchronised, so /api/v1/health will say 503: run chrony, or --health-off ntp_synchronized"
        );
    }
}

/// Hands the grants on to the issuer, and only then to those who tell others of it: who is told that this node is ready
/// gets an id.
async fn install(mut lease: Watched, issuer: Arc<Issuer>, installed: watch::Sender<Vec<Option<Arc<Grant>>>>) {
    loop {
        let grants = lease.grants.borrow_and_update().clone();
        issuer.install(grants.iter().flatten().cloned());
        installed.send_replace(grants);
        if lease.grants.changed().await.is_err() {
            return;
        }
    }
}

/// Whoever still keeps a connection to a node that leaves is sent elsewhere.
async fn show_the_way_out(mut lease: Watched, mut stopping: watch::Receiver<bool>, api: Arc<Api>) {
    loop {
        lease.status.mark_unchanged();
        api.lame_duck(lease.is_leaving() || *stopping.borrow_and_update());
        let changed = tokio::select! {
            changed = lease.status.changed() => changed,
            changed = stopping.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// What is done once a second: one timer wakes the node for all of it, the survey of its region too.
async fn tick(health: Arc<Health>, http: Arc<http::Metrics>, survey_again: Arc<Notify>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut start, mut crowd) = (Start::default(), Crowd::default());
    loop {
        let second = tokio::select! {
            _ = every.tick() => true,
            () = health.changed() => false,
        };
        health.tick();
        if !second {
            continue;
        }
        survey_again.notify_one();
        let (started, gone) = (start.is_over(health.ready().is_ok()), crowd.has_gone(http.open()));
        if started {
            memory::give_back_program();
        }
        if started || gone {
            memory::give_back_heap();
        }
    }
}

async fn turned_true(mut flag: watch::Receiver<bool>) {
    let _ = flag.wait_for(|flag| *flag).await;
}
