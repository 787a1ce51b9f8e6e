//! What a run says at its end: one JSON object, or the same for people. Its shape is in docs/PROTOCOL.md.

use super::super::{Exit, table};
use super::ledger::Books;
use crate::cli::LoadArgs;
use crate::client::Source;
use crate::clock;
use crate::id::Layout;
use crate::topology::Topology;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Time,
    Ids,
    Signal,
    /// No target took a connection.
    Unreachable,
    /// No id came for long.
    Dry,
}

#[derive(Debug, Serialize)]
pub struct Report {
    ids: u64,
    /// Surplus occurrences: an id that came k times counts k - 1.
    duplicates: u64,
    /// Places where the ids of a worker did not ascend within a connection.
    disordered: u64,
    /// Requests and connections that gave nothing, by kind.
    errors: BTreeMap<String, u64>,
    seconds: f64,
    latency_ms: Latency,
    ids_per_second: f64,
    answers: u64,
    /// Of the errors, those in which a node said no in good order (429, 503).
    refused: u64,
    /// Connections beyond the first of each.
    reconnects: u64,
    /// Requests under way when the run ended. They are in no other number.
    unanswered: u64,
    /// Ids a second asked for; `null`: flat out.
    rate: Option<u64>,
    ended_by: Why,
    /// What the first error of each kind said.
    error_examples: BTreeMap<String, String>,
    duplicate_examples: Vec<Duplicate>,
    workers: Vec<Worker>,
    targets: Vec<Target>,
    spilled_bytes: u64,
}

