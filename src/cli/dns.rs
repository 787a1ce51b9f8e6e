//! What `meridian dns` takes.

use super::ManifestArg;
use clap::Args;
use std::net::SocketAddr;

/// Ask GeoDNS as clients everywhere would, and compare with what the manifest says
///
/// Each authoritative server is asked for the fleet's name once for every client network of the manifest, with the
/// network as EDNS Client Subnet. What must be answered follows from the manifest and from which regions live: those
/// whose own health answers 200, or all but those of --down. Of a weighted spill set any member is right.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian dns --server 192.0.2.53:53
  meridian dns --server 127.0.0.1:5300,127.0.0.1:5301 --down us-east --samples 200
  meridian dns --server 127.0.0.1:5300 --watch 5
  meridian dns --server 127.0.0.1:5300 --json | jq '.[] | select(.ok | not)'

Exit codes:
  0  every answer is right
  1  an answer is not what the manifest says
  2  the command line is wrong
  3  a server does not answer, or the manifest cannot be read")]
pub struct DnsArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    /// The authoritative servers to ask
    #[arg(
        long = "server",
        value_name = "ADDR:PORT,…",
        env = "MERIDIAN_DNS_SERVER",
        value_delimiter = ',',
        default_value = "127.0.0.1:53"
    )]
    pub servers: Vec<SocketAddr>,

    /// These regions are down, and no other: asks no region for its health ("none": all live)
    #[arg(long, value_name = "REGION,…", value_delimiter = ',')]
    pub down: Option<Vec<String>>,

    /// The port of the regions' addresses that is asked for their health
    #[arg(long, value_name = "PORT", env = "MERIDIAN_PROBE_PORT", default_value_t = 8080,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub probe_port: u16,

    /// Ask each question so many times, and show which share each region got
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub samples: u32,

    /// Ask again after so many seconds, until stopped; the exit code is that of the last round
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,

    /// Print one JSON array of rows a round: client, answers, ttl, scope, expected, ok…
    #[arg(long)]
    pub json: bool,
}
