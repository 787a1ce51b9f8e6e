//! `meridian drill`: a stage in namespaces of its own, a script on it, and a verdict.
//!
//! The command runs twice: as the person's process, which checks what is needed, makes a folder and starts itself again
//! inside `unshare`; and in there, where it plays. Whatever ends the first ends the second and everything on the stage.

use super::{Exit, Failed, fleet, table};
use crate::cli::{Drill, DrillArgs, Fault, ManifestArg};
use crate::clock;
use crate::drill::play::{Outcome, play};
use crate::drill::report::Report;
use crate::drill::script::{Order, Script};
use crate::drill::stage::{Plan, Stage};
use crate::drill::timing::{self, Limits};
use crate::drill::{picture, world};
use crate::shutdown::Signals;
use crate::topology::{Region, Topology};
use anyhow::Context;
use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Command;

/// Set for the process on the stage: the stage's folder.
const STAGE: &str = "MERIDIAN_DRILL_STAGE";
/// How long the stage may take to fall down when it is told to.
const END_WITHIN: Duration = Duration::from_secs(10);

pub async fn run(args: &DrillArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.list {
        for drill in Drill::ALL {
            writeln!(out, "{:16}{}", drill.name(), drill.about())?;
        }
        return Ok(Exit::Fine);
    }
    let name = args.name.ok_or_else(|| Failed::usage("name a drill; --list shows them"))?;
    if !args.faults.is_empty() && name != Drill::RegionLoss {
        return Err(Failed::usage(format!("--fault: only region-loss has a choice, {} has not", name.name())));
    }
    let (topology, text) = edited(args)?;
    let hold = args.hold_seconds.unwrap_or_else(|| timing::hold(args.profile));
    let limits = Limits::of(&topology, hold);
    let script = Script::write(&order(args, name, &topology, limits)?);
    if args.schedule {
        write!(out, "{script}")?;
        return Ok(Exit::Fine);
    }
    match std::env::var_os(STAGE) {
        None => enter(args, name).await,
        Some(folder) => {
            let folder = PathBuf::from(folder);
            let manifest = folder.join("manifest.yaml");
            fs::write(&manifest, text).with_context(|| format!("cannot write {}", manifest.display()))?;
            let health_off = args.health_off.clone();
            let plan = Plan { topology, manifest, folder, nodes: args.nodes, hold, health_off };
            perform(args, &script, &limits, plan, out).await
        }
    }
}

/// The manifest with the profile's numbers, as a fleet and as text.
fn edited(args: &DrillArgs) -> anyhow::Result<(Topology, String)> {
    let ManifestArg { path } = &args.manifest;
    fleet::read(&args.manifest)?;
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the manifest {}", path.display()))?;
    let file = path.display().to_string();
    let refused = |problems| Failed::no(format!("the manifest does not hold in this profile:\n{problems}"));
    let text = timing::set(&text, &file, args.profile).map_err(refused)?;
    let topology = Topology::parse(&file, text.as_bytes()).map_err(refused)?;
    Ok((topology, text))
}

fn order(args: &DrillArgs, drill: Drill, topology: &Topology, limits: Limits) -> anyhow::Result<Order> {
    let busiest = topology.regions.iter().reduce(|one, other| if other.traffic > one.traffic { other } else { one });
    let region = match &args.region {
        Some(name) => fleet::region(topology, name)?,
        None => busiest.ok_or_else(|| Failed::no("the manifest has no regions"))?,
    };
    if topology.regions.len() < 2 {
        return Err(Failed::no("a drill needs another region that takes over, and the manifest has one"));
    }
    if let Some(Region { name, workers_per_node, .. }) =
        topology.regions.iter().find(|region| region.workers_per_node > 1)
    {
        return Err(Failed::no(format!(
            "region {name} has workers_per_node {workers_per_node}, and a drill reckons with one worker a node: leave it out"
        )));
    }
    let faults = if args.faults.is_empty() { Fault::ALL.to_vec() } else { args.faults.clone() };
    let names = topology.regions.iter().map(|region| region.name.clone());
    Ok(Order {
        drill,
        seed: args.seed,
        runs: args.runs,
        faults,
        region: region.name.clone(),
        others: names.filter(|name| *name != region.name).collect(),
        limits,
    })
}

