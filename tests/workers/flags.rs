//! What the harness takes, and the numbers of a run that follow from it.

use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// All slots of up to 32 datacenter ids on one real ZooKeeper ensemble: claim, steady state, a third killed, the
/// ensemble restarted
#[derive(Parser, Debug)]
#[command(
    name = "workers",
    max_term_width = 120,
    after_help = "\
Examples:
  cargo test --test workers                            128 workers, brief sessions, about a minute
  cargo test --test workers -- --datacenters 8 --json
  cargo test --test workers -- --full                  1,024 workers; writes docs/results/workers.md

Exit codes: 0 fine; 1 a duplicate, slots not held again in time, a herd, or claims that collide; 2 usage"
)]
pub struct Flags {
    /// How many datacenter ids to fill, 32 slots each [default: 4, with --full 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=32))]
    datacenters: Option<u16>,

    /// All 32 datacenters, the shipped lease numbers, a minute of steady state; writes docs/results/workers.md
    #[arg(long)]
    pub full: bool,

    /// How long the steady state is watched [default: 5, with --full 60]
    #[arg(long, value_name = "SECONDS")]
    steady: Option<u64>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,

    /// Be one of the carriers; the harness starts itself with this
    #[arg(long, hide = true, requires = "manifest")]
    pub carry: Option<usize>,

    #[arg(long, hide = true)]
    pub manifest: Option<PathBuf>,

    /// What `cargo test` hands to every test
    #[arg(long, hide = true)]
    nocapture: bool,

    /// The names `cargo test NAME` filters by
    #[arg(hide = true)]
    names: Vec<String>,
}

/// The numbers of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub datacenters: u16,
    pub session: Duration,
    pub window: Duration,
    pub first_window: Duration,
    pub steady: Duration,
    /// How long all servers are gone in the last phase: longer than the client keeps a session.
    pub outage: Duration,
    /// How long a phase may take until every slot is held.
    pub bound: Duration,
    pub heap_mb: u32,
}

impl Flags {
    /// Whether a filter of `cargo test` leaves this one in.
    pub fn is_meant(&self) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| "workers".contains(name.as_str()))
    }

    pub fn plan(&self) -> Plan {
        let (datacenters, steady, session, window, first_window) = match self.full {
            true => (32, 60, 6_000, 30_000, 5_000),
            false => (4, 5, 2_000, 12_000, 2_000),
        };
        let session = Duration::from_millis(session);
        Plan {
            datacenters: self.datacenters.unwrap_or(datacenters),
            session,
            window: Duration::from_millis(window),
            first_window: Duration::from_millis(first_window),
            steady: Duration::from_secs(self.steady.unwrap_or(steady)),
            // The client gives a session up after 7/5 of its time-out.
            outage: session * 3 / 2,
            bound: Duration::from_secs(120),
            heap_mb: 256,
        }
    }
}
