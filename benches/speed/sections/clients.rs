//! The curve over how many ask at once: from one connection to more than are let in.

use super::{ID, own_of};
use crate::page::{Picture, Table, median, number};
use crate::picture::{Step, draw};
use crate::process::{allow_open_files, most_resident_mb};
use crate::subjects::{Place, Subject};
use crate::support::Ensemble;
use crate::wrk::{self, Told};
use crate::{Effort, Section, say, subjects};

pub const SECTION: Section = Section {
    name: "clients",
    about: "One id a request over HTTP/1.1 by so many connections, each asking again as soon as it is answered (`wrk -t1`, \
            which counts an answer after 2 s as an error, and none at all for nothing). `limits.connections` of the node's \
            manifest is 20,000. The last row is a node with the manifest's own limit, 10,000, and more connections than that: \
            of those beyond it 64 at a time are told `503 shed`, and the others wait in the kernel's backlog, unanswered, until \
            one ends; latency and rate are of all that was answered. Resident memory is the most that was seen meanwhile.",
    run: clients,
};

const LADDER: [usize; 8] = [1, 4, 16, 64, 256, 1_000, 4_000, 10_000];

/// Connections for which no limit of the node matters.
const ROOM: usize = 20_000;

/// For what else a process has open.
const BESIDES: usize = 200;

struct Run {
    told: Told,
    resident_mb: f64,
}

fn clients(effort: Effort, ensemble: &Ensemble) -> Table {
    subjects::need("wrk");
    let past = effort.connections * 6 / 5;
    allow_open_files((past + BESIDES) as u64);
    let mut table = Table::new(&[
        "connections",
        "requests/s",
        "CPU a request",
        "p50",
        "p99",
        "errors",
        "refused (503)",
        "resident",
    ]);
    let mut steps = Vec::new();
    let ladder: Vec<usize> = LADDER.into_iter().filter(|connections| *connections <= effort.connections).collect();
    {
        let own = own_of(&Place::on(ensemble).with("connections: 10000", &format!("connections: {ROOM}")));
        for connections in effort.of(&ladder) {
            let runs = rounds(effort, &own.node, connections);
            row(&mut table, number(connections as f64), &runs);
            steps.push(Step {
                at: connections as f64,
                answered_per_second: median(&runs, |run| run.told.per_second),
                p99_ms: median(&runs, |run| run.told.p99_ms),
            });
        }
    }
    let limit = effort.connections;
    let own = own_of(&Place::on(ensemble).with("connections: 10000", &format!("connections: {limit}")));
    let runs = rounds(effort, &own.node, past);
    row(&mut table, format!("{} of at most {}", number(past as f64), number(limit as f64)), &runs);
    table.picture(Picture {
        file: "speed-clients.svg",
        shows: "answered ids a second, and p99 of their latency, over the number of connections",
        svg: draw("Connections", "connections that ask as soon as they are answered", &steps),
    });
    table
}

fn rounds(effort: Effort, node: &Subject, connections: usize) -> Vec<Run> {
    let run = |round| {
        say(&format!("  {connections} connections, {round} of {}", effort.rounds));
        let ask = || wrk::run(node, ID, connections, 1, effort.time);
        let (told, resident_mb) = most_resident_mb(node.process.program.pid(), ask);
        Run { told, resident_mb }
    };
    (1..=effort.rounds).map(run).collect()
}

fn row(table: &mut Table, connections: String, runs: &[Run]) {
    table.row([
        connections,
        number(median(runs, |run| run.told.per_second)),
        format!("{} us", number(median(runs, |run| run.told.cpu_us))),
        format!("{} ms", number(median(runs, |run| run.told.p50_ms))),
        format!("{} ms", number(median(runs, |run| run.told.p99_ms))),
        number(runs.iter().map(|run| (run.told.errors - run.told.refused) as f64).sum()),
        number(runs.iter().map(|run| run.told.refused as f64).sum()),
        format!("{} MB", number(median(runs, |run| run.resident_mb))),
    ]);
}