/// Starts this command again inside namespaces, and ends as it does.
async fn enter(args: &DrillArgs, name: Drill) -> anyhow::Result<Exit> {
    world::check_tools()?;
    world::check_namespaces()?;
    let mut signals = Signals::listen().context("listening for signals")?;
    let folder = std::env::temp_dir().join(format!("meridian-drill-{}-{}", name.name(), std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = Folder { path: folder, keep: args.keep };
    let mut command = Command::from(world::unshare()?);
    command.arg(std::env::current_exe().context("finding the meridian binary")?).args(std::env::args_os().skip(1));
    // It ends when its input does. In a group of its own, Ctrl-C reaches it only that way.
    command.env(STAGE, &folder.path).stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
    // SAFETY: prctl is async-signal-safe and touches only the child.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let mut child = command.spawn().context("cannot start the stage")?;
    let input = child.stdin.take();
    let status = tokio::select! {
        status = child.wait() => status.context("waiting for the stage")?,
        signal = signals.next() => {
            drop(input);
            signals.exit_on_next();
            let _ = tokio::time::timeout(END_WITHIN, child.wait()).await;
            anyhow::bail!("{signal}: the drill was interrupted, and there is no verdict");
        }
    };
    let known = [Exit::Fine, Exit::No, Exit::Usage, Exit::World, Exit::Bug];
    let exit = known.into_iter().find(|exit| status.code() == Some(*exit as i32));
    exit.with_context(|| format!("the stage ended with {status}"))
}

/// The stage's folder. Dropped: removed, unless it is to be kept.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            say(format_args!("the stage's logs are in {}", self.path.join("logs").display()));
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Says something on stderr that is no error.
fn say(message: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Builds the stage, plays, judges.
async fn perform(
    args: &DrillArgs,
    script: &Script,
    limits: &Limits,
    plan: Plan,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let folder = plan.folder.clone();
    let quiet = args.quiet;
    let show = async {
        let started = clock::boot_us();
        let seconds = move || (clock::boot_us() - started) as f64 / 1e6;
        let stage = Stage::build(plan, &move |line| {
            if !quiet {
                say(format_args!("{line}"));
            }
        })
        .await?;
        let topology = stage.sight().topology;
        if !quiet {
            say(format_args!("the stage is ready after {:.1} s", seconds()));
        }
        let tell = move |at_s: f64, line: &str| {
            if !quiet {
                say(format_args!("t={at_s:+8.2} s  {line}"));
            }
        };
        let outcome = play(script, limits, stage, folder, tell).await?;
        anyhow::Ok((Report::of(script, args.profile, &outcome, &topology, limits), outcome))
    };
    let (report, outcome) = tokio::select! {
        played = show => played?,
        () = input_ends() => anyhow::bail!("the drill was interrupted, and there is no verdict"),
    };
    write_files(args, &report, &outcome)?;
    print(args, script.drill, &report, out)?;
    Ok(if report.held { Exit::Fine } else { Exit::No })
}

/// Until whoever started us is gone, or tells us to end by closing our input.
async fn input_ends() {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let Ok(mut input) = input.and_then(pipe::Receiver::from_owned_fd) else { return std::future::pending().await };
    let mut ignored = [0; 64];
    while input.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}

fn write_files(args: &DrillArgs, report: &Report, outcome: &Outcome) -> anyhow::Result<()> {
    let title = format!("meridian drill {} --profile {} --seed {}", report.drill, report.profile, report.seed);
    let write =
        |path: &Path, text: &str| fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    if let Some(folder) = &args.out {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let name = format!("{}-{}", report.drill, report.seed);
        write(&folder.join(format!("{name}.json")), &(serde_json::to_string_pretty(report)? + "\n"))?;
        write(&folder.join(format!("{name}.svg")), &picture::picture(&outcome.record, &title))?;
    }
    match &args.svg {
        Some(path) => write(path, &picture::picture(&outcome.record, &title)),
        None => Ok(()),
    }
}

fn print(args: &DrillArgs, drill: Drill, report: &Report, out: &mut impl Write) -> anyhow::Result<()> {
    if args.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    if args.markdown {
        write!(out, "{}", report.markdown(drill))?;
        return Ok(());
    }
    let rows: Vec<[String; 7]> = report.promises.iter().map(|row| row.cells()).collect();
    table::print(out, ["ACT", "PROMISE", "LIMIT", "MIN", "MEDIAN", "MAX", "VERDICT"], &rows)?;
    let carried: Vec<String> =
        report.load_factor.iter().map(|(region, factor)| format!("{region} {factor:.2}x")).collect();
    if !carried.is_empty() {
        writeln!(out, "\nload, at most: {}", carried.join(", "))?;
    }
    if report.replayed > 0 {
        writeln!(out, "\nplayed again, because the machine could not keep up: {} acts", report.replayed)?;
    }
    let verdict = if report.held { "all promises held" } else { "a promise was broken" };
    writeln!(out, "\n{}: {verdict}; {} ids drawn, {} twice", report.drill, report.ids, report.duplicates)?;
    Ok(())
}
