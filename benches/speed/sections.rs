//! What is measured, and against what.

mod batches;
mod clients;
mod http2;
mod offered;
mod slots;
mod starts;
mod trouble;

use crate::grpc::{self, Call};
use crate::http2::Calls;
use crate::page::{Table, median, number, percent, quantile, times};
use crate::process::most_resident_mb;
use crate::rate::{self, Beside, Bulk, Paced};
use crate::subjects::{self, Neighbours, Place, Subject};
use crate::support::{Ensemble, block_until, program};
use crate::wrk::{self, Told};
use crate::{Effort, Section, say};
use std::time::{Duration, Instant};

/// Ids a second that the format has for one worker.
const FORMAT: f64 = 4_096_000.0;

const ID: &str = "/api/v1/id";

const STREAM: Call = Call { path: "/meridian.v1.IdService/Stream", rises: true };
const NEXT: Call = Call { path: "/meridian.v1.IdService/Next", rises: true };
const RANGES: Call = Call { path: "/meridian.v1.IdService/Ranges", rises: true };
const FERROID: Call = Call { path: "/ferroid.IdGenerator/StreamIds", rises: false };

pub const ALL: [Section; 14] = [
    Section {
        name: "single",
        about: "One id a request over HTTP/1.1, 64 connections, as fast as they are answered (`wrk -t1 -c64`). nginx says \
                `return 200` with a fixed id; bare hyper is the library Meridian serves HTTP with, and nothing around it.",
        run: |effort, ensemble| answered(effort, ensemble, 1),
    },
    Section {
        name: "pipelined",
        about: "The same, 16 requests on a connection at once.",
        run: |effort, ensemble| answered(effort, ensemble, 16),
    },
    Section {
        name: "rate",
        about: "10,000 requests a second for one id each, over 16 connections; each is due at its time whatever became of \
                those before it, and its latency counts from then. For a minute with the client on a processor of its own, \
                where each request and each answer wakes the other's, and what that costs is the machine's; and for 20 s \
                with the client on the server's processor, where nothing does.",
        run: fixed_rate,
    },
    Section {
        name: "lists",
        about: "Lists of 4,096 ids as JSON on one connection, one after the other; the receiver reads every id and finds it \
                above the one before. The reference is the format: 4,096,000 ids a second for one worker.",
        run: lists,
    },
    Section {
        name: "grpc-stream",
        about: "One stream of 1,000,000 ids after the other over gRPC, from one worker; the receiver reads every id, and \
                finds Meridian's above the one before.",
        run: streams,
    },
    Section {
        name: "grpc-single",
        about: "One id a call over gRPC, 64 callers and one, on one connection; the receiver finds no id twice.",
        run: singles,
    },
    Section {
        name: "holds",
        about: "What a node with a live ZooKeeper session holds in a fleet that is well, a node in each of the other regions: the \
                most that was seen resident while this went on, and the share of a core it used. What is asked is asked as \
                fast as it is answered.",
        run: holds,
    },
    http2::SECTION,
    batches::SECTION,
    offered::SECTION,
    clients::SECTION,
    slots::SECTION,
    starts::SECTION,
    trouble::SECTION,
];

/// A node, until it has given its slot back: the next one then begins where it ended, and not a window later.
struct Own {
    node: Subject,
}

fn own(ensemble: &Ensemble) -> Own {
    own_of(&Place::on(ensemble))
}

fn own_of(place: &Place) -> Own {
    Own { node: subjects::node(place) }
}

impl Drop for Own {
    fn drop(&mut self) {
        let node = &self.node.process.program;
        node.signal(libc::SIGTERM);
        block_until("the node to leave", || (!program::runs(node.pid())).then_some(()));
    }
}

/// Each subject once a round, so that a slow moment of the machine is nobody's.
fn rounds<'a, T>(
    effort: Effort,
    subjects: &[&'a Subject],
    measure: impl Fn(&Subject) -> T,
) -> Vec<(&'a Subject, Vec<T>)> {
    let mut all: Vec<(&Subject, Vec<T>)> = subjects.iter().map(|subject| (*subject, Vec::new())).collect();
    for round in 1..=effort.rounds {
        for (subject, runs) in &mut all {
            say(&format!("  {}, {round} of {}", subject.name, effort.rounds));
            runs.push(measure(subject));
        }
    }
    all
}

fn answered(effort: Effort, ensemble: &Ensemble, depth: usize) -> Table {
    subjects::need("wrk");
    let (own, hyper, nginx) = (own(ensemble), subjects::bare_hyper(), subjects::nginx());
    let all = rounds(effort, &[&own.node, &hyper, &nginx], |subject| wrk::run(subject, ID, 64, depth, effort.time));
    let of = |told: &[Told], value: fn(&Told) -> f64| median(told, value);
    let reference = &all[2].1;
    let (rate, cpu) = (of(reference, |told| told.per_second), of(reference, |told| told.cpu_us));
    let mut table =
        Table::new(&["server", "requests/s", "to nginx", "CPU a request", "to nginx", "p50", "p99", "errors"]);
    for (subject, runs) in &all {
        table.row([
            subject.name.to_owned(),
            number(of(runs, |told| told.per_second)),
            times(of(runs, |told| told.per_second) / rate),
            format!("{} us", number(of(runs, |told| told.cpu_us))),
            times(of(runs, |told| told.cpu_us) / cpu),
            format!("{} ms", number(of(runs, |told| told.p50_ms))),
            format!("{} ms", number(of(runs, |told| told.p99_ms))),
            number(runs.iter().map(|told| told.errors as f64).sum()),
        ]);
    }
    table
}

