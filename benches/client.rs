//! What callers of the client notice of a region that fails, and what an id costs them.
//!
//! `cargo bench --bench client` writes `docs/results/client.md`. A broken promise (a failed call, an id given twice, a
//! second added to a call) stands there in bold, and makes the exit code 1. With `-- costs` only what an id costs is
//! measured, and written nowhere.

#[path = "../tests/support/mod.rs"]
mod support;

use meridian::client::{Client, Prefetch, Settings};
use meridian::clock;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::failover::{Fault, Fleet, Noticed, fail};
use support::wait_for;
use tokio::runtime::{Builder, Runtime};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/client.md");

/// Of each fault, with each client.
const FAULTS: usize = 10;

/// Of each cost.
const COSTS: usize = 7;

/// Ids taken between two looks at the clock, where an id costs nanoseconds: as many as two spans have, and over before
/// other programs are likely to be given the processor.
const BATCH: u32 = 8_192;

/// What a fault may add to a call.
const MOST_ADDED: Duration = Duration::from_secs(1);

/// Ids held for the measurement of those at hand.
const HELD: u32 = 1 << 20;

const ABOUT_FAULTS: &str = "\
Real nodes, and eight callers of one client with the default settings (attempt 300 ms, deadline 2 s), the first node \
failing under them: two nodes where it says so, else four, one a region. Seven callers take single ids, the eighth a \
thousand at a time, each 1 ms after the last. Ids of a run are compared exactly. *Added* is the longest call that ended \
after the fault began, less the median of the calls before it; so this machine's noise is in it. A crash is SIGKILL; a \
hang is SIGSTOP, and SIGCONT once others have given half a million ids, so that late answers come; a black hole drops \
what is sent to the first region, SYNs of new connections as well, as when a machine or the way to it is gone. *Without \
prefetch*: `Prefetch { min: 1, horizon: 0 }`, so that each id is a request or waits for one.";

const ABOUT_COSTS: &str = "\
One node, one caller, one thread. Where ids are at hand, a run is 8,192 of them, in turn of one call and of the other, so \
that the median is what they cost while this thread has a processor; what other programs took is in the maximum.";

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "costs") {
        let mut text = String::new();
        runtime(1).block_on(costs(&mut text));
        print!("{text}");
        return ExitCode::SUCCESS;
    }
    let mut text = format!(
        "# The client\n\nWritten by `cargo bench --bench client` (`make failover`) on {}: {}. Release binary and client, over \
         loopback.\n\n## A region fails\n\n{ABOUT_FAULTS}\n\n\
         | fault | client | runs | calls | failed | ids | given twice | added: min | median | max |\n\
         |---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        &clock::timestamp()[..10],
        machine(),
    );
    let direct = Prefetch { min: 1, horizon: Duration::ZERO, ..Prefetch::default() };
    let mut broken = false;
    for (client, prefetch) in [("as it is", Prefetch::default()), ("without prefetch", direct)] {
        for fault in Fault::ALL {
            let settings = Settings { prefetch, ..Settings::default() };
            let runs: Vec<Noticed> = (1..=FAULTS)
                .map(|run| {
                    say(&format!("{fault:?}, {client}: {run}/{FAULTS}"));
                    runtime(2).block_on(fail(fault, settings.clone()))
                })
                .collect();
            broken |= !faults(&mut text, name(fault), client, &runs);
        }
    }
    write!(
        text,
        "\n## An id\n\n{ABOUT_COSTS}\n\n| what | goal | min | median | max | runs |\n|---|---|---:|---:|---:|---:|\n"
    )
    .expect("a string takes any text");
    say("costs");
    runtime(1).block_on(costs(&mut text));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    writeln!(text, "\nLoad average at the end: {}.", load.split(' ').next().unwrap_or("?")).expect("a string");
    print!("{text}");
    std::fs::write(PAGE, text).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    if broken { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::NodeOfTwo => "crash of one of two nodes of the only region",
        Fault::RegionOfTwo => "crash of one of two regions",
        Fault::Crash => "crash of one region, then of the next",
        Fault::Hang => "hang",
        Fault::BlackHole => "black hole",
    }
}

