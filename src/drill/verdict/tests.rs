//! Made-up records and what becomes of them.

use super::*;
use crate::drill::Profile;
use crate::drill::record::{Breath, Call, Change, Draw, End, Look, Record, Shares};
use crate::drill::script::{Act, Blow};
use crate::drill::timing;

const EAST: usize = 0;
const WEST: usize = 1;

fn topology() -> (Topology, Limits) {
    let text = include_str!("../../../regions/meridian.yaml");
    let text = timing::set(text, "shipped", Profile::Fast).unwrap();
    let topology = Topology::parse("shipped", text.as_bytes()).unwrap();
    let limits = Limits::of(&topology, timing::hold(Profile::Fast));
    (topology, limits)
}

fn act(scene: Scene, fault: Option<Fault>) -> Act {
    Act { title: "east".to_owned(), scene, fault, down: vec!["us-east".to_owned()], steps: Vec::new() }
}

fn played(scene: Scene, fault: Option<Fault>) -> Played {
    Played {
        act: act(scene, fault),
        down: vec![EAST],
        begun_s: 9.0,
        broke_s: Some(10.0),
        mended_s: Some(30.0),
        ended_s: 60.0,
        shares: None,
    }
}

/// us-east is lost at 10 s, answered until 16 s, missed by its clients until 18 s, whole at 30 s, back at 45 s.
fn loss() -> Record {
    let (topology, _) = topology();
    let mut record = Record::new(topology.regions.iter().map(|region| region.name.clone()).collect());
    for tenth in 0..600u32 {
        let at_s = f64::from(tenth) / 10.0;
        let lost = (16.0..45.0).contains(&at_s);
        record.look(Look { at_s, network: EAST, answered: Some(if lost { WEST } else { EAST }) });
        let (to, end) = match at_s {
            10.0..18.0 => (EAST, End::Dropped),
            18.0..47.0 => (WEST, End::Served(WEST)),
            _ => (EAST, End::Served(EAST)),
        };
        record.call(Call { at_s, client: EAST, to: Some(to), end }, at_s);
        let took_s = if tenth == 101 { 0.3 } else { 0.0 };
        record.draw(Draw { at_s, client: EAST, took_s, served: true });
    }
    let mut event = |at_s, change| drop(record.event(at_s, change));
    event(15.0, Change::Peer { by: WEST, peer: EAST, up: false });
    event(15.2, Change::Surge { region: WEST, on: true });
    event(15.9, Change::Standby { region: WEST, worker: 20 });
    event(33.0, Change::Ready { region: EAST, nodes: 1 });
    event(43.0, Change::Verdict { region: EAST, well: true });
    record
}

fn broken(promises: &[Promise]) -> Vec<&str> {
    promises.iter().filter(|promise| !promise.held).map(|promise| promise.promise.as_str()).collect()
}

#[track_caller]
fn close(seen: Option<f64>, expected: f64) {
    assert!(seen.is_some_and(|seen| (seen - expected).abs() < 1e-6), "{seen:?} is not {expected}");
}

#[test]
fn a_loss_in_numbers() {
    let (topology, limits) = topology();
    let mut played = played(Scene::Loss, Some(Fault::Crash));
    let east = [(WEST, 2_500), (2, 1_500)].into();
    played.shares = Some(Shares { answers: [(EAST, east), (WEST, [(WEST, 50)].into())].into() });
    let numbers = numbers(&loss(), &played, &topology, &limits);
    close(numbers.detect_s, 5.0);
    close(numbers.switch_s, 6.0);
    close(numbers.outage_dns_s, 8.0);
    close(numbers.outage_list_s, 0.3);
    close(numbers.empty_s, 7.9);
    close(numbers.surge_s.get("us-west").copied(), 0.2);
    close(numbers.standby_s.get("us-west").copied(), 0.9);
    close(numbers.failback_s, 15.0);
    close(numbers.homecoming_s, 16.9);
    close(numbers.held_s, 10.0);
    close(numbers.readmit_s, 2.0);
    assert_eq!((numbers.failed_requests, numbers.failed_requests_dns), (0, 80));
    close(numbers.load_factor.get("us-west").copied(), 2.0);
    close(numbers.load_factor.get("eu-west").copied(), 1.75);
    close(numbers.load_factor.get("apac").copied(), 1.0);
    let promises = promises(&numbers, &played, &limits, &topology);
    assert_eq!(broken(&promises), [""; 0]);
}

#[test]
fn a_promise_is_broken_by_what_is_late_and_by_what_never_came() {
    let (topology, limits) = topology();
    let played = played(Scene::Loss, Some(Fault::Unavailable));
    let mut record = loss();
    record.looks.retain(|look| look.at_s < 16.0);
    record.draw(Draw { at_s: 12.0, client: WEST, took_s: 2.0, served: false });
    let numbers = numbers(&record, &played, &topology, &limits);
    assert_eq!(numbers.switch_s, None);
    let promises = promises(&numbers, &played, &limits, &topology);
    let expected = [
        "failed requests of clients with a list",
        "authoritative switch",
        "shares off the manifest's rule",
        "longest draw with a list",
        "load of the busiest region",
        "failed requests behind the cache",
    ];
    assert_eq!(broken(&promises), expected);
}

#[test]
fn a_region_that_comes_back_twice_within_a_hold_is_found() {
    let (topology, limits) = topology();
    let check = |times: &[(f64, bool)], expected: Option<f64>| {
        let mut record = loss();
        record.events.retain(|event| !matches!(event.change, Change::Verdict { .. }));
        for (at_s, well) in times {
            record.event(*at_s, Change::Verdict { region: EAST, well: *well });
        }
        record.event(10.0, Change::Broke { region: EAST, blow: Blow::Refusing });
        let numbers = numbers(&record, &played(Scene::Flap, None), &topology, &limits);
        assert_eq!(numbers.well_apart_s, expected, "{times:?}");
    };
    check(&[(11.0, false), (21.0, true)], None);
    check(&[(11.0, false), (21.0, true), (22.0, false), (32.0, true)], Some(11.0));
    check(&[(11.0, false), (21.0, true), (22.0, false), (25.0, true)], Some(4.0));
    // Nodes that disagree for a moment.
    check(&[(11.0, false), (21.0, true), (21.2, false), (21.4, true), (22.0, false), (32.0, true)], Some(11.0));
}

#[test]
fn a_machine_that_cannot_keep_up_is_told_from_a_fleet_that_cannot() {
    let (topology, limits) = topology();
    let disturbed = |late_s: f64, runnable: u32| {
        let mut record = loss();
        record.processors = 2;
        let breath = |at: u32| Breath { at_s: f64::from(at) / 20.0, late_s: 0.0, runnable: 3 };
        record.breaths = (0..1_200).map(breath).collect();
        record.breaths[400].late_s = late_s;
        record.breaths[600..720].iter_mut().for_each(|breath| breath.runnable = runnable);
        numbers(&record, &played(Scene::Loss, None), &topology, &limits).disturbed()
    };
    assert_eq!(disturbed(0.3, 10), None);
    assert_eq!(disturbed(0.9, 10).as_deref(), Some("the machine stood still for 0.9 s"));
    assert_eq!(disturbed(0.0, 30).as_deref(), Some("15 threads wanted each of the machine's processors"));
}
