//! What `meridian load` takes.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Draw ids from running nodes, at a rate or flat out, and count duplicates exactly
///
/// With --rate the schedule is open: requests are due at fixed times whether or not earlier ones were answered, and an
/// answer's latency counts from the time its request was due. A node that stalls for a second so shows up as all the
/// requests that waited, not as one (no coordinated omission). Without --rate each connection asks again as soon as it
/// is answered, and latency counts from the sending.
///
/// Every id that arrives is counted, repeated ones found exactly, whatever the order: steady draws take no memory to
/// speak of, 100 million scattered ids less than 1 GB, and what is more goes to files. Besides, ids of one worker must
/// ascend within a connection.
///
/// Nodes that refuse (429, 503) are left alone for as long as they ask for, at most 5 s; a connection that fails is
/// opened again after a growing pause of at most 1 s. Ctrl-C ends the run and prints the report; a second one ends it
/// at once.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian load --target http://127.0.0.1:8080
  meridian load --target http://127.0.0.1:8080 --rate 1000 --seconds 60
  meridian load --target http://127.1.1.1:8080,http://127.1.2.1:8080 --count 10000 --form ranges --ids 100000000
  meridian up --json | head -4 | jq -r .http | xargs -d '\\n' meridian load --json --seconds 2 --target

Exit codes:
  0  ids were drawn, none twice and all in order
  1  duplicates were found, or ids out of order
  2  the command line is wrong
  3  nothing was drawn: no target can be reached, or all refuse; or the disk failed")]
pub struct LoadArgs {
    /// Where to draw ids, as http://host:port; several share the load
    #[arg(long = "target", value_name = "URL", env = "MERIDIAN_TARGET", required = true, num_args = 1..,
          value_delimiter = ',')]
    pub targets: Vec<String>,

    /// Ids a second over all targets; as fast as they answer if not given
    #[arg(long, value_name = "N", env = "MERIDIAN_RATE", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,

    /// How long to draw; 10 if --ids is not given either
    #[arg(long, value_name = "S", env = "MERIDIAN_SECONDS", value_parser = seconds)]
    pub seconds: Option<f64>,

    /// Stop when this many ids have been drawn, or when none came for 30 s
    #[arg(long, value_name = "N", env = "MERIDIAN_IDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub ids: Option<u64>,

    /// Ids a request
    #[arg(long, value_name = "N", env = "MERIDIAN_COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub count: u32,

    /// Which call draws; id for one id a request and ranges for more, if not given
    #[arg(long, value_name = "FORM", env = "MERIDIAN_FORM")]
    pub form: Option<Form>,

    /// Connections to each target, each with one request at a time
    #[arg(long, value_name = "N", env = "MERIDIAN_CONNECTIONS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub connections: u16,

    /// How long an answer may take
    #[arg(long, value_name = "MS", env = "MERIDIAN_TIMEOUT_MS", default_value_t = 5_000,
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub timeout_ms: u64,

    /// Where the duplicate check puts what does not fit into memory; the system's temporary folder if not given
    #[arg(long, value_name = "DIR", env = "MERIDIAN_SPILL")]
    pub spill: Option<PathBuf>,

    /// Names regions and times in the report; regions/meridian.yaml if it is there
    #[arg(long, value_name = "FILE", env = "MERIDIAN_MANIFEST")]
    pub manifest: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Which call draws, and how its ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One id a request: /api/v1/id
    Id,
    /// A JSON array of ids
    Ids,
    /// First ids and counts
    Ranges,
    /// Eight bytes an id
    Bytes,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 1e7 => Ok(seconds),
        _ => Err("write a number of seconds above 0".into()),
    }
}
