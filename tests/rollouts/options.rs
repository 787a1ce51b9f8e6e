//! The command line of the harness.

use clap::Parser;
use std::path::PathBuf;

/// Plays the rendered chart as a cluster would, with real processes, and counts every id and every refusal.
///
/// Exit status: 0 no id was given twice, no ready node refused, all rollouts came to their end; 1 otherwise; 2 usage;
/// 3 the machine failed.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rollouts",
    after_help = "Examples:
  cargo test --test rollouts                          120 rollouts on 14 stages, a seed of its own
  cargo test --test rollouts -- --seed 7 --verbose    the same again, a line for each
  cargo test --test rollouts -- --seed 7 --list       what a seed does, without doing it
  cargo test --test rollouts -- --seed 7 --only 5     one stage of it
  cargo test --release --test rollouts -- --full      1,000 rollouts, into docs/results/rollouts.md"
)]
pub struct Options {
    /// Decides what is played on every stage; printed when it is not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many rollouts, on all stages together [default: 120, with --full 1000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rollouts: Option<u32>,

    /// Stages side by side, each a cluster of its own
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u8).range(1..=60))]
    pub stages: u8,

    /// Only this stage
    #[arg(long, value_name = "N")]
    pub only: Option<usize>,

    /// 1,000 rollouts, and the report into docs/results/rollouts.md
    #[arg(long)]
    pub full: bool,

    /// Print the schedule of the seed and leave
    #[arg(long)]
    pub list: bool,

    /// A line for each rollout
    #[arg(long)]
    pub verbose: bool,

    /// Keep the logs of all processes here
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,

    /// Inside the namespaces; the harness starts itself with this
    #[arg(long, hide = true, value_name = "DIR")]
    pub inside: Option<PathBuf>,

    /// What `cargo test` hands to every test
    #[arg(long, hide = true)]
    nocapture: bool,

    /// The names `cargo test NAME` filters by
    #[arg(hide = true)]
    names: Vec<String>,
}

impl Options {
    pub fn rollouts(&self) -> usize {
        self.rollouts.map_or(if self.full { 1_000 } else { 120 }, |rollouts| rollouts as usize)
    }

    /// Whether a filter of `cargo test` leaves this one in.
    pub fn is_meant(&self) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| "rollouts".contains(name.as_str()))
    }
}
