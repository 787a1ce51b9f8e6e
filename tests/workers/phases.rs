//! The phases of a run: what each does to the fleet, what it waits for, and what was measured meanwhile.

use crate::flags::Plan;
use crate::roster::{self, KILLED, STANDBYS};
use crate::scene::Scene;
use crate::seen::Ids;
use crate::servers::{Meter, Servers};
use crate::word::Stand;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was measured of one phase.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Phase {
    pub name: &'static str,
    /// What it waited for came to pass within the bound.
    pub reached: bool,
    /// From the event until every slot was held (or, where nobody waits for slots, how long it lasted).
    pub seconds: f64,
    /// When all servers served again after the event (to a second), if they were gone.
    pub servers_back: Option<f64>,
    /// When each slot that came to be held in this phase was, after the event.
    pub held: Option<Held>,
    pub servers: Servers,
    /// The keepers' requests, by what they asked. Those of killed workers are not in it.
    pub requests: BTreeMap<String, Requests>,
    /// What happened to the keepers' leases.
    pub events: BTreeMap<String, f64>,
    /// How often those who wait in the line were woken.
    pub standbys_woken: f64,
    pub departures: usize,
    pub ids: Ids,
}

#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Held {
    pub slots: usize,
    pub first: f64,
    pub p50: f64,
    pub p99: f64,
    pub last: f64,
}

/// Requests of one kind, as the keepers timed them; percentiles are read off a histogram of factor 2.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Requests {
    pub count: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Carries one phase out: what is measured begins with it.
struct Stage<'a> {
    scene: &'a mut Scene,
    name: &'static str,
    meter: Meter,
    before: BTreeMap<usize, BTreeMap<String, f64>>,
    event: Instant,
}

impl<'a> Stage<'a> {
    fn begin(scene: &'a mut Scene, name: &'static str) -> Stage<'a> {
        let before = scene.numbers();
        let meter = Meter::begin(&scene.servers);
        scene.look().begin_phase();
        Stage { scene, name, meter, before, event: Instant::now() }
    }

    fn until(&mut self, bound: Duration, done: impl Fn(&crate::seen::Seen) -> bool) -> bool {
        self.scene.until(self.name, bound, &mut self.meter, done)
    }

    fn end(self, reached: bool, departures: usize) -> Phase {
        let (held, ids) = {
            let seen = self.scene.look();
            (Held::of(&seen.held_after(self.event)), seen.ids())
        };
        let servers_back = self.meter.back().map(|back| back.saturating_duration_since(self.event).as_secs_f64());
        let lasted = self.event.elapsed().as_secs_f64();
        let servers = self.meter.end(&self.scene.servers);
        let after = self.scene.numbers();
        let all = difference(&self.before, &after, |_| true);
        let standbys = difference(&self.before, &after, |carrier| carrier == STANDBYS);
        let seconds = held.map_or(lasted, |held| held.last);
        let woken = standbys.get("events_total{event=\"woken\"}").copied().unwrap_or_default();
        let (requests, events) = (requests(&all), events(&all));
        Phase {
            name: self.name,
            reached,
            seconds,
            servers_back,
            held,
            servers,
            requests,
            events,
            standbys_woken: woken,
            departures,
            ids,
        }
    }
}

impl Phase {
    /// How often a slot was asked for until somebody had it. Outages are left out: an answer may be lost in them.
    pub fn claims_per_grant(&self) -> f64 {
        let claims = self.requests.get("claim").map_or(0.0, |claim| claim.count);
        match self.events.get("granted") {
            Some(granted) if !self.events.contains_key("session_over") => claims / granted,
            _ => 0.0,
        }
    }
}

impl Held {
    fn of(after: &[Duration]) -> Option<Held> {
        let at = |share: f64| after[((after.len() - 1) as f64 * share).round() as usize].as_secs_f64();
        (!after.is_empty()).then(|| Held {
            slots: after.len(),
            first: at(0.0),
            p50: at(0.5),
            p99: at(0.99),
            last: at(1.0),
        })
    }
}

/// From trees nobody ever held a slot of, until all slots are held.
pub fn claim_all(scene: &mut Scene, plan: &Plan) -> Phase {
    let slots = roster::slots(plan.datacenters);
    let mut stage = Stage::begin(scene, "claim all");
    stage.scene.start_holders();
    let reached = stage.until(plan.bound, |seen| seen.slots_held() == slots);
    stage.end(reached, 0)
}

/// Until all standbys wait in their lines.
pub fn line_up(scene: &mut Scene, plan: &Plan) -> Phase {
    let standbys = roster::roles(STANDBYS, plan.datacenters).len();
    let mut stage = Stage::begin(scene, "line up");
    stage.scene.start_standbys();
    let reached = stage.until(plan.bound, |seen| seen.count_of(Stand::Waiting) == standbys);
    stage.end(reached, 0)
}

