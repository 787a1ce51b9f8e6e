//! The command line of the harness.

use clap::Parser;
use std::path::PathBuf;

/// Runs real nodes against a real three-node ZooKeeper, breaks both in every way it knows, and counts every id.
///
/// Exit status: 0 no id was given twice (with --flaw: the flaw was found); 1 the promise is broken, or too little was
/// drawn to say so; 2 usage; 3 the machine failed.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "torture",
    after_help = "Examples:
  cargo test --test torture                               60 s, a seed of its own
  cargo test --test torture -- --seed 7                   the same faults at the same moments again
  cargo test --test torture -- --seed 7 --list            what a seed does, without doing it
  cargo test --release --test torture -- --long           30 minutes, into docs/results/torture.md
  cargo test --features broken --test torture -- --flaw all   broken variants: each must be found"
)]
pub struct Options {
    /// Decides every fault and its moment; printed when it is not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How long faults are made
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    pub seconds: u64,

    /// 30 minutes, and the report into docs/results/torture.md
    #[arg(long, conflicts_with_all = ["seconds", "flaw"])]
    pub long: bool,

    /// Let the nodes be broken in this way (or `all`, one after another), and fail unless it shows
    #[arg(long, value_name = "NAME")]
    pub flaw: Option<String>,

    /// Print the schedule of the seed and leave
    #[arg(long)]
    pub list: bool,

    /// One document instead of tables
    #[arg(long)]
    pub json: bool,

    /// A line for each fault, also in long runs
    #[arg(long)]
    pub verbose: bool,

    /// Keep the logs of all nodes here
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

pub const LONG_SECONDS: u64 = 1_800;

impl Options {
    pub fn seconds(&self) -> u64 {
        if self.long { LONG_SECONDS } else { self.seconds }
    }

    /// A line for each fault of a run that a person can read to its end.
    pub fn tells_faults(&self) -> bool {
        !self.json && (self.verbose || self.seconds() <= 120)
    }
}
