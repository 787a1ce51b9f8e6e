//! From what was seen to numbers. Pure.

use crate::drill::record::{Breath, Change, End, Played, Record, Shares};
use crate::drill::timing::Limits;
use crate::topology::Topology;
use serde::Serialize;
use std::collections::BTreeMap;

/// A machine that wakes nobody for so long makes time-outs of its own.
const STALL_S: f64 = 0.4;
/// Threads a processor, over three seconds, beyond which nobody is on time.
const CROWD: f64 = 8.0;
const BREATHS: usize = 60;

/// Nodes look at their region once a second each, so for that long they may disagree: no return, and no departure.
const DISAGREE_S: f64 = 1.5;

/// The numbers of one act. `None`: it did not happen, or not in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    pub act: String,
    /// From the fault to the first peer that holds the region for lost.
    pub detect_s: Option<f64>,
    /// To the authoritative server's last answer with a lost region in it.
    pub switch_s: Option<f64>,
    /// Until the worst client behind the cache is served for good.
    pub outage_dns_s: Option<f64>,
    /// The longest that any client with a list waited for an id.
    pub outage_list_s: Option<f64>,
    /// The last request by DNS that was still sent to the region.
    pub empty_s: Option<f64>,
    /// Of clients with a list, and of those behind the cache.
    pub failed_requests: u64,
    pub failed_requests_dns: u64,
    /// Of those behind the cache: neither served nor refused with a word, once they should have been.
    pub dropped_after_switch: u64,
    /// Requests of both kinds.
    pub requests: u64,
    /// By region, in percent of all traffic: as sampled, and as the manifest rules.
    pub shares: BTreeMap<String, (f64, f64)>,
    /// By region, as multiples of its normal load.
    pub load_factor: BTreeMap<String, f64>,
    /// By neighbour, from its verdict on the region to the surge quota, and to a standby's first id.
    pub surge_s: BTreeMap<String, f64>,
    pub standby_s: BTreeMap<String, f64>,
    /// From the repair until the region says 200, until it is answered, until its clients are back.
    pub well_s: Option<f64>,
    pub failback_s: Option<f64>,
    pub homecoming_s: Option<f64>,
    /// From the first node that was ready again until the region said 200.
    pub held_s: Option<f64>,
    /// From the region's 200 to the authoritative server's answer.
    pub readmit_s: Option<f64>,
    /// Between one return of the region's own verdict and the next; the shortest. And of the server's answers.
    pub well_apart_s: Option<f64>,
    pub returns_apart_s: Option<f64>,
    /// How often the authoritative server took the region out of its answers, and back.
    pub departures: u64,
    pub returns: u64,
    /// The longest that the machine stood still, and how many threads each of its processors had, in the worst seconds.
    pub stall_s: f64,
    pub crowd: f64,
}

/// The numbers of an act.
pub fn numbers(record: &Record, played: &Played, topology: &Topology, limits: &Limits) -> Numbers {
    let mut numbers = Numbers { act: played.act.title.clone(), ..Numbers::default() };
    (numbers.stall_s, numbers.crowd) = machine(record, played);
    let Some(broke_s) = played.broke_s else { return numbers };
    let mended_s = played.mended_s.unwrap_or(played.ended_s);
    let view = View { record, played, broke_s, mended_s };
    numbers.detect_s = view.first(
        broke_s,
        |change| matches!(change, Change::Peer { by, peer, up: false } if view.down(*peer) && !view.down(*by)),
    );
    numbers.switch_s = view.switch();
    numbers.outage_dns_s = view.outage();
    numbers.empty_s = view.empty();
    view.requests(&mut numbers, limits);
    view.surges(&mut numbers);
    view.way_back(&mut numbers);
    if let Some(shares) = &played.shares {
        loads(record, played, topology, shares, &mut numbers);
    }
    numbers
}

/// The machine during an act: its longest stall, and its largest crowd of threads a processor.
fn machine(record: &Record, played: &Played) -> (f64, f64) {
    let during: Vec<&Breath> =
        record.breaths.iter().filter(|breath| (played.begun_s..played.ended_s).contains(&breath.at_s)).collect();
    let stall_s = during.iter().map(|breath| breath.late_s).fold(0.0, f64::max);
    let mean = |window: &[&Breath]| {
        window.iter().map(|breath| f64::from(breath.runnable)).sum::<f64>() / window.len().max(1) as f64
    };
    let crowd = during.chunks(BREATHS).map(mean).fold(0.0, f64::max);
    (stall_s, crowd / f64::from(record.processors.max(1)))
}

