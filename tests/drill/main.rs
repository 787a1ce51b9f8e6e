//! Every drill in its short version: real gdnsd, unbound, ZooKeeper and nodes, probes every two seconds. All promises
//! must hold. And the long ones, for `docs/results/drills.md`.
//!
//! It has a `main` of its own, because it is run by people too: `cargo test --test drill -- --help`.

mod ends;
mod page;
mod run;
#[path = "../support/mod.rs"]
mod support;

use clap::Parser;
use run::{Performance, all};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Plays drills side by side, and fails unless all promises hold.
///
/// Exit status: 0 all promises held; 1 a promise was broken, or a drill did not behave as a command should.
#[derive(Clone, Debug, Parser)]
#[command(name = "drill")]
struct Options {
    /// What the schedules are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Only drills whose name has this in it
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,

    /// At most so many stages at once: each is some thirty processes
    #[arg(long, value_name = "N", default_value_t = 2)]
    stages: usize,

    /// Ten runs of each in all profiles, into docs/results/drills.md
    #[arg(long)]
    full: bool,

    /// How many runs with --full
    #[arg(long, value_name = "N", default_value_t = 10)]
    runs: u32,

    /// Where the JSON and the pictures go
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What CI plays. One stage plays several acts where they are short.
const SHORT: &[&[&str]] = &[
    &["zookeeper-loss"],
    &["region-loss", "--fault", "crash,hang"],
    &["region-loss", "--fault", "black-hole,503"],
    &["flap"],
    &["planned-drain"],
    &["two-regions"],
    &["rejoin"],
];

/// What is measured: the long ones first, so that all end together.
const LONG: &[&[&str]] = &[
    &["region-loss", "--fault", "crash", "--profile", "brief"],
    &["region-loss", "--fault", "hang", "--profile", "brief"],
    &["region-loss", "--fault", "black-hole", "--profile", "brief"],
    &["region-loss", "--fault", "503", "--profile", "brief"],
    &["planned-drain", "--profile", "brief"],
    &["region-loss", "--fault", "crash", "--profile", "floating"],
    &["region-loss", "--fault", "hang", "--profile", "floating"],
    &["region-loss", "--fault", "black-hole", "--profile", "floating"],
    &["region-loss", "--fault", "503", "--profile", "floating"],
    &["zookeeper-loss"],
    &["region-loss"],
    &["flap"],
    &["planned-drain"],
    &["two-regions"],
    &["rejoin"],
];

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let mut broken = Vec::new();
    if !options.full && options.only.is_empty() {
        broken.extend(ends::check());
    }
    let wanted = if options.full { LONG } else { SHORT };
    let wanted = wanted.iter().map(|line| line.iter().map(|word| (*word).to_owned()).collect());
    let mut lines: Vec<Vec<String>> =
        wanted.filter(|line: &Vec<String>| line.join(" ").contains(&options.only)).collect();
    for line in &mut lines {
        line.extend(["--seed".to_owned(), options.seed.to_string()]);
        // Nodes of many stages share a few processors here: what they answer within is not what is tested.
        line.extend(["--health-off".to_owned(), "response_time_ms,clock_drift_ms".to_owned()]);
        if options.full {
            line.extend(["--runs".to_owned(), options.runs.to_string()]);
        }
    }
    let played = all(&lines, options.stages.max(1), options.out.as_deref());
    for Performance { line, report, .. } in &played {
        match report {
            Ok(report) => {
                let rows = report["promises"].as_array().expect("promises");
                let not_held = rows.iter().filter(|row| row["held"] != row["runs"]);
                broken.extend(not_held.map(|row| format!("{}: {row}", line.join(" "))));
                broken.extend(run::objections(report).into_iter().map(|why| format!("{}: {why}", line.join(" "))));
            }
            Err(error) => broken.push(format!("{}: {error}", line.join(" "))),
        }
    }
    println!("\n{} drills in {:.0} s", played.len(), started.elapsed().as_secs_f64());
    if options.full {
        page::write(&played);
    }
    for line in &broken {
        println!("broken: {line}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
