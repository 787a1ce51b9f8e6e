//! What a region's clients notice of what happens to it: the release binary under load against a real ensemble of three,
//! with the manifest's own numbers.
//!
//! `cargo bench --bench availability [-- SCENARIO…]` writes `docs/results/availability.md`, a section a scenario; those
//! that did not run keep theirs. Nothing here fails for being slow. A broken promise (a duplicate, a refusal where none
//! is promised) stands there in bold, and makes the exit code 1.

#[path = "../../tests/support/mod.rs"]
mod support;

mod clocks;
mod disk;
mod nodes;
mod outages;
mod overload;
mod paced;
mod page;
mod region;

use page::{Findings, Page};
use region::Region;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

struct Scenario {
    name: &'static str,
    what: &'static str,
    run: fn(&mut Region, &mut Findings),
    runs: usize,
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "zookeeper-down",
        what: "All three ZooKeeper servers are killed for longer than a whole window, under two nodes that hold slots; \
               then they are started again. The ceilings are read from the tree right before the kill. A request for \
               6,000 ids needs 1.5 ms of timestamps, and is refused when less is left below the ceiling.",
        run: outages::zookeeper_down,
        runs: 3,
    },
    Scenario {
        name: "leader-election",
        what: "The leader of the three is killed under two nodes that hold slots, and started again once both have \
               raised their ceilings through the new one.",
        run: outages::leader_election,
        runs: 5,
    },
    Scenario {
        name: "kill-9",
        what: "One of four holders is killed (SIGKILL) while a standby waits. Each node has clients of its own. The \
               session time-out is 6 s and ZooKeeper's tickTime 500 ms.",
        run: nodes::kill_9,
        runs: 5,
    },
    Scenario {
        name: "graceful-roll",
        what: "Four holders and a standby (quota 4) are replaced one after another, each with `--lame-duck-seconds 1`, \
               under a client that does as a load balancer does: it asks each node's /readyz every 100 ms, sends \
               requests by turns to those that said 200 last, and keeps its connections.",
        run: nodes::graceful_roll,
        runs: 5,
    },
    Scenario {
        name: "clock-hour-ahead",
        what: "The wall clock of a node steps an hour ahead for 10 s (libfaketime), and back.",
        run: clocks::hour_ahead,
        runs: 3,
    },
    Scenario {
        name: "ntp-step-back",
        what: "The wall clock of a node steps 5 s back for 10 s (libfaketime) while four clients draw 10,000 ids/s from \
               it, ten a request. A stall is a request that the node itself made wait for the clock, as its metrics \
               say; what the clients see has this machine's noise in it, before the step as well.",
        run: clocks::step_back,
        runs: 3,
    },
    Scenario {
        name: "overload-format",
        what: "Two and three times the ids that the format has for one worker are asked of it: 400 connections, 20,000 ids a \
               request as ranges, each asked when it is due, whatever was answered before.",
        run: overload::format,
        runs: 3,
    },
    Scenario {
        name: "overload-in-flight",
        what: "Two and three times as many connections as requests may be in flight (here 16), each asking for 40,000 \
               ids as ranges, again at once, whatever was answered before.",
        run: overload::in_flight,
        runs: 3,
    },
    Scenario {
        name: "high-water-disk",
        what: "Every write of a node's high-water file fails with ENOSPC (the new file's name leads to /dev/full), until \
               the disk is well again.",
        run: disk::full,
        runs: 3,
    },
];

const HELP: &str = "\
Measures what clients notice of outages, kills, rolls, wrong clocks and a full disk.

Usage: cargo bench --bench availability [-- [--runs N] SCENARIO…]

  --runs N   so many runs of each, instead of each scenario's own number
  --list     the scenarios
  --help     this

Exit codes: 0 all promises held, 1 one was broken, 2 usage";

fn main() -> ExitCode {
    let mut chosen = Vec::new();
    let mut runs = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {} // cargo says so
            "--help" | "-h" => return show(HELP),
            "--list" => return show(SCENARIOS.map(|scenario| scenario.name).join("\n")),
            "--runs" => match arguments.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0) {
                Some(n) => runs = Some(n),
                None => return usage("--runs takes a number above 0"),
            },
            name if SCENARIOS.iter().any(|scenario| scenario.name == name) => chosen.push(name.to_owned()),
            other => return usage(&format!("no scenario {other:?}; --list shows them")),
        }
    }
    let mut page = Page::read();
    let mut broken = false;
    say("starting ZooKeeper; slots of a new tree begin a window ahead");
    let mut region = Region::start();
    for scenario in SCENARIOS.iter().filter(|scenario| chosen.is_empty() || chosen.iter().any(|c| c == scenario.name)) {
        let mut findings = Findings::default();
        let runs = runs.unwrap_or(scenario.runs);
        for run in 1..=runs {
            say(&format!("{} {run}/{runs}", scenario.name));
            findings.run = run as u32 - 1;
            (scenario.run)(&mut region, &mut findings);
        }
        findings.settle();
        broken |= findings.broken();
        println!("{}\n{}", scenario.name, findings.table());
        page.put(scenario.name, scenario.what, &findings);
        // Scenario by scenario: what is measured stays, should a later one fail.
        page.write(&SCENARIOS.map(|scenario| scenario.name));
    }
    if broken { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn show(text: impl std::fmt::Display) -> ExitCode {
    println!("{text}");
    ExitCode::SUCCESS
}

fn usage(why: &str) -> ExitCode {
    eprintln!("availability: {why}\n\n{HELP}");
    ExitCode::from(2)
}

/// What is under way, for a person who waits.
fn say(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = writeln!(err, "availability: {what}");
    }
}