/// `null` when nothing was drawn.
#[derive(Debug, Serialize)]
struct Latency {
    p50: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Duplicate {
    id: String,
    time: Option<String>,
    region: Option<String>,
    datacenter: u16,
    worker: u16,
    sequence: u64,
    /// All that gave ids of this worker.
    targets: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Worker {
    region: Option<String>,
    datacenter: u16,
    worker: u16,
    ids: u64,
    targets: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Target {
    target: String,
    ids: u64,
    answers: u64,
    errors: u64,
    connections: u64,
}

impl Report {
    pub fn of(
        books: Books,
        sources: &[Source],
        topology: Option<&Topology>,
        layout: Layout,
        args: &LoadArgs,
        why: Why,
        took: Duration,
    ) -> Report {
        let region = |datacenter: u16| {
            let mut regions = topology.iter().flat_map(|topology| &topology.regions);
            regions.find(|region| region.datacenter == datacenter).map(|region| region.name.clone())
        };
        let urls = |targets: &[usize]| targets.iter().map(|target| sources[*target].url.clone()).collect::<Vec<_>>();
        let examples = books.tally.examples.iter().filter_map(|id| {
            let parts = layout.decode(*id)?;
            let unix_ms = topology.map(|topology| topology.epoch_unix_ms + parts.timestamp.0 as i64);
            let gave = books.workers.iter().find(|(origin, ..)| *origin == parts.origin);
            Some(Duplicate {
                id: id.to_string(),
                time: unix_ms.map(clock::rfc3339),
                region: region(parts.origin.datacenter),
                datacenter: parts.origin.datacenter,
                worker: parts.origin.worker,
                sequence: parts.sequence,
                targets: gave.map(|(.., targets)| urls(targets)).unwrap_or_default(),
            })
        });
        let seconds = took.as_secs_f64();
        let at = |quantile: f64| {
            let some = !books.latency_us.is_empty();
            // The histogram's buckets are a thousandth wide; nothing took longer than the longest.
            let longest = books.longest.as_micros() as u64;
            some.then(|| books.latency_us.value_at_quantile(quantile).min(longest) as f64 / 1_000.0)
        };
        let connections = |least: u64, made: u64| made.saturating_sub(least);
        Report {
            ids: books.tally.ids,
            duplicates: books.tally.duplicates,
            disordered: books.disordered,
            errors: books.errors.iter().map(|(kind, of)| (kind.clone(), of.count)).collect(),
            seconds: rounded(seconds),
            latency_ms: Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) },
            ids_per_second: rounded(books.tally.ids as f64 / seconds.max(0.001)),
            answers: books.targets.iter().map(|target| target.answers).sum(),
            refused: books.refused,
            reconnects: books.targets.iter().map(|t| connections(u64::from(args.connections), t.connections)).sum(),
            unanswered: books.unanswered,
            rate: args.rate,
            ended_by: why,
            error_examples: books.errors.iter().map(|(kind, of)| (kind.clone(), of.example.clone())).collect(),
            duplicate_examples: examples.collect(),
            workers: books
                .workers
                .iter()
                .map(|(origin, ids, targets)| Worker {
                    region: region(origin.datacenter),
                    datacenter: origin.datacenter,
                    worker: origin.worker,
                    ids: *ids,
                    targets: urls(targets),
                })
                .collect(),
            targets: std::iter::zip(sources, &books.targets)
                .map(|(source, of)| Target {
                    target: source.url.clone(),
                    ids: of.ids,
                    answers: of.answers,
                    errors: of.errors,
                    connections: of.connections,
                })
                .collect(),
            spilled_bytes: books.spilled_bytes,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Report { duplicates: 1.., .. } | Report { disordered: 1.., .. } => Exit::No,
            Report { ids: 0, .. } => Exit::World,
            _ => Exit::Fine,
        }
    }

    pub fn print(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let Report { ids, seconds, ids_per_second, answers, unanswered, refused, reconnects, .. } = self;
        match self.ended_by {
            Why::Unreachable => writeln!(out, "No target took a connection.\n")?,
            Why::Dry => writeln!(out, "No id came for so long that the run was given up.\n")?,
            Why::Time | Why::Ids | Why::Signal => {}
        }
        writeln!(out, "{ids} ids in {seconds:.1} s ({ids_per_second:.0}/s), {answers} answers")?;
        writeln!(out, "duplicates {}, out of order {}", self.duplicates, self.disordered)?;
        if let Latency { p50: Some(p50), p99: Some(p99), p999: Some(p999), max: Some(max) } = self.latency_ms {
            writeln!(out, "latency p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, longest {max:.2} ms")?;
        }
        if refused + reconnects + unanswered > 0 {
            writeln!(out, "refused {refused}, reconnects {reconnects}, unanswered at the end {unanswered}")?;
        }
        if self.spilled_bytes > 0 {
            writeln!(out, "the duplicate check put {} MB on disk", self.spilled_bytes >> 20)?;
        }
        if !self.errors.is_empty() {
            let example = |kind: &str| self.error_examples.get(kind).cloned().unwrap_or_default();
            let rows: Vec<_> =
                self.errors.iter().map(|(kind, count)| [kind.clone(), count.to_string(), example(kind)]).collect();
            writeln!(out)?;
            table::print(out, ["ERROR", "COUNT", "THE FIRST SAID"], &rows)?;
        }
        if !self.duplicate_examples.is_empty() {
            let dash = || "-".to_owned();
            let rows: Vec<_> = self
                .duplicate_examples
                .iter()
                .map(|d| {
                    let (region, time) = (d.region.clone().unwrap_or_else(dash), d.time.clone().unwrap_or_else(dash));
                    let (datacenter, worker) = (d.datacenter.to_string(), d.worker.to_string());
                    [d.id.clone(), time, region, datacenter, worker, d.sequence.to_string(), d.targets.join(" ")]
                })
                .collect();
            writeln!(out)?;
            let head = ["DUPLICATE", "TIME", "REGION", "DATACENTER", "WORKER", "SEQUENCE", "TARGETS OF THIS WORKER"];
            table::print(out, head, &rows)?;
        }
        if !self.workers.is_empty() {
            let rows: Vec<_> = self
                .workers
                .iter()
                .map(|w| {
                    let region = w.region.clone().unwrap_or_else(|| "-".to_owned());
                    [region, w.datacenter.to_string(), w.worker.to_string(), w.ids.to_string(), w.targets.join(" ")]
                })
                .collect();
            writeln!(out)?;
            table::print(out, ["REGION", "DATACENTER", "WORKER", "IDS", "TARGETS"], &rows)?;
        }
        Ok(())
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
