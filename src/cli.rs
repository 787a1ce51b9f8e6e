//! What the command line takes. Every flag can also be given as `MERIDIAN_…`; flags win over the environment, and the
//! environment over the manifest.

mod dns;
mod drain;
mod drill;
mod get;
mod load;
mod render;

pub use dns::DnsArgs;
pub use drain::{DrainArgs, UndrainArgs};
pub use drill::{Drill, DrillArgs, Fault, Profile};
pub use get::GetArgs;
pub use load::{Form, LoadArgs};
pub use render::{GdnsdArgs, OutputArgs, PolicyArg, PowerdnsArgs, RenderArgs, Route53Args, ServerArgs, Target};

use crate::telemetry::LogFormat;
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// 64-bit, time-ordered ids that stay unique through any pause, partition, crash or clock jump
#[derive(Parser, Clone, Debug)]
#[command(
    name = "meridian",
    version = crate::VERSION,
    max_term_width = 120,
    after_help = "\
Start here:
  meridian up                              the whole fleet on this machine
  meridian check                           is the manifest right?
  meridian serve --region us-east --init   one node

Exit codes: 0 fine, 1 the answer is no, 2 usage, 3 the world failed, 70 a bug"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    /// What to log, for instance debug or warn,meridian=debug [default: info for serve and up, else warn]
    #[arg(long, global = true, value_name = "FILTER", env = "MERIDIAN_LOG", help_heading = "Logging")]
    log: Option<String>,

    /// How log lines look
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        env = "MERIDIAN_LOG_FORMAT",
        default_value = "auto",
        help_heading = "Logging"
    )]
    pub log_format: LogFormat,
}

impl Cli {
    /// What this process was started with. Ends it when that makes no sense, or when only help was asked for.
    pub fn read() -> Cli {
        Cli::parse_strictly(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// What to log. A command that answers and ends has nothing to tell but what goes wrong.
    pub fn log(&self) -> &str {
        self.log.as_deref().unwrap_or(match self.command {
            // The ZooKeeper client tells every step of a connection; what matters of it, the keeper tells.
            Command::Serve(_) | Command::Up(_) => "info,zookeeper_client=warn",
            Command::Status(_)
            | Command::Init(_)
            | Command::Drain(_)
            | Command::Undrain(_)
            | Command::Check(_)
            | Command::Decode(_)
            | Command::Get(_)
            | Command::Health(_)
            | Command::Load(_)
            | Command::Render(_)
            | Command::Dns(_)
            | Command::Drill(_)
            | Command::Completions(_) => "warn",
        })
    }

    fn parse_strictly(line: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let mut matches = command.try_get_matches_from_mut(line)?;
        let mut cli = Cli::from_arg_matches_mut(&mut matches.clone())?;
        let Some((name, matches)) = matches.remove_subcommand() else { return Ok(cli) };
        if let Some(coordination) = cli.command.coordination_mut() {
            coordination.settle(&matches).map_err(|message| {
                let command = command.find_subcommand_mut(&name).expect("it was just matched");
                command.error(ErrorKind::ArgumentConflict, message)
            })?;
        }
        Ok(cli)
    }
}

#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    Serve(ServeArgs),
    Up(UpArgs),
    Status(StatusArgs),
    Health(HealthArgs),
    Init(InitArgs),
    Drain(DrainArgs),
    Undrain(UndrainArgs),
    Check(CheckArgs),
    Decode(DecodeArgs),
    Get(GetArgs),
    Load(LoadArgs),
    Render(RenderArgs),
    Dns(DnsArgs),
    Drill(DrillArgs),
    Completions(CompletionsArgs),
}

impl Command {
    fn coordination_mut(&mut self) -> Option<&mut CoordinationArgs> {
        match self {
            Command::Serve(args) => Some(&mut args.coordination),
            Command::Status(args) => Some(&mut args.coordination),
            Command::Init(args) => Some(&mut args.coordination),
            Command::Drain(args) => Some(&mut args.coordination),
            Command::Undrain(args) => Some(&mut args.coordination),
            Command::Up(_)
            | Command::Check(_)
            | Command::Decode(_)
            | Command::Get(_)
            | Command::Health(_)
            | Command::Load(_)
            | Command::Render(_)
            | Command::Dns(_)
            | Command::Drill(_)
            | Command::Completions(_) => None,
        }
    }
}

/// Check a manifest and report everything that is wrong with it
///
/// Prints every problem as file:line:column, the key, the value, what is allowed and the fix, and then how much load
/// each region carries while any one and any two others are down. A manifest in which a single failure brings any
/// region above 2x its normal load is refused, and a split that avoids it is proposed. Above 2x in a double failure,
/// the excess is shed.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian check
  meridian check --manifest staging.yaml
  meridian check --json | jq '.load_factors[] | select(.factor > 2)'

Exit codes:
  0  the manifest is fine
  1  problems were found
  2  the command line is wrong
  3  the file cannot be read")]
pub struct CheckArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    /// Print one JSON object: ok, problems, load_factors
    #[arg(long)]
    pub json: bool,
}