impl Numbers {
    /// Why these numbers may be the machine's, and not the fleet's.
    pub fn disturbed(&self) -> Option<String> {
        if self.stall_s > STALL_S {
            return Some(format!("the machine stood still for {:.1} s", self.stall_s));
        }
        (self.crowd > CROWD).then(|| format!("{:.0} threads wanted each of the machine's processors", self.crowd))
    }
}

struct View<'a> {
    record: &'a Record,
    played: &'a Played,
    broke_s: f64,
    mended_s: f64,
}

impl View<'_> {
    fn down(&self, region: usize) -> bool {
        self.played.down.contains(&region)
    }

    fn during(&self, at_s: f64) -> bool {
        (self.broke_s..self.played.ended_s).contains(&at_s)
    }

    /// When a change of this kind came first after `since_s`, counted from there.
    fn first(&self, since_s: f64, kind: impl Fn(&Change) -> bool) -> Option<f64> {
        let later = self.record.events.iter().filter(|event| event.at_s >= since_s && self.during(event.at_s));
        later.filter(|event| kind(&event.change)).map(|event| event.at_s - since_s).next()
    }

    /// The first answer behind the last that named a lost region.
    fn switch(&self) -> Option<f64> {
        let broken = |at_s: f64| (self.broke_s..self.mended_s).contains(&at_s);
        let looks = || self.record.looks.iter().filter(|look| broken(look.at_s) && self.down(look.network));
        let lost = looks().filter(|look| look.answered.is_some_and(|to| self.down(to)));
        let last_s = lost.map(|look| look.at_s).fold(self.broke_s, f64::max);
        let mut later = looks().filter(|look| look.at_s > last_s && look.answered.is_some());
        later.next().map(|look| look.at_s - self.broke_s)
    }

    /// Per client the first success behind its last failure; the worst of all clients.
    fn outage(&self) -> Option<f64> {
        let broken = |at_s: f64| (self.broke_s..self.mended_s).contains(&at_s);
        let mut worst = 0.0f64;
        for client in 0..self.record.regions.len() {
            let calls = || self.record.calls.iter().filter(|call| call.client == client && broken(call.at_s));
            let failed = calls().filter(|call| !matches!(call.end, End::Served(_)));
            let Some(last_s) = failed.map(|call| call.at_s).reduce(f64::max) else { continue };
            let served = calls().filter(|call| call.at_s > last_s).map(|call| call.at_s).reduce(f64::min)?;
            worst = worst.max(served - self.broke_s);
        }
        Some(worst)
    }

    fn empty(&self) -> Option<f64> {
        let broken = |at_s: f64| (self.broke_s..self.mended_s).contains(&at_s);
        let sent = self.record.calls.iter().filter(|call| broken(call.at_s) && call.to.is_some_and(|to| self.down(to)));
        let last_s = sent.map(|call| call.at_s).fold(self.broke_s, f64::max);
        let later = self.record.calls.iter().any(|call| call.at_s > last_s && call.at_s < self.mended_s);
        later.then_some(last_s - self.broke_s)
    }

    fn requests(&self, numbers: &mut Numbers, limits: &Limits) {
        let draws = || self.record.draws.iter().filter(|draw| self.during(draw.at_s));
        let calls = || self.record.calls.iter().filter(|call| self.during(call.at_s));
        numbers.requests = (draws().count() + calls().count()) as u64;
        numbers.failed_requests = draws().filter(|draw| !draw.served).count() as u64;
        numbers.failed_requests_dns = calls().filter(|call| !matches!(call.end, End::Served(_))).count() as u64;
        numbers.outage_list_s = draws().map(|draw| draw.took_s).reduce(f64::max);
        let switched_s = self.broke_s + limits.client.as_secs_f64();
        let late = calls().filter(|call| call.at_s > switched_s && call.end == End::Dropped);
        numbers.dropped_after_switch = late.count() as u64;
    }

    /// When a lost region said 200 again after it had not for longer than its nodes may disagree.
    fn steady_returns(&self) -> Vec<f64> {
        let mut returns = Vec::new();
        let mut out_since_s = None;
        for event in self.record.events.iter().filter(|event| self.during(event.at_s)) {
            match event.change {
                Change::Verdict { region, well: false } if self.down(region) => out_since_s = Some(event.at_s),
                Change::Verdict { region, well: true } if self.down(region) => {
                    let steady = out_since_s.take().is_some_and(|since_s| event.at_s - since_s > DISAGREE_S);
                    returns.extend(steady.then_some(event.at_s));
                }
                _ => {}
            }
        }
        returns
    }

    fn surges(&self, numbers: &mut Numbers) {
        for (region, name) in self.record.regions.iter().enumerate() {
            let lost = |change: &Change| matches!(change, Change::Peer { by, peer, up: false } if *by == region && self.down(*peer));
            let Some(verdict_s) = self.first(self.broke_s, lost).filter(|_| !self.down(region)) else { continue };
            let since_s = self.broke_s + verdict_s;
            // What two watchers saw at about the same time may be noted in either order.
            let after = |kind: &dyn Fn(&Change) -> bool| {
                self.first(self.broke_s, kind).map(|at_s| (self.broke_s + at_s - since_s).max(0.0))
            };
            let surges = after(&|change| matches!(change, Change::Surge { region: by, on: true } if *by == region));
            let issues = after(&|change| matches!(change, Change::Standby { region: by, .. } if *by == region));
            numbers.surge_s.extend(surges.map(|at_s| (name.clone(), at_s)));
            numbers.standby_s.extend(issues.map(|at_s| (name.clone(), at_s)));
        }
    }

    fn way_back(&self, numbers: &mut Numbers) {
        let events = || self.record.events.iter().filter(|event| self.during(event.at_s));
        let times = |kind: &dyn Fn(&Change) -> bool| -> Vec<f64> {
            events().filter(|event| kind(&event.change)).map(|event| event.at_s).collect()
        };
        let well = times(&|change| matches!(change, Change::Verdict { region, well: true } if self.down(*region)));
        let answered =
            times(&|change| matches!(change, Change::Answers { network, home: true } if self.down(*network)));
        let back = |at_s: &f64| at_s - self.mended_s;
        let later = |times: &[f64]| times.iter().copied().filter(|at_s| *at_s >= self.mended_s).reduce(f64::max);
        numbers.well_s = later(&well).as_ref().map(back);
        numbers.failback_s = later(&answered).as_ref().map(back);
        numbers.readmit_s = later(&answered).zip(later(&well)).map(|(answered, well)| answered - well);
        let mut home = Vec::new();
        for client in &self.played.down {
            let by_others = self.record.calls.iter().filter(|call| {
                call.client == *client
                    && self.during(call.at_s)
                    && !matches!(call.end, End::Served(by) if by == *client)
            });
            home.extend(by_others.map(|call| call.at_s).reduce(f64::max));
        }
        numbers.homecoming_s = home.into_iter().reduce(f64::max).as_ref().map(back).filter(|at_s| *at_s > 0.0);
        let ready =
            times(&|change| matches!(change, Change::Ready { region, nodes } if *nodes > 0 && self.down(*region)));
        let first = ready.iter().copied().find(|at_s| *at_s >= self.mended_s);
        numbers.held_s = first.zip(later(&well)).map(|(first, well)| well - first);
        let apart = |times: &[f64]| times.windows(2).map(|pair| pair[1] - pair[0]).reduce(f64::min);
        numbers.well_apart_s = apart(&self.steady_returns());
        numbers.returns_apart_s = apart(&answered);
        numbers.returns = answered.len() as u64;
        let gone = times(&|change| matches!(change, Change::Answers { network, home: false } if self.down(*network)));
        numbers.departures = gone.len() as u64;
    }
}

