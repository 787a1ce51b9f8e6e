//! ZooKeeper goes away: a leader, all of it, or it was never there. Issuing goes on as long as the grant reaches.

use crate::scene::Scene;
use crate::support::{Drawing, Numbers, assert_unique, block_until};
use std::time::{Duration, Instant};

#[test]
fn a_killed_leader_costs_no_id() {
    let numbers = Numbers { session_ms: 4_000, window_ms: 12_000, dynamic: 2, ..Numbers::default() };
    let mut scene = Scene::bare(numbers, 3);
    scene.init();
    let nodes = [scene.holder("one"), scene.holder("two")];
    let drawings = nodes.each_ref().map(Drawing::from);
    let tree = scene.tree();
    let slots = tree.owned();
    assert_eq!(slots.len(), 2);

    let leader = scene.zookeeper.leader();
    let before: Vec<u64> = slots.iter().map(|slot| tree.ceiling(*slot)).collect();
    scene.zookeeper.kill(leader);
    let killed = Instant::now();
    drop(tree);
    scene.zookeeper.leader();
    let elected = killed.elapsed();
    let tree = scene.tree();
    for (slot, before) in slots.iter().zip(before) {
        let risen = scene.wait_ceiling_above(&tree, *slot, before);
        println!("slot {slot}: extended {:?} after the kill (new leader after {elected:?})", killed.elapsed());
        scene.wait_ceiling_above(&tree, *slot, risen);
    }
    let drawn = drawings.map(Drawing::finish);
    for (drawn, slot) in drawn.iter().zip(&slots) {
        drawn.assert_none_refused();
        assert_eq!(drawn.slots(), [*slot]);
    }
    let count = assert_unique(&drawn.each_ref());
    println!(
        "{count} ids, none refused, none twice; longest gap {:?}",
        drawn[0].longest_gap().max(drawn[1].longest_gap())
    );
}

#[test]
fn without_zookeeper_a_node_issues_to_its_ceiling_and_goes_on_when_it_is_back() {
    let mut scene = Scene::new(Numbers::brief());
    let node = scene.holder("node");
    let drawing = Drawing::from(&node);
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    // Past the first, shorter window.
    let ceiling = scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    drop(tree);
    scene.zookeeper.stop_all();
    let stopped = Instant::now();
    let refused = block_until("the ceiling", || drawing.drawn().refused.first().cloned());
    let rode_out = stopped.elapsed();
    assert_eq!((refused.status, refused.code.as_str(), refused.retry_after), (503, "lease_spent", Some(1)));
    let highest = drawing.drawn().highest_ms(slot).unwrap().0;
    assert!(highest + 100 >= ceiling, "issued to {highest}, granted to {ceiling}");
    let reason = node.wait_unready("spent");
    assert_eq!((node.ops("/livez").status, node.get("/api/v1/health").status), (200, 503));

    scene.zookeeper.start_all();
    scene.zookeeper.wait_serving();
    let back = Instant::now();
    let again = drawing.issued_after(back) - back;
    node.wait_ready();
    let drawn = drawing.finish();
    println!("rode out {rode_out:?} of an outage; readyz: {reason}; ids again {again:?} after ZooKeeper");
    assert!(drawn.refused.iter().all(|refused| refused.code == "lease_spent"), "{:?}", drawn.refused);
    assert!(drawn.lost.is_empty(), "{:?}", drawn.lost);
    assert_eq!(drawn.slots(), [slot], "the same slot");
    assert_unique(&[&drawn]);
    let tree = scene.tree();
    assert_eq!((tree.fence(slot), tree.owned()), (1, vec![slot]), "never claimed again");
    scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    assert_eq!(node.events("granted"), 1);
}

#[test]
fn an_absent_zookeeper_is_waited_for() {
    let mut scene = Scene::new(Numbers::default());
    scene.zookeeper.stop_all();
    let node = scene.launch("patient").start();
    let mut leaver = scene.launch("leaver").start();
    let reason = block_until("a reason", || {
        let reply = node.ops("/readyz");
        (reply.status == 503 && !reply.text().ends_with("waiting for the coordination service")).then(|| reply.text())
    });
    println!("readyz: {reason}");
    assert!(reason.contains(&scene.zookeeper.connect_string()), "the reason names who does not answer: {reason}");
    assert_eq!((node.ops("/livez").status, node.get("/api/v1/id").code().as_str()), (200, "no_lease"));

    leaver.stop();
    let told = Instant::now();
    assert!(leaver.wait_exit().success());
    println!("a node without ZooKeeper leaves {:?} after SIGTERM", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(7), "{:?}", told.elapsed());

    scene.zookeeper.start_all();
    scene.zookeeper.wait_serving();
    let there = Instant::now();
    node.wait_ready();
    println!("ready {:?} after ZooKeeper", there.elapsed());
    assert_eq!(node.get("/api/v1/id").status, 200);
}

#[test]
fn a_session_lost_for_good_is_replaced_and_the_slot_kept() {
    let mut scene = Scene::new(Numbers { session_ms: 1_000, window_ms: 12_000, ..Numbers::default() });
    let node = scene.holder("node");
    let drawing = Drawing::from(&node);
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    let ceiling = scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    let session = tree.owner(slot).unwrap().1.ephemeral_owner;
    scene.zookeeper.pause(0);
    let paused = Instant::now();
    node.wait_events("session_over", 1);
    println!("the session was given up after {:?}", paused.elapsed());
    scene.zookeeper.resume(0);
    node.wait_events("reattached", 1);
    let risen = scene.wait_ceiling_above(&tree, slot, ceiling);
    scene.wait_ceiling_above(&tree, slot, risen);
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
    assert_eq!((drawn.slots(), tree.owned(), tree.fence(slot)), (vec![slot], vec![slot], 1));
    let (owner, stat) = tree.owner(slot).unwrap();
    assert_ne!(stat.ephemeral_owner, session);
    assert_eq!(tree.children("/workers"), [owner["worker"].as_str().unwrap()], "the new registration alone");
    scene.zookeeper.stop_all();
}
