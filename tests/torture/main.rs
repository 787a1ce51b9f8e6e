//! Torture: real nodes and a real three-node ZooKeeper, broken in every way we know by a schedule that a seed decides,
//! while everybody draws ids. No id may come twice, and in the end all slots are taken again.
//!
//! It has a `main` of its own, because it is run by people too: `cargo test --test torture -- --help`.

#[path = "../simulation/dice.rs"]
#[allow(dead_code)]
mod dice;
mod drawer;
mod fleet;
mod ledger;
mod options;
mod play;
mod report;
mod schedule;
mod seat;
#[path = "../support/mod.rs"]
mod support;

use clap::Parser;
use options::Options;
use play::{INTERRUPTED, Play, Until};
use report::Report;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/torture.md");

/// The broken variants that a harness for real faults has to find.
const FLAWS: [&str; 3] = ["no-fence", "lease-only", "report-afterwards"];

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()) << 16 ^ now_seed());
    let length = Duration::from_secs(options.seconds());
    let steps = schedule::schedule(seed, length);
    assert_eq!(steps, schedule::schedule(seed, length), "a seed is a schedule");
    if options.list {
        println!("      at    lasts  fault");
        steps.iter().for_each(|step| println!("{step}"));
        return ExitCode::SUCCESS;
    }
    listen_for_signals();
    match &options.flaw {
        None => healthy(&options, seed, length, &steps),
        Some(_) if !cfg!(feature = "broken") => {
            eprintln!("error: this build has no broken variants; add --features broken behind `cargo test`");
            ExitCode::from(2)
        }
        Some(flaw) if flaw != "all" && !FLAWS.contains(&flaw.as_str()) => {
            eprintln!("error: there is no flaw {flaw:?} to look for here, only {} and all", FLAWS.join(", "));
            ExitCode::from(2)
        }
        Some(_) if !nodes_can_be_broken() => {
            eprintln!("error: the nodes' binary was built without its broken variants; run this through `cargo test`");
            ExitCode::from(3)
        }
        Some(flaw) => broken(&options, flaw, seed, length, &steps),
    }
}

fn healthy(options: &Options, seed: u64, length: Duration, steps: &[schedule::Step]) -> ExitCode {
    eprintln!("torture: seed {seed}, {} s, {} faults; again with --seed {seed}", length.as_secs(), steps.len());
    let play = Play {
        steps,
        length,
        flaw: None,
        until: Until::End,
        tell_faults: options.tells_faults(),
        keep: options.keep.as_deref(),
    };
    let played = play.run();
    let report = Report::of(seed, &played);
    if options.json {
        println!("{}", serde_json::to_string(&report).expect("plain numbers"));
    } else {
        println!("\n{}", report.tables());
    }
    for why in &report.why {
        eprintln!("FAILED: {why}");
    }
    if played.interrupted {
        eprintln!("interrupted");
        return ExitCode::from(130);
    }
    if options.long && report.ok {
        report.write_page(Path::new(PAGE));
    }
    if !report.ok {
        eprintln!("the same again: cargo test --test torture -- --seed {seed} --seconds {}", length.as_secs());
    }
    ExitCode::from(u8::from(!report.ok))
}

/// A harness that cannot fail proves nothing: each broken variant must give an id twice under the same faults.
fn broken(options: &Options, flaw: &str, seed: u64, length: Duration, steps: &[schedule::Step]) -> ExitCode {
    let flaws: Vec<&str> = if flaw == "all" { FLAWS.to_vec() } else { vec![flaw] };
    let mut missed = 0;
    for flaw in flaws {
        eprintln!("torture: {flaw}, seed {seed}");
        let started = Instant::now();
        let (until, keep) = (Until::Found, options.keep.as_deref());
        let played = Play { steps, length, flaw: Some(flaw), until, tell_faults: options.verbose, keep }.run();
        if INTERRUPTED.load(Ordering::Relaxed) {
            return ExitCode::from(130);
        }
        let (took, faults) = (started.elapsed().as_secs_f64(), played.struck.len());
        match played.repeats.first() {
            Some(repeat) => println!("{flaw}: found after {took:.1} s and {faults} faults: {repeat}"),
            None => {
                missed += 1;
                println!("{flaw}: NOT FOUND in {took:.1} s and {faults} faults, {} ids", played.tally.ids);
            }
        }
    }
    ExitCode::from(u8::from(missed > 0))
}

/// The binary beside this one may have been built again since, without the feature.
fn nodes_can_be_broken() -> bool {
    String::from_utf8_lossy(&support::meridian(&["--version"]).stdout).contains("+broken")
}

fn now_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs() & 0xffff)
}

/// The first signal ends the run in order: everything started is stopped, and what was seen is told. The second kills.
fn listen_for_signals() {
    extern "C" fn interrupted(_: libc::c_int) {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // SAFETY: async-signal-safe; the nodes and servers die with this process.
            unsafe { libc::_exit(130) };
        }
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only swaps an atomic, or exits.
        unsafe { libc::signal(signal, interrupted as *const () as libc::sighandler_t) };
    }
}
