//! What GeoDNS hears of a region: enough workers or not, drained or not, back only after the hold.

use crate::scene::Scene;
use crate::support::{Drawing, Node, Numbers, assert_unique, block_until, meridian};
use serde_json::Value;
use std::time::{Duration, Instant};

const HOLD: Duration = Duration::from_secs(4);
const HOLDS: [&str; 2] = ["--region-hold-seconds", "4"];

fn region_health(node: &Node) -> (u16, Value) {
    let reply = node.get("/api/v1/region/health");
    let document: Value = serde_json::from_str(&reply.text()).expect("JSON, also when it is a 503");
    assert_eq!(reply.status == 200, document["status"] == "pass", "{document}");
    (reply.status, document)
}

/// Waits for a verdict and gives its document.
fn wait_for(node: &Node, status: u16) -> Value {
    block_until(format!("{} to say {status} of its region", node.name()), || {
        let (said, document) = region_health(node);
        (said == status).then_some(document)
    })
}

fn failing(document: &Value) -> Vec<&str> {
    let checks = document["checks"].as_object().expect("checks");
    checks.iter().filter(|(_, check)| check["status"] == "fail").map(|(name, _)| name.as_str()).collect()
}

fn holder(scene: &Scene, name: &str) -> Node {
    let node = scene.launch(name).with(&HOLDS).start();
    node.wait_ready();
    node
}

#[test]
fn a_region_that_lost_its_workers_is_out_at_once_and_back_after_the_hold() {
    let scene = Scene::new(Numbers { session_ms: 1_000, dynamic: 4, ..Numbers::default() });
    let nodes = ["one", "two", "three"].map(|name| holder(&scene, name));
    for node in &nodes {
        let document = wait_for(node, 200); // a first deployment waits for nothing
        assert_eq!(document["drained"], false);
    }
    let document = block_until("all three to be seen", || {
        let (_, document) = region_health(&nodes[0]);
        (document["workers"]["live"] == 3).then_some(document)
    });
    assert_eq!((&document["workers"]["needed"], &document["region"]), (&2.into(), &"us-west".into()));

    nodes[1].kill();
    nodes[2].kill();
    let document = wait_for(&nodes[0], 503);
    let out = Instant::now();
    assert_eq!(failing(&document), ["workers"]);
    assert_eq!(nodes[0].get("/api/v1/health").status, 200, "the node itself is well");
    let four = holder(&scene, "four");
    let document = block_until("two to be enough", || {
        let (_, document) = region_health(&nodes[0]);
        (failing(&document) == ["hold"]).then_some(document)
    });
    assert_eq!(document["workers"]["live"], 2);
    wait_for(&nodes[0], 200);
    let back = out.elapsed();
    println!("out for {back:?}, with a hold of {HOLD:?}");
    assert!(back + Duration::from_millis(100) >= HOLD, "{back:?}");

    // All gone, and back before anybody could notice by their sessions: none of the new ones remembers, and still the
    // region does not come back at once, whichever of them is asked.
    for node in [&nodes[0], &four] {
        node.kill();
    }
    let again = ["five", "six", "seven"].map(|name| holder(&scene, name));
    let started = Instant::now();
    for node in &again {
        let (status, document) = region_health(node);
        assert_eq!(status, 503, "{}: {document}", node.name());
    }
    let backs = again.each_ref().map(|node| {
        wait_for(node, 200);
        started.elapsed()
    });
    println!("after all were gone, out for {backs:?}");
    assert!(backs[0] + Duration::from_millis(1_500) >= HOLD, "{backs:?}");
    assert!(backs[2] - backs[0] < Duration::from_millis(1_500), "they agree: {backs:?}");

    // One that joins a region that is well has nothing to wait for.
    let last = holder(&scene, "eight");
    let joined = Instant::now();
    wait_for(&last, 200);
    assert!(joined.elapsed() < HOLD / 2, "{:?}", joined.elapsed());
    let document = region_health(&last).1;
    assert_eq!(document["workers"]["needed"], 2, "as those who were there say: {document}");
}

#[test]
fn a_drained_region_says_503_and_serves_and_comes_back() {
    let scene = Scene::new(Numbers { dynamic: 2, ..Numbers::default() });
    let node = holder(&scene, "node");
    wait_for(&node, 200);
    let drawing = Drawing::from(&node);
    let (manifest, connect) = (scene.manifest.display().to_string(), scene.zookeeper.connect_string());
    let command = |line: &[&str]| {
        let done = meridian(&[line, &["--manifest", &manifest, "--zookeeper", &connect]].concat());
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr),
        )
    };

    let (code, said) = command(&["drain", "us-west", "--reason", "a new kernel"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("us-west is the last healthy region") && said.contains("--force"), "{said}");
    assert_eq!(region_health(&node).0, 200);

    let (code, said) = command(&["drain", "us-west", "--reason", "a new kernel", "--by", "eve", "--force", "--json"]);
    let drained = Instant::now();
    assert_eq!(code, Some(0), "{said}");
    let done: Value = serde_json::from_str(said.trim()).expect("JSON");
    assert_eq!((&done["drained"], &done["drain"]["reason"]), (&true.into(), &"a new kernel".into()));
    let document = wait_for(&node, 503);
    let noticed = drained.elapsed();
    println!("503 {noticed:?} after the drain");
    assert!(noticed < Duration::from_secs(3), "{noticed:?}");
    assert_eq!((failing(&document), &document["drained"]), (vec!["drained"], &true.into()));
    assert_eq!(node.get("/api/v1/health").status, 200, "its load balancer goes on");
    drawing.issued_after(Instant::now());
    let (code, said) = command(&["drain", "us-west", "--reason", "still", "--force"]);
    assert!(code == Some(0) && said.contains("drained already, by eve"), "{said}");

    let (code, said) = command(&["undrain", "us-west"]);
    let undrained = Instant::now();
    assert!(code == Some(0) && said.contains("no longer drained"), "{said}");
    wait_for(&node, 200);
    let out = undrained.elapsed();
    println!("out for {out:?} after it");
    // The last bad look was up to a second before.
    assert!(out + Duration::from_millis(1_100) >= HOLD, "{out:?}");
    let (code, said) = command(&["undrain", "us-west"]);
    assert_eq!((code, said.as_str()), (Some(0), "us-west was not drained\n"));
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
}

#[test]
fn without_zookeeper_a_region_is_well_until_its_ceilings_are_near() {
    let mut scene = Scene::new(Numbers { session_ms: 2_000, window_ms: 10_000, ..Numbers::default() });
    let node = holder(&scene, "node");
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    drop(tree);
    wait_for(&node, 200);
    let drawing = Drawing::from(&node);
    scene.zookeeper.stop_all();
    let stopped = Instant::now();
    let document = wait_for(&node, 503);
    let out = stopped.elapsed();
    assert_eq!(failing(&document), ["ceiling_ms"], "{document}");
    let issued = drawing.issued_after(Instant::now());
    let refused = block_until("the ceiling", || drawing.drawn().refused.first().cloned());
    println!("503 {out:?} after ZooKeeper went, ids for another {:?}", refused.at - issued);
    assert!(out > Duration::from_secs(8), "{out:?}");
    drawing.finish();
}
