//! What was played, in sum.

use crate::schedule::Action;
use crate::stage::{Played, Rollout};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

pub struct Report {
    pub text: String,
    pub broken: Vec<String>,
}

impl Report {
    pub fn of(played: &[Played], took: Duration) -> Report {
        let rollouts: Vec<&Rollout> = played.iter().flat_map(|played| &played.rollouts).collect();
        let mut kinds: BTreeMap<&str, Vec<&Rollout>> = BTreeMap::new();
        for rollout in &rollouts {
            kinds.entry(rollout.action.kind()).or_default().push(rollout);
        }
        let mut text = "| what | rollouts | median | longest |\n|---|---:|---:|---:|\n".to_owned();
        for (kind, mut all) in kinds {
            all.sort_by_key(|rollout| rollout.took);
            let seconds = |rollout: &Rollout| format!("{:.1} s", rollout.took.as_secs_f64());
            let (median, longest) = (seconds(all[all.len() / 2]), seconds(all[all.len() - 1]));
            let _ = writeln!(text, "| {kind} | {} | {median} | {longest} |", all.len());
        }
        let sum = |of: fn(&Played) -> u64| played.iter().map(of).sum::<u64>();
        let longest = |of: fn(&Played) -> Duration| played.iter().map(of).max().unwrap_or_default().as_secs_f64();
        let mut struck: BTreeMap<&str, u64> = BTreeMap::new();
        for (what, count) in played.iter().flat_map(|played| &played.sums.struck) {
            *struck.entry(what).or_default() += count;
        }
        let struck: Vec<String> = struck.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        let swaps = played
            .iter()
            .fold((0, 0, 0), |sum, played| (sum.0 + played.swaps.0, sum.1 + played.swaps.1, sum.2 + played.swaps.2));
        let _ = writeln!(
            text,
            "\n{} rollouts on {} stages in {:.0} s: {} ids in {} answers, **{} duplicates**, **{} refused** by ready nodes.",
            rollouts.len(),
            played.len(),
            took.as_secs_f64(),
            sum(|played| played.tally.ids),
            sum(|played| played.sums.answers),
            sum(|played| played.tally.duplicates),
            sum(|played| played.sums.refused),
        );
        let _ = writeln!(
            text,
            "Longest wait for an id: {:.2} s in orderly rollouts, {:.2} s where a process was killed or stopped. Lost with \
             those: {}.",
            longest(|played| played.sums.wait_orderly),
            longest(|played| played.sums.wait_struck),
            if struck.is_empty() { "nothing".to_owned() } else { struck.join(", ") },
        );
        let _ = writeln!(
            text,
            "After {} of {} upgrades and rollbacks, burst nodes stood by in the place of standbys ({} of them).",
            swaps.0, swaps.2, swaps.1
        );
        let _ = writeln!(
            text,
            "{} times a client found no endpoint in an orderly rollout.",
            sum(|played| played.sums.nobody),
        );
        let mut broken: Vec<String> = played.iter().flat_map(|played| played.broken.clone()).collect();
        if rollouts.iter().all(|rollout| !matches!(rollout.action, Action::Install(_))) {
            broken.push("nothing was installed".to_owned());
        }
        Report { text, broken }
    }

    /// `docs/results/rollouts.md`.
    pub fn write_page(&self, page: &std::path::Path, seed: u64) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let text = format!(
            "# Rollouts\n\nWhat became of clients while the Helm chart was rolled out: the rendered objects played as a \
             cluster plays them, with the real binary, real ZooKeeper, and the probes, grace and order of the chart. \
             Written by `make rollouts-full`, seed {seed}; what each row is: [DEPLOYING](../DEPLOYING.md).\n\n\
             {cores} cores, Linux {}, load average {load} at the end.\n\n{}",
            kernel.trim(),
            self.text
        );
        std::fs::write(page, text).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        println!("wrote {}", page.display());
    }
}