/// Adds a row, and says whether it is as promised.
fn faults(text: &mut String, fault: &str, client: &str, runs: &[Noticed]) -> bool {
    let sum = |of: fn(&Noticed) -> u64| runs.iter().map(of).sum::<u64>();
    let failed: usize = runs.iter().map(|run| run.failures.len()).sum();
    let duplicates = sum(|run| run.duplicates);
    let added: Vec<f64> = runs.iter().map(|run| run.added.as_secs_f64() * 1e3).collect();
    let [min, median, max] = spread(added);
    let kept = failed == 0 && duplicates == 0 && max < MOST_ADDED.as_secs_f64() * 1e3;
    let bold = if kept { "" } else { "**" };
    writeln!(
        text,
        "| {bold}{fault}{bold} | {client} | {} | {} | {failed} | {} | {duplicates} | {min:.1} ms | {median:.1} ms | \
         {bold}{max:.1} ms{bold} |",
        runs.len(),
        sum(|run| run.calls),
        sum(|run| run.ids),
    )
    .expect("a string takes any text");
    for error in runs.iter().flat_map(|run| &run.failures) {
        eprintln!("client: {fault}, {client}: {error}");
    }
    kept
}

async fn costs(text: &mut String) {
    let fleet = Fleet::start();
    let mut row = |what: &str, goal: &str, values: Vec<f64>, digits: usize| {
        let runs = values.len();
        let [min, median, max] = spread(values);
        writeln!(text, "| {what} | {goal} | {min:.digits$} | {median:.digits$} | {max:.digits$} | {runs} |")
            .expect("a string takes any text");
    };

    let hold = Prefetch { min: HELD, max: HELD, max_age: Duration::from_secs(60), ..Prefetch::default() };
    let client = fleet.client(1, Settings { prefetch: hold, deadline: support::DEADLINE, ..Settings::default() });
    let (mut next, mut try_next) = (Vec::new(), Vec::new());
    for _ in 0..COSTS {
        // Half of a third each, so that no refill is under way meanwhile.
        fill(&client).await;
        for _ in 0..HELD / 3 / 2 / BATCH {
            let started = Instant::now();
            for _ in 0..BATCH {
                black_box(client.next_id().await.expect("an id"));
            }
            next.push(nanoseconds(started, BATCH));
            let started = Instant::now();
            for _ in 0..BATCH {
                black_box(client.try_next_id().expect("it is at hand"));
            }
            try_next.push(nanoseconds(started, BATCH));
        }
    }
    row("`next_id().await`, ids at hand: ns an id", "15", next, 1);
    row("`try_next_id()`, ids at hand: ns an id", "15", try_next, 1);

    let client = fleet.client(1, Settings { deadline: support::DEADLINE, ..Settings::default() });
    let mut steady = Vec::new();
    for _ in 0..COSTS {
        let count = 2_000_000;
        let started = Instant::now();
        for _ in 0..count {
            black_box(client.next_id().await.expect("an id"));
        }
        steady.push(nanoseconds(started, count));
    }
    let goal = "244: the format's most of one worker";
    row("`next_id().await` flat out from one worker, drawing included: ns an id", goal, steady, 0);

    let ids = client.ids(1_000_000).await.expect("ids");
    let mut expanded = Vec::new();
    for _ in 0..COSTS {
        let started = Instant::now();
        for id in black_box(&ids).iter() {
            black_box(id);
        }
        expanded.push(nanoseconds(started, 1_000_000));
    }
    row("`Ids::iter`, expanding ranges: ns an id", "", expanded, 2);
}

/// Waits until (nearly) all that is to be held is at hand, and nothing more is on its way: nodes that answer would have the
/// processors. It is drawn when less than half is left, so some is used up.
async fn fill(client: &Client) {
    wait_for("a full stock", async || {
        client.ids(HELD / 256).await.expect("ids");
        (client.counters().held >= u64::from(HELD) / 10 * 9).then_some(())
    })
    .await;
    let mut before = 0;
    wait_for("no more ids", async || {
        let held = client.counters().held;
        (std::mem::replace(&mut before, held) == held).then_some(())
    })
    .await;
}

fn nanoseconds(started: Instant, count: u32) -> f64 {
    started.elapsed().as_nanos() as f64 / f64::from(count)
}

/// Lowest, median, highest.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    [values[0], (values[(n - 1) / 2] + values[n / 2]) / 2.0, values[n - 1]]
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}, other work beside it", kernel.trim())
}

/// What is under way, for a person who waits.
fn say(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = writeln!(err, "client: {what}");
    }
}
