//! From numbers to promises held or broken. Pure.

mod numbers;
#[cfg(test)]
mod tests;

pub use numbers::{Numbers, numbers};

use super::Fault;
use super::record::Played;
use super::script::Scene;
use super::timing::{Limits, SHARE_POINTS, SURGE_WITHIN, WORST_DRAW};
use crate::topology::Topology;
use crate::topology::spill::SINGLE_FAILURE_LIMIT;
use serde::Serialize;
use std::collections::BTreeMap;

/// How far the sampled load of a region may be above a limit by chance alone, in points of all traffic.
const CHANCE_POINTS: f64 = 1.5;
/// What watchers see late: they look five times a second, and a machine may be busy.
const LOOK_S: f64 = 0.5;

/// What was promised, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promise {
    pub act: String,
    pub promise: String,
    pub unit: Unit,
    pub bound: Bound,
    pub limit: f64,
    pub seen: Option<f64>,
    pub held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Count,
    Points,
    Factor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtMost,
    Below,
    AtLeast,
}

/// What is promised of an act with these numbers.
pub fn promises(numbers: &Numbers, played: &Played, limits: &Limits, topology: &Topology) -> Vec<Promise> {
    let mut list = List { act: numbers.act.clone(), promises: Vec::new() };
    let seconds = |duration: std::time::Duration| duration.as_secs_f64();
    let failed = numbers.failed_requests as f64;
    list.count("failed requests of clients with a list", failed);
    let scene = played.act.scene;
    let loses = matches!(scene, Scene::Loss | Scene::Rejoin | Scene::Two);
    if loses || scene == Scene::Drain {
        let switch = if scene == Scene::Drain { limits.drain_switch } else { limits.switch };
        list.seconds("authoritative switch", Bound::AtMost, seconds(switch), numbers.switch_s);
        let off = numbers.shares.values().map(|(seen, ruled)| (seen - ruled).abs()).reduce(f64::max);
        list.add("shares off the manifest's rule", Unit::Points, Bound::AtMost, SHARE_POINTS, off);
    }
    if loses {
        // Two lost regions are each other's next choice: their clients may have to wait for the second verdict as well.
        let client = if scene == Scene::Two { limits.client + limits.interval } else { limits.client };
        list.seconds("outage of clients behind the cache", Bound::AtMost, seconds(client), numbers.outage_dns_s);
        list.seconds("longest draw with a list", Bound::Below, seconds(WORST_DRAW), numbers.outage_list_s);
    }
    if matches!(scene, Scene::Loss | Scene::Rejoin) || scene == Scene::Drain {
        let least = topology.regions.iter().map(|region| region.traffic).reduce(f64::min).unwrap_or(1.0);
        let whole: f64 = topology.regions.iter().map(|region| region.traffic).sum();
        let chance = CHANCE_POINTS / (least / whole * 100.0).max(CHANCE_POINTS);
        let most = numbers.load_factor.values().copied().reduce(f64::max);
        list.add("load of the busiest region", Unit::Factor, Bound::AtMost, SINGLE_FAILURE_LIMIT + chance, most);
    }
    if loses {
        list.seconds("first peer's verdict", Bound::AtMost, seconds(limits.switch), numbers.detect_s);
        let worst = |times: &BTreeMap<String, f64>| times.values().copied().reduce(f64::max);
        let within = seconds(SURGE_WITHIN);
        list.seconds("surge quota in force after the verdict", Bound::Below, within, worst(&numbers.surge_s));
        list.seconds("standby issues after the verdict", Bound::Below, within, worst(&numbers.standby_s));
    }
    if scene == Scene::Drain {
        list.count("failed requests behind the cache", numbers.failed_requests_dns as f64);
        list.seconds("region empty", Bound::AtMost, seconds(limits.empty), numbers.empty_s);
    }
    if scene == Scene::Two {
        list.count("dropped once clients had switched", numbers.dropped_after_switch as f64);
    }
    if played.act.fault == Some(Fault::Unavailable) {
        list.count("failed requests behind the cache", numbers.failed_requests_dns as f64);
    }
    match scene {
        Scene::ZookeeperBrief => {
            list.count("failed requests behind the cache", numbers.failed_requests_dns as f64);
            list.count("times taken out of the answers", numbers.departures as f64);
        }
        Scene::ZookeeperLong => {
            let (least, most) = limits.ride_out;
            list.seconds("region stays while leases last", Bound::AtLeast, seconds(least), numbers.switch_s);
            let most = seconds(most) + seconds(limits.switch);
            list.seconds("authoritative switch", Bound::AtMost, most, numbers.switch_s);
        }
        Scene::Flap => {
            list.count("failed requests behind the cache", numbers.failed_requests_dns as f64);
            // One return, or none, is apart enough.
            let apart = |seen: Option<f64>| Some(seen.unwrap_or(seconds(limits.hold)));
            let hold = seconds(limits.hold) - LOOK_S;
            list.seconds("between two returns to 200", Bound::AtLeast, hold, apart(numbers.well_apart_s));
            list.seconds("between two returns to DNS", Bound::AtLeast, hold, apart(numbers.returns_apart_s));
        }
        Scene::Rejoin => {
            let hold = seconds(limits.hold) - LOOK_S - 1.0; // a ready node is seen up to a second late
            list.seconds("from the first ready node to 200", Bound::AtLeast, hold, numbers.held_s);
            let readmit = seconds(limits.readmit);
            list.seconds("from 200 to DNS", Bound::AtMost, readmit, numbers.readmit_s);
        }
        Scene::Loss | Scene::Drain | Scene::Two => {}
    }
    if scene != Scene::ZookeeperBrief {
        list.seconds("failback of DNS", Bound::AtMost, seconds(limits.failback), numbers.failback_s);
        let home = numbers.homecoming_s.or(numbers.failback_s);
        list.seconds("clients back home", Bound::AtMost, seconds(limits.homecoming), home);
    }
    list.promises
}

struct List {
    act: String,
    promises: Vec<Promise>,
}

impl List {
    fn add(&mut self, promise: &str, unit: Unit, bound: Bound, limit: f64, seen: Option<f64>) {
        let holds = |seen: f64| match bound {
            Bound::AtMost => seen <= limit,
            Bound::Below => seen < limit,
            Bound::AtLeast => seen >= limit,
        };
        let (act, promise) = (self.act.clone(), promise.to_owned());
        self.promises.push(Promise { act, promise, unit, bound, limit, seen, held: seen.is_some_and(holds) });
    }

    fn seconds(&mut self, promise: &str, bound: Bound, limit: f64, seen: Option<f64>) {
        self.add(promise, Unit::Seconds, bound, limit, seen);
    }

    fn count(&mut self, promise: &str, seen: f64) {
        self.add(promise, Unit::Count, Bound::AtMost, 0.0, Some(seen));
    }
}

/// That no id was given twice is promised of the drill as a whole.
pub fn uniqueness(duplicates: u64) -> Promise {
    let mut list = List { act: "all".to_owned(), promises: Vec::new() };
    list.count("ids given twice", duplicates as f64);
    list.promises.remove(0)
}
