//! What `meridian drill` takes.

use super::ManifestArg;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Play a failure through on this machine, and judge what clients noticed of it
///
/// Starts the manifest's whole fleet as real processes: a ZooKeeper for each region, as many nodes as its dynamic quota
/// and its standbys, a load balancer on the region's own addresses, gdnsd with the files of `meridian render`, and
/// unbound as the clients' caching resolver. All of it stands in a network of its own (namespaces), so no port of this
/// machine is taken and drills can run side by side; all of it ends with this command, whatever ends it.
///
/// The seed fixes the schedule: which faults, in which order, after which pauses. The table at the end says which
/// promises held. Ctrl-C ends a drill without a verdict.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian drill region-loss
  meridian drill region-loss --fault black-hole --runs 10 --profile brief
  meridian drill planned-drain --seed 7 --json
  meridian drill flap --schedule
  meridian drill --list

Exit codes:
  0  all promises held
  1  a promise was broken; the table says which
  2  the command line is wrong
  3  the stage could not be built or broke: a tool is missing, no namespaces; or the drill was interrupted")]
pub struct DrillArgs {
    /// What happens
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub name: Option<Drill>,

    /// What the schedule is drawn from
    #[arg(long, value_name = "N", env = "MERIDIAN_SEED", default_value_t = 1)]
    pub seed: u64,

    /// How often health is probed, and how long answers are cached
    #[arg(long, value_name = "PROFILE", env = "MERIDIAN_PROFILE", default_value = "fast")]
    pub profile: Profile,

    /// How a region fails, in region-loss; all four, one after the other, if not given
    #[arg(long = "fault", value_name = "FAULT,…", value_delimiter = ',')]
    pub faults: Vec<Fault>,

    /// The region it happens to; the one with the most traffic if not given
    #[arg(long, value_name = "NAME", env = "MERIDIAN_REGION")]
    pub region: Option<String>,

    /// Play it so many times on one stage, each time at another moment between probes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,

    /// Nodes in each region; its dynamic quota and two standbys if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub nodes: Option<u16>,

    /// How long a region that failed stays out, at least; 60 s, and 10 s in the fast profile, if not given
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    pub hold_seconds: Option<Duration>,

    /// More health criteria that this machine cannot satisfy, for instance response_time_ms when it is busy
    #[arg(long, value_name = "NAME,…", env = "MERIDIAN_HEALTH_OFF", value_delimiter = ',')]
    pub health_off: Vec<String>,

    #[command(flatten)]
    pub manifest: ManifestArg,

    /// Write NAME-SEED.json and NAME-SEED.svg, the timeline as a picture, into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Write the picture here
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// Print the verdict as a section of Markdown
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// Do not tell on stderr what happens while it does
    #[arg(long)]
    pub quiet: bool,

    /// Keep the stage's folder with all logs
    #[arg(long)]
    pub keep: bool,

    /// Only print the schedule
    #[arg(long)]
    pub schedule: bool,

    /// Only print which drills there are
    #[arg(long)]
    pub list: bool,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Drill {
    /// A region is lost: crash, hang, black hole or 503
    RegionLoss,
    /// A region is taken out on purpose, and brought back
    PlannedDrain,
    /// A region's ZooKeeper is away, first briefly, then for long
    ZookeeperLoss,
    /// Two regions are lost at once
    TwoRegions,
    /// A region comes and goes every few seconds
    Flap,
    /// A region is lost whole and comes back
    Rejoin,
}

/// How a region fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Fault {
    /// Every process is killed, the load balancer refuses
    Crash,
    /// Every process stands still, the load balancer accepts
    Hang,
    /// Its address is gone: packets vanish
    BlackHole,
    /// It says that it is not well, and still serves
    #[value(name = "503")]
    Unavailable,
}

/// How often health is probed, and how long answers are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Profile {
    /// Probes every 10 s, 2 s time-out, 3 down, 2 up; TTL 60 s
    Brief,
    /// The same, but the TTL counts down to the next probe
    Floating,
    /// Probes every 2 s, 1 s time-out; the TTL counts down
    Fast,
}

impl Drill {
    pub const ALL: [Drill; 6] =
        [Drill::RegionLoss, Drill::PlannedDrain, Drill::ZookeeperLoss, Drill::TwoRegions, Drill::Flap, Drill::Rejoin];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Drill::RegionLoss => "region-loss",
            Drill::PlannedDrain => "planned-drain",
            Drill::ZookeeperLoss => "zookeeper-loss",
            Drill::TwoRegions => "two-regions",
            Drill::Flap => "flap",
            Drill::Rejoin => "rejoin",
        }
    }
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Crash, Fault::Hang, Fault::BlackHole, Fault::Unavailable];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Crash => "crash",
            Fault::Hang => "hang",
            Fault::BlackHole => "black-hole",
            Fault::Unavailable => "503",
        }
    }
}

impl Profile {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Brief => "brief",
            Profile::Floating => "floating",
            Profile::Fast => "fast",
        }
    }
}