/// The manifest, for every command that reads one.
#[derive(Args, Clone, Debug)]
pub struct ManifestArg {
    /// The manifest of the fleet
    #[arg(
        id = "manifest",
        long = "manifest",
        value_name = "FILE",
        env = "MERIDIAN_MANIFEST",
        default_value = "regions/meridian.yaml"
    )]
    pub path: PathBuf,
}

/// Where the nodes of a region meet, for every command that goes there.
#[derive(Args, Clone, Debug, Default)]
pub struct CoordinationArgs {
    /// ZooKeeper, instead of the manifest's: host:port,host:port with an optional /chroot
    #[arg(long, value_name = "HOSTS", env = "MERIDIAN_ZOOKEEPER")]
    pub zookeeper: Option<String>,

    /// No ZooKeeper: coordinate through locked files in a folder of this machine, as file:DIR
    #[arg(long, value_name = "file:DIR", env = "MERIDIAN_COORDINATION")]
    pub coordination: Option<String>,

    /// What nodes authenticate to ZooKeeper as (digest), user:password
    #[arg(long, value_name = "USER:PASSWORD", env = "MERIDIAN_ZOOKEEPER_AUTH", hide_env_values = true)]
    pub zookeeper_auth: Option<String>,

    /// What `init` authenticates as; it owns the znodes, and nodes get fewer rights
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        env = "MERIDIAN_ZOOKEEPER_ADMIN_AUTH",
        hide_env_values = true,
        requires = "zookeeper_auth"
    )]
    pub zookeeper_admin_auth: Option<String>,
}

impl CoordinationArgs {
    /// Two places to meet are one too many, but a flag wins over the environment. (clap's own `conflicts_with` knows
    /// no such difference.)
    fn settle(&mut self, matches: &ArgMatches) -> Result<(), &'static str> {
        if self.zookeeper.is_none() || self.coordination.is_none() {
            return Ok(());
        }
        let typed = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        match (typed("zookeeper"), typed("coordination")) {
            (true, false) => self.coordination = None,
            (false, true) => self.zookeeper = None,
            (true, true) => return Err("--zookeeper and --coordination exclude each other: give one of them"),
            (false, false) => return Err("MERIDIAN_ZOOKEEPER and MERIDIAN_COORDINATION are both set: unset one"),
        }
        Ok(())
    }
}

/// Run one node: lease a slot of its region and issue ids
///
/// The node is ready once it holds a slot, of several if the manifest says so (workers_per_node). Beyond the region's quota it waits as a standby and takes over within a
/// second when a slot comes free. Without ZooKeeper it keeps trying; if ZooKeeper goes away later it issues up to its
/// ceiling, then answers 503. SIGTERM drains it: unready, requests under way are answered, the slot is released; with
/// --lame-duck-seconds it first goes on serving until load balancers have noticed. A second signal ends it at once.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian serve --region us-east
  meridian serve --region us-east --zookeeper 127.0.0.1:2181 --init
  meridian serve --region apac --static-slot 3 --state-dir /var/lib/meridian
  meridian serve --region us-east --coordination file:/tmp/meridian --init")]
