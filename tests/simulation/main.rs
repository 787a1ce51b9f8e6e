//! The lease's state machine, as built, against a simulated ensemble: hundreds of thousands of faults a minute, each run
//! made from one seed and run twice to the same bytes.
//!
//! What is real: `lease::state`, `lease::line`, `lease::grant`, and the tree with ZooKeeper's rules. What is simulated:
//! the network, the servers' sessions and followers, watches, disks, clocks and the passing of time (`world.rs`,
//! `faults.rs`). After the faults, everybody who can must come to hold a slot (`settle.rs`).
//!
//! `MERIDIAN_SIM_SEEDS=N` runs more seeds, `MERIDIAN_SIM_SEED=S` one, with its trace on stderr. With the feature `broken`,
//! `MERIDIAN_BROKEN=FLAW` runs a lease with that flaw, and `broken.rs` holds that each flaw is found.

#[cfg(feature = "broken")]
mod broken;
mod dice;
mod faults;
mod node;
mod settle;
mod trace;
mod world;

#[cfg(feature = "broken")]
use meridian::lease::state::flaw::Flaw;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use world::{Report, World};

/// Seeds of a run in CI.
const SEEDS: u64 = 2_400;

/// One run in this many has hundreds of nodes.
const CROWDED: u64 = 100;

/// What a run is made from, all of it.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    loud: bool,
    /// What is broken on purpose in every node's lease.
    #[cfg(feature = "broken")]
    flaw: Option<Flaw>,
}

impl Run {
    fn of(seed: u64) -> Run {
        Run {
            seed,
            loud: false,
            #[cfg(feature = "broken")]
            flaw: broken::from_env(),
        }
    }

    fn crowded(self) -> bool {
        self.seed % CROWDED == CROWDED - 1
    }

    fn play(self) -> Report {
        let mut world = World::new(self);
        for _ in 0..world.turns() {
            world.turn();
        }
        world.settle();
        world.report()
    }

    /// The command that shows this run with its trace.
    fn replay(self) -> String {
        let seed = self.seed;
        #[cfg(feature = "broken")]
        if let Some(flaw) = self.flaw {
            return format!(
                "MERIDIAN_SIM_SEED={seed} MERIDIAN_BROKEN={flaw} cargo test --features broken --test simulation no_duplicate -- --nocapture"
            );
        }
        format!("MERIDIAN_SIM_SEED={seed} cargo test --test simulation -- --nocapture")
    }
}

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")))
}

/// Runs a seed twice, and says how to see it again if it fails.
fn check(seed: u64) -> Report {
    let run = Run::of(seed);
    let twice = std::panic::catch_unwind(|| [run.play(), run.play()]);
    let [one, two] = twice.unwrap_or_else(|_| panic!("seed {seed} fails; see it with: {}", run.replay()));
    assert_eq!(one, two, "seed {seed} gave two different runs");
    one
}

#[test]
fn no_duplicate_no_excess_and_everybody_comes_back() {
    if let Some(seed) = from_env("MERIDIAN_SIM_SEED") {
        println!("{:?}", Run { loud: true, ..Run::of(seed) }.play());
        return;
    }
    let seeds = from_env("MERIDIAN_SIM_SEEDS").unwrap_or(SEEDS);
    let (start, next) = (Instant::now(), AtomicU64::new(0));
    let reports: Vec<Report> = std::thread::scope(|scope| {
        let worker = || {
            let mut reports = Vec::new();
            loop {
                let seed = next.fetch_add(1, Relaxed);
                if seed >= seeds {
                    return reports;
                }
                reports.push(check(seed));
            }
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a seed failed; the lines above say which"))
            .collect()
    });
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds, each twice, in {seconds:.1} s ({:.0} seeds/min): {} ids, {} claims, {} fenced, {} re-attached, {} evicted, \
         {} given back, at most {} standbys woken by one change; all traces hash to {:016x}",
        seeds as f64 * 60.0 / seconds,
        sum(|r| r.ids),
        sum(|r| r.claims),
        sum(|r| r.fenced),
        sum(|r| r.reattached),
        sum(|r| r.evicted),
        sum(|r| r.given_back),
        reports.iter().map(|r| r.most_woken).max().unwrap_or(0),
        reports.iter().fold(0, |all, r| all ^ r.trace.hash()), // in any order: two threads share the seeds
    );
    let most_woken = reports.iter().map(|r| r.most_woken).max().unwrap_or(0);
    assert!(most_woken <= 8, "one change woke {most_woken} standbys: a herd");
    if seeds >= 100 {
        // The runs must meet what they are for.
        for (what, count) in [
            ("ids", sum(|r| r.ids) / 1_000),
            ("claims", sum(|r| r.claims) / 10),
            ("fenced", sum(|r| r.fenced)),
            ("reattached", sum(|r| r.reattached)),
            ("evicted", sum(|r| r.evicted)),
            ("given back", sum(|r| r.given_back)),
        ] {
            assert!(count >= seeds / 50, "too little happens: {what}");
        }
    }
}
