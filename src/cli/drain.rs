//! `meridian drain` and `undrain`.

use super::{CoordinationArgs, ManifestArg};
use clap::Args;
use std::path::PathBuf;

/// Take a region out of GeoDNS in order, for maintenance
///
/// The region's nodes say 503 to GeoDNS from their next look on (a second), and go on serving whoever still comes: nobody
/// is refused. Authoritative servers follow within their probes (3 x 10 s), clients within the TTL after that. Prints who
/// carries the load meanwhile. Refuses to drain the last healthy region.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian drain us-east --reason 'ZooKeeper upgrade'
  meridian drain us-east --reason test --zookeeper 127.0.0.1:2181
  meridian drain us-east --reason test --gdnsd-admin-state /var/lib/gdnsd/admin_state
  meridian drain us-east --reason test --json | jq .carried_by

Exit codes:
  0  drained
  1  it is the last healthy region; --force drains it all the same
  2  the command line is wrong
  3  the region's coordination service cannot be reached, or refuses")]
pub struct DrainArgs {
    /// The region
    #[arg(value_name = "REGION", env = "MERIDIAN_REGION")]
    pub region: String,

    /// Why, for whoever finds it drained
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// Who drains it [default: the user of this process]
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,

    /// Drain it even if no other region could take its clients
    #[arg(long)]
    pub force: bool,

    #[command(flatten)]
    pub manifest: ManifestArg,

    #[command(flatten)]
    pub coordination: CoordinationArgs,

    /// gdnsd's admin_state file: forces the region's addresses down there, which gdnsd follows within about 2 s
    #[arg(long, value_name = "FILE", env = "MERIDIAN_GDNSD_ADMIN_STATE")]
    pub gdnsd_admin_state: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Bring a drained region back
///
/// Its nodes say 200 again once it was well for its hold (60 s; `serve --region-hold-seconds`). A region that was not drained
/// stays as it is.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian undrain us-east
  meridian undrain us-east --zookeeper 127.0.0.1:2181 --json

Exit codes:
  0  not drained (any more)
  2  the command line is wrong
  3  the region's coordination service cannot be reached, or refuses")]
pub struct UndrainArgs {
    /// The region
    #[arg(value_name = "REGION", env = "MERIDIAN_REGION")]
    pub region: String,

    #[command(flatten)]
    pub manifest: ManifestArg,

    #[command(flatten)]
    pub coordination: CoordinationArgs,

    /// gdnsd's admin_state file: leaves the region's addresses to the probes again, which gdnsd follows within about 2 s
    #[arg(long, value_name = "FILE", env = "MERIDIAN_GDNSD_ADMIN_STATE")]
    pub gdnsd_admin_state: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
