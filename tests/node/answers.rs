//! Writes that were applied while their answers were lost: what stands in the tree under one's own guid is one's own.

use crate::scene::Scene;
use crate::support::{Drawing, Numbers, Proxy, Way, assert_unique, block_until};
use serde_json::Value;
use std::time::Instant;

/// What a claim has in it and nothing else that a node without a slot sends.
const CLAIM: &str = "\"worker\":\"";
const EXTEND: &str = "\"ceiling_ms\":";
const RELEASE: &str = "\"holder\":null";

fn wait_swallowed(proxy: &Proxy, before: usize) {
    block_until("an answer to be lost", || (proxy.swallowed(Way::Answers) > before).then_some(()));
}

#[test]
fn a_claim_whose_answer_is_lost_is_adopted() {
    let scene = Scene::new(Numbers::default());
    let proxy = Proxy::to(scene.zookeeper.address(0));
    proxy.cut_answer_to(CLAIM);
    let node = scene.launch_through("claimer", &proxy.connect_string()).start();
    wait_swallowed(&proxy, 0);
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("the claim was applied") };
    assert!(!node.is_ready(), "it cannot know yet");
    proxy.heal();
    node.wait_ready();
    let drawing = Drawing::from(&node);
    scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
    assert_eq!((drawn.slots(), tree.owned(), tree.fence(slot)), (vec![slot], vec![slot], 1), "not claimed twice");
}

#[test]
fn extends_whose_answers_are_lost_are_adopted() {
    let scene = Scene::new(Numbers { window_ms: 8_000, ..Numbers::default() });
    let proxy = Proxy::to(scene.zookeeper.address(0));
    let node = scene.launch_through("extender", &proxy.connect_string()).start();
    node.wait_ready();
    let drawing = Drawing::from(&node);
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    for _ in 0..3 {
        let (swallowed, troubles) = (proxy.swallowed(Way::Answers), node.events("trouble"));
        proxy.cut_answer_to(EXTEND);
        wait_swallowed(&proxy, swallowed);
        let applied = tree.slot(slot).1.version;
        proxy.heal();
        node.wait_events("trouble", troubles + 1);
        block_until("an extend on top of the lost one", || (tree.slot(slot).1.version > applied).then_some(()));
    }
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
    assert_eq!((drawn.slots(), tree.fence(slot), node.events("fenced")), (vec![slot], 1, 0));
}

#[test]
fn a_release_whose_answer_is_lost_is_not_sent_twice() {
    let scene = Scene::new(Numbers::default());
    let proxy = Proxy::to(scene.zookeeper.address(0));
    let mut node = scene.launch_through("leaver", &proxy.connect_string()).start();
    node.wait_ready();
    let successor = scene.standby("successor");
    let drawings = [Drawing::from(&node), Drawing::from(&successor)];
    drawings[0].issued_after(Instant::now());
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    proxy.cut_answer_to(RELEASE);
    node.stop();
    wait_swallowed(&proxy, 0);
    let (record, stat) = tree.slot(slot);
    proxy.heal();
    let healed = Instant::now();
    assert!(node.wait_exit().success());
    println!("left {:?} after the wire was well again", healed.elapsed());
    drawings[1].issued_after(healed);
    let drawn = drawings.map(Drawing::finish);
    assert_unique(&drawn.each_ref());
    assert_eq!(record["holder"], Value::Null);
    assert_eq!(record["ceiling_ms"].as_u64(), drawn[0].highest_ms(slot).map(|last| last.0 + 1), "the exact mark");
    assert_eq!(tree.slot(slot).1.version, stat.version, "the release stands, and nothing was written after it");
    assert_eq!(tree.children("/workers").len(), 1);
}
