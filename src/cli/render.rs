//! What `meridian render` takes.

use super::ManifestArg;
use clap::{Args, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Write what GeoDNS engines need to know of the manifest, and what they cannot express
///
/// Clients get the region whose networks they are in. While it is down they get the living members of its spill set by
/// weight, and if none lives the first living region of its order; load never leaves its residency zone. Engines probe
/// GET /api/v1/region/health on the regions' addresses, as the manifest's health says.
///
/// Each target comes with a fidelity report, printed and written as FIDELITY.md: what it keeps of the manifest, what it
/// changes and what is lost.
#[derive(Args, Clone, Debug)]
#[command(
    subcommand_value_name = "TARGET",
    subcommand_help_heading = "Targets",
    disable_help_subcommand = true,
    after_help = "\
Examples:
  meridian render gdnsd -o /etc/gdnsd
  meridian render powerdns -o out --listen 127.0.0.1:5300 --config-dir $PWD/out
  meridian render route53 -o terraform/stacks/global --policy latency
  meridian render gdnsd -o out --json | jq '.fidelity[] | select(.verdict == \"lost\")'

Exit codes:
  0  written
  1  the manifest does not hold, cannot be rendered, or a file in the folder is not ours to overwrite
  2  the command line is wrong
  3  the manifest cannot be read, or the files not written"
)]
pub struct RenderArgs {
    #[command(subcommand)]
    pub target: Target,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Target {
    Gdnsd(GdnsdArgs),
    Powerdns(PowerdnsArgs),
    Route53(Route53Args),
}

/// What each target takes.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// The folder to write to; only files that `meridian render` made are overwritten
    #[arg(short, long = "output", value_name = "DIR", env = "MERIDIAN_OUTPUT")]
    pub output: PathBuf,

    #[command(flatten)]
    pub manifest: ManifestArg,

    /// Print one JSON object: target, folder, files, stale, manifest_sha256, fidelity
    #[arg(long)]
    pub json: bool,
}

/// What each DNS server takes.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Where the server listens
    #[arg(long, value_name = "ADDR:PORT,…", value_delimiter = ',', default_value = "0.0.0.0:53,[::]:53")]
    pub listen: Vec<SocketAddr>,

    /// A name server of the zone, for its NS records; with its addresses if it lies in the zone itself
    /// [default: ns1 and ns2 beside the zone]
    #[arg(long = "nameserver", value_name = "NAME[=ADDR+ADDR]")]
    pub nameservers: Vec<String>,

    /// The port of the regions' addresses that is probed
    #[arg(long, value_name = "PORT", env = "MERIDIAN_PROBE_PORT", default_value_t = 8080,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub probe_port: u16,

    /// Where the server keeps sockets and state while it runs [default: the server's own]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
}

/// A configuration folder of gdnsd 3: config and zones/
///
/// Check it with `gdnsd -c DIR checkconf`; a running gdnsd takes it over with `gdnsdctl replace`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian render gdnsd -o /etc/gdnsd
  meridian render gdnsd -o out --listen 127.0.0.1:5300 --run-dir /tmp/gdnsd --probe-port 18080")]
pub struct GdnsdArgs {
    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub server: ServerArgs,
}

/// A configuration folder of PowerDNS 4.7 or later: pdns.conf, named.conf and a zone with Lua records
///
/// Check the zone with `pdnsutil --config-dir DIR check-zone NAME`. It passes over mistakes in Lua; `meridian dns` asks.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian render powerdns -o /etc/powerdns
  meridian render powerdns -o out --config-dir $PWD/out --listen 127.0.0.1:5300 --run-dir /tmp")]
pub struct PowerdnsArgs {
    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub server: ServerArgs,

    /// Where the files will stand on the server
    #[arg(long, value_name = "DIR", default_value = "/etc/powerdns")]
    pub config_dir: PathBuf,
}

/// The record tree of Route 53 as data (route53.json), for Terraform to create
///
/// From the bottom up: each region's addresses and their health checks, a calculated check a region, weighted spill
/// sets, failover pairs, and the fleet's name on top.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian render route53 -o terraform/stacks/global
  meridian render route53 -o out --policy geoproximity --probe-port 443")]
pub struct Route53Args {
    #[command(flatten)]
    pub output: OutputArgs,

    /// The port of the regions' addresses that is probed; 443 by HTTPS, others by HTTP
    #[arg(long, value_name = "PORT", env = "MERIDIAN_PROBE_PORT", default_value_t = 8080,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub probe_port: u16,

    /// By what the nearest region is found
    #[arg(long, value_name = "POLICY", default_value = "cidr")]
    pub policy: PolicyArg,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyArg {
    /// The manifest's networks (IP-based routing), with a default for everybody else
    Cidr,
    /// The manifest's locations
    Geoproximity,
    /// Amazon's measurements
    Latency,
}
