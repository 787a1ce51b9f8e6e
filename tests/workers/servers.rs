//! What the servers measure of themselves during a phase.

use crate::support::Ensemble;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);

/// Measures one phase. The servers' own numbers begin anew with it, or with their restart.
pub struct Meter {
    began: Instant,
    sampled: Instant,
    /// Proposals so far, at the last sample.
    proposals: f64,
    peak: f64,
    /// Since when all servers have served; none while one of them does not.
    serving: Option<Instant>,
}

/// The three servers together.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Servers {
    /// What the leader proposed: all changes, sessions' beginnings and ends included.
    pub writes: f64,
    pub writes_per_second: f64,
    /// In the busiest second.
    pub peak_writes_per_second: f64,
    pub reads: f64,
    pub reads_per_second: f64,
    pub write_ms: Latency,
    pub read_ms: Latency,
    /// How many watches each event set off, by what happened to the znode.
    pub fan_out: BTreeMap<&'static str, FanOut>,
}

/// As the servers see it. Average over all requests; the percentiles are those of the slowest server.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Latency {
    pub average: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct FanOut {
    /// Events that somebody watched for, counted by each server for its own clients.
    pub events: f64,
    pub watches: f64,
    pub average: f64,
    pub max: f64,
}

impl Meter {
    pub fn begin(servers: &Ensemble) -> Meter {
        (0..servers.len()).for_each(|index| servers.measure_anew(index));
        let now = Instant::now();
        Meter { began: now, sampled: now, proposals: 0.0, peak: 0.0, serving: Some(now) }
    }

    /// Once a second.
    pub fn sample(&mut self, servers: &Ensemble) {
        let elapsed = self.sampled.elapsed();
        if elapsed < EVERY {
            return;
        }
        let all = read(servers);
        let proposals = sum(&all, "zk_proposal_count");
        self.sampled = Instant::now();
        self.serving = match all.len() == servers.len() {
            true => self.serving.or(Some(self.sampled)),
            false => None,
        };
        // A restarted leader counts from 0.
        let more = if proposals < self.proposals { proposals } else { proposals - self.proposals };
        self.peak = self.peak.max(more / elapsed.as_secs_f64());
        self.proposals = proposals;
    }

    /// When all servers served again, if one of them did not at some time; as exactly as samples are taken.
    pub fn back(&self) -> Option<Instant> {
        self.serving.filter(|since| *since > self.began)
    }

    pub fn end(mut self, servers: &Ensemble) -> Servers {
        self.sample(servers);
        let seconds = self.began.elapsed().as_secs_f64();
        let all = read(servers);
        let (writes, reads) = (sum(&all, "zk_proposal_count"), sum(&all, "zk_cnt_readlatency"));
        let fan_out = ["created", "changed", "deleted", "children"];
        Servers {
            writes,
            writes_per_second: writes / seconds,
            peak_writes_per_second: self.peak.max(writes / seconds),
            reads,
            reads_per_second: reads / seconds,
            write_ms: latency(&all, "updatelatency"),
            read_ms: latency(&all, "readlatency"),
            fan_out: fan_out.into_iter().map(|event| (event, FanOut::of(&all, event))).collect(),
        }
    }
}

impl FanOut {
    fn of(all: &[BTreeMap<String, f64>], event: &str) -> FanOut {
        let name = format!("node_{event}_watch_count");
        let (events, watches) = (sum(all, &format!("zk_cnt_{name}")), sum(all, &format!("zk_sum_{name}")));
        FanOut { events, watches, average: ratio(watches, events), max: most(all, &format!("zk_max_{name}")) }
    }
}

fn latency(all: &[BTreeMap<String, f64>], name: &str) -> Latency {
    let part = |part: &str| format!("zk_{part}_{name}");
    Latency {
        average: ratio(sum(all, &part("sum")), sum(all, &part("cnt"))),
        p50: most(all, &part("p50")),
        p99: most(all, &part("p99")),
        max: most(all, &part("max")),
    }
}

/// A server that is down measures nothing.
fn read(servers: &Ensemble) -> Vec<BTreeMap<String, f64>> {
    (0..servers.len()).filter_map(|index| servers.measured(index)).collect()
}

fn sum(all: &[BTreeMap<String, f64>], name: &str) -> f64 {
    all.iter().filter_map(|numbers| numbers.get(name)).sum()
}

fn most(all: &[BTreeMap<String, f64>], name: &str) -> f64 {
    all.iter().filter_map(|numbers| numbers.get(name)).copied().fold(0.0, f64::max)
}

fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}
