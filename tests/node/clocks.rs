//! Wrong clocks: libfaketime lies to one process about the wall clock, while ZooKeeper's and everybody else's is right.

use crate::scene::Scene;
use crate::support::{Drawing, EPOCH_UNIX_MS, Numbers, WallClock, assert_unique, block_until};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const HOUR_S: f64 = 3_600.0;

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64 - EPOCH_UNIX_MS
}

#[test]
fn a_clock_that_steps_back_refuses_nobody() {
    let scene = Scene::new(Numbers::default());
    let clock = WallClock::new(scene.folder.path(), 0.0);
    let node = clock.of(scene.launch("node")).start();
    node.wait_ready();
    let drawings = [Drawing::from(&node), Drawing::from(&node)];
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    let ceiling = scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    clock.set(-5.0);
    block_until("the step to be seen", || node.log().contains("went back").then_some(()));
    // V stands until it is back where it was; extends go on all the while, and after it.
    let risen = scene.wait_ceiling_above(&tree, slot, ceiling);
    clock.set(0.0);
    block_until("the clock to be credible", || node.log().contains("credible again").then_some(()));
    scene.wait_ceiling_above(&tree, slot, risen);
    let drawn = drawings.map(Drawing::finish);
    drawn.iter().for_each(|drawn| drawn.assert_none_refused());
    println!("{} ids, longest gap {:?}", assert_unique(&drawn.each_ref()), drawn[0].longest_gap());
}

#[test]
fn an_hour_ahead_for_a_while_burns_nothing() {
    let numbers = Numbers::default();
    let scene = Scene::new(numbers);
    let clock = WallClock::new(scene.folder.path(), 0.0);
    let node = clock.of(scene.launch("node")).start();
    node.wait_ready();
    let drawings = [Drawing::from(&node), Drawing::from(&node)];
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    clock.set(HOUR_S);
    block_until("the jump to be seen", || node.log().contains("jumped ahead").then_some(()));
    let mut ceiling = tree.ceiling(slot);
    for _ in 0..2 {
        ceiling = scene.wait_ceiling_above(&tree, slot, ceiling);
    }
    clock.set(0.0);
    block_until("the clock to be credible", || node.log().contains("credible again").then_some(()));
    ceiling = scene.wait_ceiling_above(&tree, slot, ceiling);
    let ahead = ceiling as i64 - now_ms() as i64;
    let drawn = drawings.map(Drawing::finish);
    drawn.iter().for_each(|drawn| drawn.assert_none_refused());
    println!("the ceiling is {ahead} ms ahead; {} ids", assert_unique(&drawn.each_ref()));
    // A new slot begins a window ahead of the clock, and its holder may stay that far ahead.
    assert!(ahead <= 2 * numbers.window_ms as i64 + 1_000, "the slot is burnt: its ceiling is {ahead} ms ahead");
    assert_eq!(drawn[0].slots(), [slot]);
    assert_eq!(node.events("granted"), 1);
}

#[test]
fn a_node_that_starts_an_hour_ahead_waits_for_its_clock_and_burns_nothing() {
    let numbers = Numbers::default();
    let scene = Scene::new(numbers);
    let clock = WallClock::new(scene.folder.path(), HOUR_S);
    let node = clock.of(scene.launch("node")).start();
    println!("readyz: {}", node.wait_unready("ineligible"));
    let tree = scene.tree();
    let eligible = || {
        let [worker] = &tree.children("/workers")[..] else { return None };
        tree.read(&format!("/workers/{worker}"))?.0["eligible"].as_bool()
    };
    block_until("the registration to say so", || (eligible() == Some(false)).then_some(()));
    assert_eq!(tree.owned(), [0u16; 0]);

    // It does not stand in anybody's way.
    let sane = scene.holder("sane");
    drop(sane);
    clock.set(0.0);
    let right = Instant::now();
    node.wait_ready();
    println!("holds a slot {:?} after its clock is right", right.elapsed());
    assert!(right.elapsed() < Duration::from_secs(10));
    let drawing = Drawing::from(&node);
    let slot = tree.owned()[0];
    let ceiling = scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    let ahead = ceiling as i64 - now_ms() as i64;
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    println!("the ceiling is {ahead} ms ahead; {} ids", assert_unique(&[&drawn]));
    assert!(ahead <= 2 * numbers.window_ms as i64 + 1_000, "the slot is burnt: its ceiling is {ahead} ms ahead");
    block_until("the registration to say so", || (eligible() == Some(true)).then_some(()));
}

#[test]
fn a_node_that_starts_an_hour_behind_waits_for_its_clock() {
    let scene = Scene::new(Numbers::default());
    let clock = WallClock::new(scene.folder.path(), -HOUR_S);
    let node = clock.of(scene.launch("node")).start();
    node.wait_unready("ineligible");
    assert!(scene.tree().owned().is_empty());
    clock.set(0.0);
    let right = Instant::now();
    node.wait_ready();
    println!("holds a slot {:?} after its clock is right", right.elapsed());
    let tree = scene.tree();
    let slot = tree.owned()[0];
    let ceiling = scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    assert!(ceiling >= now_ms(), "its time is the ensemble's: {ceiling}");
    assert_eq!(node.get("/api/v1/id").status, 200);
}
