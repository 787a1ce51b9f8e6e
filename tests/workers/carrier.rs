//! A process that carries workers: for each a keeper, an issuer and somebody who draws. Says on its standard output
//! what becomes of them, answers `numbers` on its standard input, and ends when that does, or is killed.

use crate::roster::{self, Role, STATIC_SLOT};
use crate::word::{Stand, Word};
use meridian::cli::{CoordinationArgs, ManifestArg};
use meridian::clock::{self, Clock};
use meridian::commands::fleet;
use meridian::issuer::{Issuer, Refused};
use meridian::lease::keeper::{Config, Keeper, Watched};
use meridian::lease::znode::{Class, NodeId, Registration, VERSION};
use meridian::metrics;
use meridian::topology::Topology;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Each worker draws so many ids, that often.
const IDS: u32 = 8;
const EVERY: Duration = Duration::from_millis(50);

/// Words on their way to the harness; more wait for it.
const WORDS: usize = 1 << 16;

pub fn carry(carrier: usize, manifest: &Path) -> ExitCode {
    let topology = fleet::read(&ManifestArg { path: manifest.to_owned() }).expect("the harness wrote it");
    let roles = roster::roles(carrier, topology.regions.len() as u16);
    let (words, queue) = mpsc::channel(WORDS);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mouth = std::thread::spawn(move || speak(queue));
    let (keep_on, stop) = watch::channel(false);
    let clock = Arc::new(Clock::start(topology.epoch_unix_ms));
    let _following = clock::follow(clock.clone()).expect("a thread");
    let registries: Vec<Registry> = {
        let _inside = runtime.enter();
        let start = |(worker, role): (usize, &Role)| start(worker, *role, &topology, &clock, &words, &stop);
        roles.iter().enumerate().map(start).collect()
    };
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("numbers") if words.blocking_send(Word::Numbers(sums(&registries))).is_ok() => {}
            _ => break,
        }
    }
    drop(keep_on);
    drop(words);
    runtime.shutdown_background();
    let _ = mouth.join();
    ExitCode::SUCCESS
}

/// Starts one worker as `serve` starts a node, without its ports. Its metrics are its own.
fn start(
    worker: usize,
    role: Role,
    topology: &Topology,
    clock: &Arc<Clock>,
    words: &mpsc::Sender<Word>,
    stop: &watch::Receiver<bool>,
) -> Registry {
    let region =
        topology.regions.iter().find(|region| region.datacenter == role.datacenter).expect("a region for each");
    let mut registry = metrics::registry();
    let config = Config {
        coordination: fleet::coordination(&CoordinationArgs::default(), region).expect("the harness's servers"),
        expected: fleet::expected(topology, region),
        settings: fleet::settings(topology, region, Duration::ZERO),
        cards: vec![card(worker, role)],
        state_dir: None,
        init: None,
    };
    let (mut keepers, lease) = Keeper::of_each(config, clock.clone(), &mut registry);
    let keeper = keepers.pop().expect("one for the card");
    let issuer = Arc::new(Issuer::new(clock.clone(), topology.lease.max_wait, &mut registry));
    tokio::spawn(keeper.run(stop.clone()));
    tokio::spawn(follow(worker, lease, issuer.clone(), words.clone()));
    tokio::spawn(draw(worker, issuer, words.clone()));
    registry
}

fn card(worker: usize, role: Role) -> Registration {
    Registration {
        v: VERSION,
        node: NodeId::random(),
        class: if role.is_static { Class::Fixed } else { Class::Dynamic },
        wanted_slot: role.is_static.then_some(STATIC_SLOT),
        eligible: true,
        host: format!("host-{worker}"),
        zone: "a".to_owned(),
        http: format!("http://127.0.0.1:{worker}"),
        ops: format!("http://127.0.0.1:{worker}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: clock::timestamp(),
    }
}

/// Hands each grant on to the issuer, and tells where the worker stands.
async fn follow(worker: usize, mut lease: Watched, issuer: Arc<Issuer>, words: mpsc::Sender<Word>) {
    let mut told = None;
    loop {
        let grant = lease.grants.borrow_and_update()[0].clone();
        let slot = grant.as_ref().map(|grant| (grant.origin().datacenter, grant.origin().worker));
        issuer.install(grant);
        let stands = (slot, Stand::of(&lease.status.borrow_and_update()[0]));
        if told != Some(stands) {
            told = Some(stands);
            let (slot, stand) = stands;
            if words.send(Word::Stands { worker, slot, stand }).await.is_err() {
                return;
            }
        }
        let changed = tokio::select! {
            changed = lease.grants.changed() => changed,
            changed = lease.status.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// Draws at a steady pace, whatever the answers.
async fn draw(worker: usize, issuer: Arc<Issuer>, words: mpsc::Sender<Word>) {
    // Spread out, so that a thousand workers do not draw in the same millisecond.
    let first = tokio::time::Instant::now() + EVERY * (worker % 50) as u32 / 50;
    let mut pace = tokio::time::interval_at(first, EVERY);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let told = match issuer.issue(IDS).await {
            Ok(issued) => {
                let mut told = Ok(());
                for range in issued.ranges() {
                    told = told.and(words.send(Word::Ids(range)).await);
                }
                told
            }
            Err(Refused::NoLease) => Ok(()), // a standby
            Err(Refused::Spent | Refused::Ahead(_) | Refused::Late) => words.send(Word::Refused).await,
        };
        if told.is_err() {
            return;
        }
    }
}

fn speak(mut queue: mpsc::Receiver<Word>) {
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Some(word) = queue.blocking_recv() {
        let mut said = writeln!(out, "{word}");
        while let Ok(word) = queue.try_recv() {
            said = said.and_then(|()| writeln!(out, "{word}"));
        }
        if said.and_then(|()| out.flush()).is_err() {
            return; // the harness is gone, and so is this process soon
        }
    }
}

/// Adds up the lease's metrics of all workers, by name and labels.
fn sums(registries: &[Registry]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for registry in registries {
        let text = metrics::text(registry).expect("metrics are text");
        let lines = text.lines().filter_map(|line| line.strip_prefix("meridian_lease_")?.rsplit_once(' '));
        for (name, value) in lines {
            *sums.entry(name.to_owned()).or_insert(0.0) += value.parse::<f64>().unwrap_or_default();
        }
    }
    sums
}