/// Nothing happens.
pub fn steady(scene: &mut Scene, plan: &Plan) -> Phase {
    let slots = roster::slots(plan.datacenters);
    let mut stage = Stage::begin(scene, "steady state");
    stage.until(plan.steady, |_| false);
    let reached = stage.scene.look().slots_held() == slots;
    stage.end(reached, 0)
}

/// A third dies at once, until the standbys hold its slots.
pub fn kill_a_third(scene: &mut Scene, plan: &Plan) -> Phase {
    let slots = roster::slots(plan.datacenters);
    let mut stage = Stage::begin(scene, "a third killed");
    let (departures, moment) = stage.scene.kill(KILLED);
    stage.before.remove(&KILLED);
    stage.event = moment;
    let reached = stage.until(plan.bound, |seen| seen.slots_held() == slots);
    stage.end(reached, departures)
}

/// All servers die and come back at once. Until everybody, having noticed, is attached again.
pub fn restart(scene: &mut Scene, plan: &Plan) -> Phase {
    outage(scene, plan, "ensemble restarted", Duration::ZERO)
}

/// All servers are gone for longer than the workers' sessions last.
pub fn long_outage(scene: &mut Scene, plan: &Plan) -> Phase {
    outage(scene, plan, "ensemble gone for longer than the sessions", plan.outage)
}

fn outage(scene: &mut Scene, plan: &Plan, name: &'static str, lasts: Duration) -> Phase {
    let slots = roster::slots(plan.datacenters);
    let mut stage = Stage::begin(scene, name);
    stage.scene.servers.stop_all();
    stage.event = Instant::now();
    let noticed = stage.until(plan.bound, |seen| seen.slots_held() == 0);
    let left = lasts.saturating_sub(stage.event.elapsed());
    stage.until(left, |_| false);
    stage.scene.servers.start_all();
    let reached = stage.until(plan.bound, |seen| seen.slots_held() == slots);
    stage.scene.servers.wait_serving();
    stage.end(noticed && reached, 0)
}

fn difference(
    before: &BTreeMap<usize, BTreeMap<String, f64>>,
    after: &BTreeMap<usize, BTreeMap<String, f64>>,
    of: impl Fn(usize) -> bool,
) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for (carrier, numbers) in after.iter().filter(|(carrier, _)| of(**carrier)) {
        for (name, value) in numbers {
            let earlier = before.get(carrier).and_then(|numbers| numbers.get(name)).copied().unwrap_or_default();
            *sums.entry(name.clone()).or_insert(0.0) += value - earlier;
        }
    }
    sums
}

fn events(numbers: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let event = |name: &str| name.strip_prefix("events_total{event=\"")?.strip_suffix("\"}").map(str::to_owned);
    numbers.iter().filter(|(_, count)| **count > 0.0).filter_map(|(name, count)| Some((event(name)?, *count))).collect()
}

/// Reads the keepers' histograms: `request_seconds_bucket{le="0.001",request="look"}`.
fn requests(numbers: &BTreeMap<String, f64>) -> BTreeMap<String, Requests> {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (name, count) in numbers {
        let Some(labels) = name.strip_prefix("request_seconds_bucket{") else { continue };
        let label = |label: &str| labels.split(label).nth(1)?.split('"').nth(1).map(str::to_owned);
        let (Some(le), Some(request)) = (label("le="), label("request=")) else { continue };
        buckets.entry(request).or_default().push((le.parse().unwrap_or(f64::INFINITY), *count));
    }
    let read = |mut buckets: Vec<(f64, f64)>| {
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let count = buckets.last().map_or(0.0, |(_, count)| *count);
        Requests { count, p50_ms: quantile(&buckets, 0.5) * 1_000.0, p99_ms: quantile(&buckets, 0.99) * 1_000.0 }
    };
    buckets.into_iter().map(|(request, buckets)| (request, read(buckets))).filter(|(_, r)| r.count > 0.0).collect()
}

/// Straight inside a bucket; what lies above the last bound is at it.
fn quantile(cumulative: &[(f64, f64)], share: f64) -> f64 {
    let wanted = cumulative.last().map_or(0.0, |(_, count)| *count) * share;
    let (mut below, mut bound) = (0.0, 0.0);
    for (le, count) in cumulative {
        if *count >= wanted {
            return if le.is_finite() {
                bound + (le - bound) * (wanted - below) / (count - below).max(1e-9)
            } else {
                bound
            };
        }
        (below, bound) = (*count, *le);
    }
    bound
}
