//! More is asked than a worker has: what it has is given, the rest is told when to come back, and nobody calls it ill.

use crate::scene::Scene;
use crate::support::flood::{Flood, Flooded};
use crate::support::{Node, Numbers, block_until};
use std::time::Duration;

/// Ids a second that a worker of the format has.
const WORKER: f64 = 4_096_000.0;

fn node(scene: &Scene) -> Node {
    let node = scene.holder("node");
    block_until("the region to be seen", || (node.get("/api/v1/region/health").status == 200).then_some(()));
    node
}

fn assert_in_order(flooded: &Flooded) {
    assert!(flooded.wrong.is_empty(), "{:?}", &flooded.wrong[..flooded.wrong.len().min(3)]);
    assert!(flooded.unwell.is_empty(), "{} of {}: {:?}", flooded.unwell.len(), flooded.looks, flooded.unwell.first());
    assert!(flooded.shed > 0, "nothing was too much: {} served", flooded.served);
    assert!(flooded.served > 0 && flooded.looks >= 10);
}

#[test]
fn three_times_what_the_format_has_is_shed_and_no_illness() {
    let scene = Scene::new(Numbers::default());
    let node = node(&scene);
    let count = 20_000;
    let flood =
        Flood { connections: 400, rate: Some(3.0 * WORKER / f64::from(count)), count, lasts: Duration::from_secs(3) };
    let flooded = flood.pour(&node);
    assert_in_order(&flooded);
    println!("{:.2} of the format, {} served, {} shed", flooded.goodput() / WORKER, flooded.served, flooded.shed);
    assert!(flooded.goodput() > WORKER * 0.5, "{}", flooded.goodput());
}

#[test]
fn more_at_once_than_may_be_is_shed_and_no_illness() {
    let scene = Scene::new(Numbers::default());
    let manifest = std::fs::read_to_string(&scene.manifest).expect("just written");
    let narrow = scene.folder.path().join("narrow.yaml");
    std::fs::write(&narrow, manifest.replace("in_flight: 1024", "in_flight: 2")).expect("a manifest");
    let node = scene.launch("node").manifest(&narrow).start();
    block_until("the region to be seen", || (node.get("/api/v1/region/health").status == 200).then_some(()));
    let flood = Flood { connections: 24, rate: None, count: 100_000, lasts: Duration::from_secs(3) };
    let flooded = flood.pour(&node);
    assert_in_order(&flooded);
    println!("{} served, {} shed", flooded.served, flooded.shed);
}