/// What each region carries: the traffic of every network, sent where the samples say.
fn loads(record: &Record, played: &Played, topology: &Topology, shares: &Shares, numbers: &mut Numbers) {
    let down: Vec<&str> = played.down.iter().map(|region| record.name(*region)).collect();
    let whole: f64 = topology.regions.iter().map(|region| region.traffic).sum();
    let routing = topology.routing();
    let mut carried: BTreeMap<&str, f64> = BTreeMap::new();
    for (network, region) in topology.regions.iter().enumerate() {
        let percent = region.traffic / whole * 100.0;
        match shares.answers.get(&network).filter(|answers| !answers.is_empty()) {
            Some(answers) => {
                let total: u32 = answers.values().sum();
                for (to, count) in answers {
                    *carried.entry(record.name(*to)).or_default() += percent * f64::from(*count) / f64::from(total);
                }
            }
            None => {
                for (to, share) in routing.destinations(&region.name, &down) {
                    *carried.entry(to).or_default() += percent * share;
                }
            }
        }
    }
    let rule = routing.loads(&down);
    for (region, (name, ruled)) in topology.regions.iter().zip(&rule.regions) {
        let seen = carried.get(name).copied().unwrap_or(0.0);
        numbers.shares.insert(region.name.clone(), (seen, ruled * 100.0));
        numbers.load_factor.insert(region.name.clone(), seen / (region.traffic / whole * 100.0));
    }
}
