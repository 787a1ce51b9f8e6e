//! Several slots in one process: as many workers to ZooKeeper, one node to everybody else.

use crate::scene::Scene;
use crate::support::{Drawing, Node, Numbers, assert_unique, block_until, meridian};
use serde_json::{Value, json};
use std::time::Instant;

/// The slots a node says it holds.
fn slots(node: &Node) -> Vec<u64> {
    let health = node.get("/api/v1/health").json();
    let slots: Vec<u64> = health["slots"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    assert_eq!(health["worker"].as_u64(), slots.first().copied());
    slots
}

fn wait_slots(node: &Node, count: usize) {
    block_until(format!("{} to hold {count} slots", node.name()), || (slots(node).len() == count).then_some(()));
}

/// Waits until so many slots gave ids to this drawing.
fn wait_drawn_from(drawing: &Drawing, count: usize) {
    block_until(format!("ids of {count} slots"), || (drawing.drawn().slots().len() == count).then_some(()));
}

#[test]
fn nodes_of_four_keep_the_quota_and_a_killed_one_makes_room_for_four() {
    let numbers = Numbers { fixed: 0, dynamic: 8, per_node: 4, ..Numbers::brief() };
    let scene = Scene::new(numbers);
    let nodes = ["first", "second"].map(|name| scene.holder(name));
    for node in &nodes {
        wait_slots(node, 4);
    }
    let third = scene.standby("third");
    let tree = scene.tree();
    assert_eq!(tree.owned().len(), 8);
    assert_eq!(tree.children("/workers").len(), 12, "each worker has a registration");

    let [first, second] = nodes;
    let drawings = [&first, &first, &second, &second, &third].map(Drawing::from);
    for drawing in &drawings[..4] {
        wait_drawn_from(drawing, 4);
    }
    first.kill();
    let killed = Instant::now();
    let mut most = 0;
    block_until("the third to hold four slots", || {
        most = most.max(tree.owned().len());
        (slots(&third).len() == 4).then_some(())
    });
    println!("kill to four slots elsewhere: {:?} (session {} ms)", killed.elapsed(), numbers.session_ms);
    assert_eq!((most.max(tree.owned().len()), tree.owned().len()), (8, 8), "the quota, exactly");
    wait_drawn_from(&drawings[4], 4);
    drawings[2].issued_after(Instant::now());

    let drawn = drawings.map(Drawing::finish);
    let count = assert_unique(&drawn.each_ref());
    println!("{count} ids, none twice");
    for drawn in &drawn[2..4] {
        drawn.assert_none_refused();
        assert_eq!(drawn.slots().len(), 4);
    }
    assert!(drawn[4].refused.iter().all(|refused| refused.code == "no_lease"), "{:?}", drawn[4].refused);
    let live = second.metric("meridian_region_workers_live");
    assert_eq!(live, Some(8.0), "slots are counted, not nodes");
}

#[test]
fn what_the_quota_has_no_room_for_stands_by_while_the_others_serve() {
    let numbers = Numbers { fixed: 0, dynamic: 4, per_node: 4, ..Numbers::default() };
    let scene = Scene::new(numbers);
    let narrow = Numbers { dynamic: 3, per_node: 1, ..numbers }.write(&scene.folder.path().join("narrow.yaml"));
    scene.init_with(&narrow);
    let node = scene.launch("node").with(&["--lame-duck-seconds", "1"]).start();
    node.wait_ready();
    wait_slots(&node, 3);
    let drawing = Drawing::from(&node);
    let tree = scene.tree();
    block_until("all of it to be in the line", || (tree.children("/workers").len() == 4).then_some(()));
    assert_eq!(tree.owned().len(), 3);
    let (connect, manifest) = (scene.zookeeper.connect_string(), scene.manifest.display().to_string());
    let status =
        meridian(&["status", "--manifest", &manifest, "--zookeeper", &connect, "--region", "us-west", "--json"]);
    let rows: Value = serde_json::from_slice(&status.stdout).expect("rows");
    let rows = rows.as_array().expect("rows");
    assert!(rows.iter().all(|row| row["http"] == json!(format!("http://{}", node.http()))), "{rows:?}");
    let live = rows.iter().filter(|row| row["live"] == json!(true)).count();
    let standby: Vec<&Value> = rows.iter().filter(|row| row["slot"].is_null()).map(|row| &row["standby"]).collect();
    assert_eq!((live, standby.len()), (3, 1), "{rows:?}");

    assert_eq!(scene.init()["admission_changed"], true);
    wait_slots(&node, 4);
    wait_drawn_from(&drawing, 4);
    assert_eq!(scene.init_with(&narrow)["admission_changed"], true);
    block_until("one to be given back", || {
        assert!(node.is_ready(), "while the others serve");
        (slots(&node).len() == 3 && tree.owned().len() == 3).then_some(())
    });
    assert_eq!(node.events("giving_back"), 1);
    drawing.issued_after(Instant::now());
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
    let lease = node.ops("/metrics").text();
    let told = |line: &&str| line.starts_with("meridian_lease_remaining_seconds{worker=");
    assert_eq!(lease.lines().filter(told).count(), 3, "one line for each slot that is held:\n{lease}");
}

#[test]
fn a_static_node_owns_consecutive_slots_and_gives_all_of_them_back() {
    let numbers = Numbers { fixed: 4, dynamic: 2, per_node: 2, ..Numbers::default() };
    let scene = Scene::new(numbers);
    let mut node = scene.launch("core").with(&["--static-slot", "1"]).start();
    node.wait_ready();
    wait_slots(&node, 2);
    assert_eq!(slots(&node), [2, 3]);
    let (connect, manifest) = (scene.zookeeper.connect_string(), scene.manifest.display().to_string());
    let beyond =
        ["serve", "--manifest", &manifest, "--zookeeper", &connect, "--region", "us-west", "--static-slot", "2"];
    let beyond = meridian(&beyond);
    let said = String::from_utf8_lossy(&beyond.stderr).into_owned();
    assert_eq!(beyond.status.code(), Some(2), "{said}");
    assert!(said.contains("static nodes 0 to 1, with 2 slots each"), "{said}");

    let drawing = Drawing::from(&node);
    wait_drawn_from(&drawing, 2);
    node.stop();
    assert!(node.wait_exit().success());
    let drawn = drawing.finish();
    let tree = scene.tree();
    assert!(tree.owned().is_empty());
    assert!(tree.children("/workers").is_empty(), "it left the line");
    for slot in [2, 3] {
        let (record, _) = tree.slot(slot);
        let last = drawn.highest_ms(slot).expect("ids of each");
        let ceiling = record["ceiling_ms"].as_u64().expect("a ceiling");
        assert_eq!(record["holder"], Value::Null);
        // Its mark, and no window ahead. (What was issued last may have been on its way when the connection was cut.)
        assert!((last.0 + 1..last.0 + numbers.window_ms / 4).contains(&ceiling), "slot {slot}: {ceiling} for {last}");
    }
    assert_unique(&[&drawn]);
}
