//! The Helm chart, rolled out as a cluster would: what Helm rendered is played with the real binary, one process a pod,
//! under the environment, probes, grace and order of the objects, against a real ZooKeeper. Install, upgrade, rollback,
//! scale, kills, evictions, and pods whose replacement starts while they still run, while clients draw ids through the
//! Service: no id may come twice, and no ready node may refuse.
//!
//! It has a `main` of its own, because it is run by people too: `cargo test --test rollouts -- --help`.

mod chart;
mod client;
mod cluster;
mod controllers;
#[path = "../simulation/dice.rs"]
#[allow(dead_code)]
mod dice;
mod ledger;
mod options;
mod pod;
mod probe;
mod report;
mod schedule;
mod service;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod template;
mod world;

use chart::Helm;
use clap::Parser;
use controllers::Gate;
use options::Options;
use report::Report;
use schedule::{Action, Plan};
use service::Lag;
use stage::{Played, Setting, Stage};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::{Ensemble, Settings};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/rollouts.md");

/// How late forwarders hear of a change. The chart's rule leaves them 3 s.
const LAG: Lag = Lag { least: Duration::ZERO, most: Duration::from_millis(2_500) };

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.is_meant() {
        return ExitCode::SUCCESS;
    }
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()) << 16 ^ now_seed());
    let plans = schedule::schedule(seed, usize::from(options.stages), options.rollouts());
    assert_eq!(
        plans,
        schedule::schedule(seed, usize::from(options.stages), options.rollouts()),
        "a seed is a schedule"
    );
    if options.list {
        for plan in &plans {
            println!("stage {}, {:?}:", plan.stage, plan.gate);
            plan.actions.iter().for_each(|action| println!("  {action}"));
        }
        return ExitCode::SUCCESS;
    }
    if let Some(folder) = &options.inside {
        return inside(&options, seed, &plans, folder);
    }
    let folder = tempfile::Builder::new().prefix("meridian-rollouts-").tempdir().expect("a temporary folder");
    let (path, _kept) = match &options.keep {
        Some(keep) => (keep.clone(), None),
        None => (folder.path().to_owned(), Some(folder)),
    };
    std::fs::create_dir_all(&path).expect("a folder");
    world::enter(&path.canonicalize().expect("a folder"), seed)
}

fn inside(options: &Options, seed: u64, plans: &[Plan], folder: &Path) -> ExitCode {
    ledger::check();
    controllers::check();
    template::check();
    world::lay();
    let started = Instant::now();
    let again = again(options, seed);
    println!("rollouts: seed {seed}; the same again: {again}");
    let report = {
        let zookeeper = Ensemble::start(Settings { heap_mb: 192, ..Settings::default() });
        let setting = Setting {
            helm: Helm::find(),
            zookeeper: zookeeper.connect_string(),
            folder: folder.to_owned(),
            verbose: options.verbose,
            lag: LAG,
            overrides: Vec::new(),
        };
        let plans = plans.iter().filter(|plan| options.only.is_none_or(|only| only == plan.stage));
        let (played, proof) = play(&setting, plans, options.only.is_none());
        let mut report = Report::of(&played, started.elapsed());
        report.broken.extend(proof);
        report
    };
    println!("\n{}", report.text);
    let mut broken = report.broken.clone();
    // The servers and all pods are gone by now.
    if !world::is_alone() {
        broken.push("processes are left".to_owned());
    }
    for what in &broken {
        println!("FAILED: {what}");
    }
    if options.full && broken.is_empty() {
        report.write_page(Path::new(PAGE), seed);
    }
    if !broken.is_empty() {
        println!("the same again: {again}");
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

/// Plays all stages side by side; and, unless one is asked for, a cluster that must be seen to fail.
fn play<'a>(setting: &Setting, plans: impl Iterator<Item = &'a Plan>, prove: bool) -> (Vec<Played>, Option<String>) {
    std::thread::scope(|scope| {
        let proof = prove.then(|| scope.spawn(|| without_lame_duck(setting)));
        let stages: Vec<_> = plans.map(|plan| (plan.stage, scope.spawn(move || Stage::play(setting, plan)))).collect();
        let mut played = Vec::new();
        let mut broken = None;
        for (stage, thread) in stages {
            match thread.join() {
                Ok(stage) => played.push(stage),
                Err(_) => broken = Some(format!("stage {stage} panicked")),
            }
        }
        let proof = proof.and_then(|proof| proof.join().unwrap_or_else(|_| Some("the proof panicked".to_owned())));
        (played, broken.or(proof))
    })
}

/// A harness that cannot fail proves nothing: nodes that close their port with SIGTERM, while forwarders need a second to
/// hear of it, must be seen to refuse.
fn without_lame_duck(setting: &Setting) -> Option<String> {
    let lag = Lag { least: Duration::from_secs(1), most: Duration::from_secs(2) };
    let overrides = vec![("MERIDIAN_LAME_DUCK_SECONDS", "0")];
    let setting = Setting { overrides, lag, verbose: false, ..setting.clone() };
    let (stage, seed) = (usize::from(u8::MAX) - 32, 1);
    let install = schedule::schedule(seed, 3, 30).remove(2).actions.remove(0);
    let actions = vec![install, Action::Evict(2), Action::Uninstall];
    let plan = Plan { stage, seed, gate: Gate::Off, zone: true, first_slot: 0, actions };
    let played = Stage::play(&setting, &plan);
    let others = played.broken.iter().filter(|what| !what.contains("refused"));
    let others: Vec<&String> = others.collect();
    match played.sums.refused {
        0 => Some("without a lame duck nobody was refused: this harness sees nothing".to_owned()),
        _ if !others.is_empty() => Some(format!("without a lame duck: {others:?}")),
        _ => None,
    }
}

/// The command that plays this seed.
fn again(options: &Options, seed: u64) -> String {
    let mut command = format!("cargo test --test rollouts -- --seed {seed}");
    command += &format!(" --rollouts {} --stages {}", options.rollouts(), options.stages);
    options.only.into_iter().for_each(|only| command += &format!(" --only {only}"));
    command
}

fn now_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs() & 0xffff)
}