pub struct ServeArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    /// The region this node belongs to
    #[arg(long, value_name = "NAME", env = "MERIDIAN_REGION")]
    pub region: String,

    /// Where to serve ids (port 0: any free one)
    #[arg(long, value_name = "ADDR:PORT", env = "MERIDIAN_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Where to serve /metrics, /livez and /readyz (port 0: any free one)
    #[arg(long, value_name = "ADDR:PORT", env = "MERIDIAN_OPS_LISTEN", default_value = "0.0.0.0:9090")]
    pub ops_listen: SocketAddr,

    #[command(flatten)]
    pub coordination: CoordinationArgs,

    /// Ask for this slot of the static pool instead of any slot of the dynamic one
    ///
    /// In a region with several workers per node (workers_per_node in the manifest) this is the number of the static node:
    /// of nodes with four, node 0 has slots 0 to 3, node 1 has 4 to 7.
    #[arg(long, value_name = "N", env = "MERIDIAN_STATIC_SLOT")]
    pub static_slot: Option<u16>,

    /// Where to remember high-water marks: the second line of defence, should ZooKeeper lose writes
    #[arg(long, value_name = "DIR", env = "MERIDIAN_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// Health criteria this host cannot satisfy by design: response_time_ms, clock_drift_ms, ntp_synchronized…
    #[arg(long, value_name = "NAME,…", env = "MERIDIAN_HEALTH_OFF", value_delimiter = ',')]
    pub health_off: Vec<String>,

    /// Where another region is asked for its health, instead of the manifest's endpoint on port 8080; may be repeated
    ///
    /// Every region is probed as GeoDNS probes it. While one is down whose load comes here, the surge quota replaces the
    /// quota, so that standbys get slots at once.
    #[arg(long = "peer", value_name = "REGION=URL", env = "MERIDIAN_PEER", value_delimiter = ',')]
    pub peers: Vec<String>,

    /// Make the region's znodes first, if they are not there
    #[arg(long, env = "MERIDIAN_INIT", value_parser = BoolishValueParser::new())]
    pub init: bool,

    /// Print one JSON line with region, addresses and pid once the ports are bound
    #[arg(long)]
    pub json: bool,

    /// The name of this host in ZooKeeper; its own if not given
    #[arg(long, value_name = "NAME", env = "MERIDIAN_HOST")]
    pub host: Option<String>,

    /// The availability zone, shown in ZooKeeper
    #[arg(long, value_name = "NAME", env = "MERIDIAN_ZONE", default_value = "")]
    pub zone: String,

    /// How long to go on serving, unready, after SIGTERM: the time load balancers need to notice
    ///
    /// /readyz and /api/v1/health say 503 at once, while ids are issued and connections accepted as before, so that
    /// nobody is refused who was sent here meanwhile. Choose more than the probe's interval times its threshold, and let
    /// the supervisor's own patience cover this, --drain-seconds and 5 s for the slot. Fractions are fine; at most 600.
    /// SIGINT (Ctrl-C) does not wait.
    #[arg(long, value_name = "SECONDS", env = "MERIDIAN_LAME_DUCK_SECONDS", default_value = "0",
          value_parser = seconds)]
    pub lame_duck_seconds: Duration,

    /// How long the region must have been well to come back after it failed, was drained, or all its nodes were gone
    ///
    /// A region that came and went faster would move its clients back and forth with every DNS answer. Fractions are fine;
    /// at most 600.
    #[arg(long, value_name = "SECONDS", env = "MERIDIAN_REGION_HOLD_SECONDS", default_value = "60",
          value_parser = seconds)]
    pub region_hold_seconds: Duration,

    /// How long requests under way may take to finish after SIGTERM, before the slot is released
    #[arg(long, value_name = "SECONDS", env = "MERIDIAN_DRAIN_SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
}

/// A number of seconds that a person may have meant.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "write seconds from 0 to 600, for instance 15 or 2.5".to_owned())
}

