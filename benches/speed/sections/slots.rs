//! Sixteen workers in one process.

use super::{FORMAT, own_of};
use crate::connection::Connection;
use crate::page::{Table, median, number, percent};
use crate::process::{ended_children_time, own_time};
use crate::subjects::{Place, Subject};
use crate::support::{Ensemble, block_for, program};
use crate::{Effort, Section, grpc, say};
use meridian::clock;
use meridian::id::SNOWFLAKE64;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const SECTION: Section = Section {
    name: "slots",
    about: "16 slots in one process (`workers_per_node: 16`), a million ids a request. Over HTTP the client is `meridian load` \
            with 8 connections, which counts every id, finds those that came twice exactly, and looks that each worker's \
            rise within a connection; over gRPC it is 8 streams at once on one connection, and the receiver looks that \
            each worker's ids rise within a stream. As eight bytes an id the format is half a gigabyte a second: where the client's share of its own \
            processor is near 100 %, it is what ends there. The reference is the format, 16 x 4,096,000 ids a \
            second; the goal is 60 million.",
    run: slots,
};

const SLOTS: usize = 16;

/// Ids a request: the most that the manifest allows.
const MILLION: u64 = 1_000_000;

/// Each with a request under way: while some are read, others are made. Few, for what is under way at the end counts for nothing.
const CONNECTIONS: &str = "8";
const STREAMS: usize = 8;

struct Run {
    ids_per_second: f64,
    /// Shares of a processor.
    node: f64,
    client: f64,
}

/// A way to ask, and so long a time of it.
type Way = (&'static str, fn(&Subject, Duration) -> Run);

fn slots(effort: Effort, ensemble: &Ensemble) -> Table {
    // A tree of its own, so that its quota is in nobody's way.
    let place = Place::on(ensemble)
        .under("/sixteen")
        .present(effort.whole)
        .with("quota: 12, static: 8, surge: 24 }", "quota: 16, static: 0, surge: 16 }\n    workers_per_node: 16");
    let own = own_of(&place);
    await_all(&own.node, effort.whole);
    let ways: [Way; 3] = [
        ("`/api/v1/ranges`", |node, time| load(node, "ranges", time)),
        ("`/api/v1/ids`, eight bytes an id", |node, time| load(node, "bytes", time)),
        ("gRPC `Stream`, 8 at once", |node, time| {
            let (before, started) = (own_time(), Instant::now());
            let found = grpc::of_several_workers(node, super::STREAM, MILLION, STREAMS, time);
            let client = (own_time() - before).as_secs_f64() / started.elapsed().as_secs_f64();
            Run { ids_per_second: found.ids_per_second, node: found.cpu, client }
        }),
    ];
    let mut runs: Vec<Vec<Run>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 1..=effort.rounds {
        for ((way, measure), runs) in ways.iter().zip(&mut runs) {
            say(&format!("  {way}, {round} of {}", effort.rounds));
            runs.push(measure(&own.node, effort.time));
        }
    }
    let mut table = Table::new(&[
        "16 slots",
        "ids/s",
        "of the format",
        "node, of a core",
        "client, of a core",
        "CPU a million ids",
    ]);
    for ((way, _), runs) in ways.iter().zip(&runs) {
        let ids = median(runs, |run| run.ids_per_second);
        table.row([
            way.to_string(),
            number(ids),
            percent(ids / (FORMAT * SLOTS as f64)),
            percent(median(runs, |run| run.node)),
            percent(median(runs, |run| run.client)),
            format!("{} us", number(median(runs, |run| run.node * 1e12 / run.ids_per_second))),
        ]);
    }
    table
}

/// Waits until each slot has given ids, and, where time counts, none of them ahead of the clock: a slot of a new tree begins
/// there, and is paced by a clock of its own for so long.
fn await_all(node: &Subject, present: bool) {
    let mut connection = Connection::open(node);
    let mut latest = BTreeMap::new();
    block_for(Duration::from_secs(90), "ids of this moment from every slot", || {
        if connection.get(&format!("/api/v1/ranges?count={MILLION}")) != 200 {
            return None;
        }
        let answer: Value = serde_json::from_slice(connection.body()).expect("JSON");
        for range in answer["ranges"].as_array().expect("an array") {
            let first = range["first"].as_str().and_then(|first| first.parse().ok()).expect("an id");
            let parts = SNOWFLAKE64.decode(first).expect("an id");
            latest.insert(parts.origin, parts.timestamp);
        }
        let now = (clock::real_us() / 1_000) as u64 - crate::support::EPOCH_UNIX_MS;
        (latest.len() == SLOTS && (!present || latest.values().all(|last| last.0 <= now))).then_some(())
    });
}

/// `meridian load`, which fails for an id that came twice or did not rise.
fn load(node: &Subject, form: &str, time: Duration) -> Run {
    let (target, count) = (format!("http://{}", node.address), MILLION.to_string());
    let seconds = time.as_secs_f64().to_string();
    let what = ["load", "--json", "--target", &target, "--form", form, "--count", &count];
    let (before, before_client) = (node.process.used(), ended_children_time());
    let ended = program::run(&[&what[..], &["--connections", CONNECTIONS, "--seconds", &seconds]].concat());
    let used = node.process.used() - before;
    let used_client = ended_children_time() - before_client;
    assert_eq!(ended.code(), Some(0), "{}{}", ended.out, ended.err);
    let report: Value = serde_json::from_str(&ended.out).expect("JSON");
    let told = |key: &str| report[key].as_f64().expect("a number");
    assert_eq!((told("duplicates"), told("disordered")), (0.0, 0.0), "{report}");
    assert_eq!(report["workers"].as_array().map(Vec::len), Some(SLOTS), "every slot takes part: {report}");
    let share = |used: Duration| used.as_secs_f64() / told("seconds");
    Run { ids_per_second: told("ids_per_second"), node: share(used), client: share(used_client) }
}
