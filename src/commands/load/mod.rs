//! `meridian load`: draws ids from running nodes and counts those that came twice.
//!
//! Drawers (one a connection) take their turns from one pace and hand what they got to one ledger, which alone counts.

mod drawer;
mod ledger;
mod pace;
mod report;

use super::{Exit, Failed, fleet};
use crate::census::{Bounds, Census};
use crate::cli::{self, LoadArgs, ManifestArg};
use crate::client::{Form, Source};
use crate::id::{Layout, SNOWFLAKE64};
use crate::shutdown::Signals;
use crate::topology::Topology;
use anyhow::Context;
use drawer::{Drawer, Request};
use ledger::{Ledger, Sums};
use pace::Pace;
use report::{Report, Why};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Who has not been reached at all by then will not be.
const REACHED_WITHIN: Duration = Duration::from_secs(5);

/// Without a time to end at: this long without any id ends the run.
const DRY_FOR: Duration = Duration::from_secs(30);

const DEFAULT_SECONDS: f64 = 10.0;

/// Between two looks at how it goes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Batches on their way to the ledger. When it is full, drawers wait.
const BATCHES: usize = 256;

/// More connections than any machine is likely to allow.
const CONNECTIONS: usize = 10_000;

/// Where region names and times come from, if nothing is said.
const MANIFEST: &str = "regions/meridian.yaml";

pub async fn run(args: &LoadArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = topology(args)?;
    let layout = topology.as_ref().map_or(SNOWFLAKE64, |topology| topology.layout);
    let request = request(args, layout)?;
    let sources = args.targets.iter().map(|url| Source::parse(url)).collect::<anyhow::Result<Vec<_>>>();
    let sources = sources.map_err(|error| Failed::usage(format!("--target {error:#}")))?;
    if sources.len() * usize::from(args.connections) > CONNECTIONS {
        return Err(Failed::usage(format!("--connections: more than {CONNECTIONS} over all targets")));
    }
    let folder = args.spill.clone().unwrap_or_else(std::env::temp_dir);
    if !folder.is_dir() {
        return Err(Failed::usage(format!("--spill {}: no such folder", folder.display())));
    }
    let mut signals = Signals::listen().context("listening for signals")?;

    let census = Census::new(layout, Bounds::default(), folder);
    let (batches, arrived) = mpsc::channel(BATCHES);
    let (sums_out, mut sums) = watch::channel(Sums::default());
    let ledger = Ledger::new(census, layout, sources.len());
    let mut ledger = tokio::task::spawn_blocking(move || ledger.run(arrived, &sums_out));

    let started = Instant::now();
    let pace = Arc::new(Pace::new(started, args.rate, args.count, args.ids));
    let mut drawers = JoinSet::new();
    for (target, source) in sources.iter().enumerate() {
        for _ in 0..args.connections {
            let drawer = Drawer::new(target, source.clone(), request, pace.clone(), batches.clone());
            drawers.spawn(drawer.run());
        }
    }
    drop(batches);

    let why = tokio::select! {
        why = end(args, &pace, &mut sums, started) => why,
        _ = signals.next() => Why::Signal,
        () = all_ended(&mut drawers) => Why::Ids, // or the ledger failed, and says so below
    };
    pace.stop();
    let seconds = started.elapsed();
    signals.exit_on_next();
    all_ended(&mut drawers).await;
    let books = (&mut ledger).await?.context("the duplicate check ended, so nothing is known of duplicates")?;
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let report = Report::of(books, &sources, topology.as_ref(), layout, args, why, seconds);
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        report.print(out)?;
    }
    Ok(report.exit())
}

/// A drawer that panicked is a bug, and not to be taken for one that was done.
async fn all_ended(drawers: &mut JoinSet<()>) {
    while let Some(ended) = drawers.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What gives the regions their names: the manifest asked for, or the default one where there is one.
fn topology(args: &LoadArgs) -> anyhow::Result<Option<Topology>> {
    match &args.manifest {
        Some(path) => fleet::read(&ManifestArg { path: path.clone() }).map(Some),
        None if Path::new(MANIFEST).is_file() => Ok(fleet::read(&ManifestArg { path: MANIFEST.into() }).ok()),
        None => Ok(None),
    }
}

fn request(args: &LoadArgs, layout: Layout) -> anyhow::Result<Request> {
    let form = match args.form {
        None if args.count == 1 => Form::Id,
        None | Some(cli::Form::Ranges) => Form::Ranges,
        Some(cli::Form::Id) if args.count > 1 => {
            return Err(Failed::usage("--form id draws one id a request; leave --count away or choose another form"));
        }
        Some(cli::Form::Id) => Form::Id,
        Some(cli::Form::Ids) => Form::Ids,
        Some(cli::Form::Bytes) => Form::Bytes,
    };
    Ok(Request { form, count: args.count, layout, timeout: Duration::from_millis(args.timeout_ms) })
}

/// Waits for a reason to end, and shows on a terminal how it goes.
async fn end(args: &LoadArgs, pace: &Pace, sums: &mut watch::Receiver<Sums>, started: Instant) -> Why {
    let progress = std::io::stderr().is_terminal();
    let seconds = args.seconds.or(args.ids.is_none().then_some(DEFAULT_SECONDS));
    let deadline = seconds.map(|seconds| started + Duration::from_secs_f64(seconds));
    let mut wet = (0, started);
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = Instant::now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Why::Time;
        }
        if pace.is_done() {
            return Why::Ids;
        }
        if !pace.reached() && now - started > REACHED_WITHIN {
            return Why::Unreachable;
        }
        let last = sums.borrow_and_update().clone();
        if last.ids > wet.0 {
            wet = (last.ids, now);
        }
        if deadline.is_none() && now - wet.1 > DRY_FOR {
            return Why::Dry;
        }
        if progress {
            eprint!("\r\x1b[K{}", last.line(now - started));
        }
        tokio::select! {
            _ = look.tick() => {}
            () = pace.done() => {}
            () = tokio::time::sleep_until(deadline.unwrap_or(now + DRY_FOR)) => {}
        }
    }
}