fn fixed_rate(effort: Effort, ensemble: &Ensemble) -> Table {
    let (own, nginx) = (own(ensemble), subjects::nginx());
    let mut table = Table::new(&["server", "client", "requests/s", "p50", "p99", "p99.9", "errors", "of a core"]);
    let ways =
        [(Beside::Apart, "on its own processor", effort.long), (Beside::Together, "on the server's", effort.long / 3)];
    for (beside, client, time) in ways {
        let all = rounds(effort, &[&own.node, &nginx], |subject| rate::fixed(subject, 10_000, 16, time, beside));
        for (subject, runs) in &all {
            let quantile = |q: f64| quantile(runs, |paced: &Paced| &paced.latency, q);
            table.row([
                subject.name.to_owned(),
                client.to_owned(),
                number(median(runs, |paced| paced.per_second)),
                quantile(0.5),
                quantile(0.99),
                quantile(0.999),
                number(runs.iter().map(|paced| paced.errors as f64).sum()),
                percent(median(runs, |paced| paced.cpu)),
            ]);
        }
    }
    table
}

fn lists(effort: Effort, ensemble: &Ensemble) -> Table {
    let own = own(ensemble);
    of_the_format(&rounds(effort, &[&own.node], |subject| rate::lists(subject, 4_096, effort.time)))
}

fn streams(effort: Effort, ensemble: &Ensemble) -> Table {
    let (own, ferroid) = (own(ensemble), subjects::ferroid());
    of_the_format(&rounds(effort, &[&own.node, &ferroid], |subject| {
        grpc::ids(subject, call(subject, STREAM), 1_000_000, effort.time)
    }))
}

fn of_the_format(all: &[(&Subject, Vec<Bulk>)]) -> Table {
    let mut table = Table::new(&["server", "ids/s", "of the format", "of a core"]);
    for (subject, runs) in all {
        let ids = median(runs, |bulk| bulk.ids_per_second);
        let cpu = median(runs, |bulk| bulk.cpu);
        table.row([subject.name.to_owned(), number(ids), percent(ids / FORMAT), percent(cpu)]);
    }
    table
}

fn singles(effort: Effort, ensemble: &Ensemble) -> Table {
    let (own, ferroid) = (own(ensemble), subjects::ferroid());
    let mut table = Table::new(&["server", "callers", "calls/s", "to ferroid", "p50", "p99", "CPU a call"]);
    for callers in [64, 1] {
        let all = rounds(effort, &[&own.node, &ferroid], |subject| {
            grpc::singles(subject, call(subject, NEXT), callers, effort.time)
        });
        let rate = |runs: &[Calls]| median(runs, |calls| calls.per_second);
        let reference = rate(&all[1].1);
        for (subject, runs) in &all {
            let quantile = |q: f64| quantile(runs, |calls: &Calls| &calls.latency, q);
            table.row([
                subject.name.to_owned(),
                number(callers as f64),
                number(rate(runs)),
                times(rate(runs) / reference),
                quantile(0.5),
                quantile(0.99),
                format!("{} us", number(median(runs, |calls| calls.cpu_us))),
            ]);
        }
    }
    table
}

fn call(subject: &Subject, own: Call) -> Call {
    if subject.name == "meridian" { own } else { FERROID }
}

fn holds(effort: Effort, ensemble: &Ensemble) -> Table {
    let neighbours = Neighbours::start();
    let own = own_of(&Place::on(ensemble).among(&neighbours));
    let node = &own.node;
    let mut table = Table::new(&["a node", "resident", "of a core"]);
    // Not waiting for anything: this is what is measured.
    let rest = |most: u64| std::thread::sleep(effort.long.min(Duration::from_secs(most)));
    let mut row = |what: &str, work: &dyn Fn()| {
        let runs: Vec<(f64, f64)> = (1..=effort.rounds)
            .map(|round| {
                say(&format!("  {what}, {round} of {}", effort.rounds));
                held(node, work)
            })
            .collect();
        let of = |value: fn(&(f64, f64)) -> f64| median(&runs, value);
        table.row([what.to_owned(), format!("{} MB", number(of(|held| held.1))), percent(of(|held| held.0))]);
    };
    let few = || {
        rate::lists(node, 4_096, effort.time);
        grpc::ids(node, STREAM, 1_000_000, effort.time);
        wrk::run(node, ID, 64, 1, effort.time);
    };
    let crowd = effort.connections.min(1_000);
    rest(3);
    row("idle, from three seconds after the start", &|| rest(10));
    row("lists, a stream and 64 connections, one after the other", &few);
    let many = || {
        wrk::run(node, ID, crowd, 1, effort.time);
    };
    row(&format!("{crowd} connections"), &many);
    rest(60); // memory is given back once a minute at most, and was after the first round
    row("idle again, a minute after them", &|| rest(10));
    table
}

/// Which share of a processor a node used while this was done, and the most that was resident.
fn held(node: &Subject, work: impl FnOnce()) -> (f64, f64) {
    let (before, started) = (node.process.used(), Instant::now());
    let ((), resident_mb) = most_resident_mb(node.process.program.pid(), work);
    ((node.process.used() - before).as_secs_f64() / started.elapsed().as_secs_f64(), resident_mb)
}