/// Run the whole fleet of the manifest on this machine
///
/// Each node is a process of its own on loopback addresses of its own, coordinated through locked files unless
/// --zookeeper is given. Prints what runs where and a curl to try. Ctrl-C stops everything and releases every slot.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian up
  meridian up --nodes-per-region 3
  meridian up --zookeeper 127.0.0.1:2181
  meridian up --json | jq -r .http")]
pub struct UpArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    /// Nodes in each region; the first ones ask for static slots, those beyond the quota stand by
    #[arg(long, value_name = "N", env = "MERIDIAN_NODES_PER_REGION", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes_per_region: u16,

    /// A real ZooKeeper for all regions: host:port,host:port with an optional /chroot
    #[arg(long, value_name = "HOSTS", env = "MERIDIAN_ZOOKEEPER")]
    pub zookeeper: Option<String>,

    /// Where logs, high-water marks and (without ZooKeeper) the leases live
    #[arg(long, value_name = "DIR", env = "MERIDIAN_DIR", default_value = ".meridian")]
    pub dir: PathBuf,

    /// Print one JSON object a node once all are ready
    #[arg(long)]
    pub json: bool,
}

/// Show who holds which slot, since when, up to which ceiling, and who stands by
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian status --region us-east
  meridian status --zookeeper 127.0.0.1:2181
  meridian status --coordination file:.meridian/leases --json | jq '.[] | select(.live)'

Exit codes:
  0  shown
  3  a region's coordination service cannot be reached, or has no tree yet")]
pub struct StatusArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    #[command(flatten)]
    pub coordination: CoordinationArgs,

    /// Only this region
    #[arg(long, value_name = "NAME", env = "MERIDIAN_REGION")]
    pub region: Option<String>,

    /// Print one JSON array of rows
    #[arg(long)]
    pub json: bool,
}

/// Make the persistent znodes of a region, or bring its quota up to date
///
/// Idempotent: run it before the first node, and again whenever the manifest's quotas change.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian init --region us-east
  meridian init --zookeeper 127.0.0.1:2181
  meridian init --region us-east --zookeeper-auth nodes:SECRET --zookeeper-admin-auth admin:SECRET")]
pub struct InitArgs {
    #[command(flatten)]
    pub manifest: ManifestArg,

    #[command(flatten)]
    pub coordination: CoordinationArgs,

    /// Only this region; all of the manifest if not given
    #[arg(long, value_name = "NAME", env = "MERIDIAN_REGION")]
    pub region: Option<String>,

    /// Print one JSON object a region
    #[arg(long)]
    pub json: bool,
}

/// Ask one node how it is
///
/// Prints every criterion with its value and its limit. Needs no shell and no curl beside it: made for the health check of
/// a container or a unit, and for a person on a host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian health
  meridian health http://10.0.0.7:8080 --region
  podman run --health-cmd '[\"/meridian\", \"health\"]' …

Exit codes: 0 it says 200, 1 it says 503, 3 it does not answer")]
pub struct HealthArgs {
    /// The node's public address [default: this host's, where --listen says]
    #[arg(value_name = "URL")]
    pub url: Option<String>,

    /// What the node of this host was told to listen on
    #[arg(long, value_name = "ADDR:PORT", env = "MERIDIAN_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Ask what it says of its region instead
    #[arg(long)]
    pub region: bool,

    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub within: Duration,

    /// Print the answer as it is, one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Take ids apart: time, region, worker, sequence
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian decode 381983401627983872
  curl -s http://127.0.0.1:8080/api/v1/id -H 'accept: text/plain' | xargs meridian decode --json")]
pub struct DecodeArgs {
    /// The ids, decimal
    #[arg(required = true, value_name = "ID", allow_negative_numbers = true)]
    pub ids: Vec<String>,

    #[command(flatten)]
    pub manifest: ManifestArg,

    /// Print one JSON object an id
    #[arg(long)]
    pub json: bool,
}

/// Print the completions of a shell
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  meridian completions bash > /etc/bash_completion.d/meridian")]
pub struct CompletionsArgs {
    pub shell: Shell,
}
