//! Leaving behind a load balancer: the lame duck, and a whole region replaced node by node.

use crate::scene::Scene;
use crate::support::{Balancer, Caller, Drawing, Numbers, assert_unique, block_until};
use std::time::{Duration, Instant};

#[test]
fn a_lame_duck_is_unready_and_serves_until_its_time_is_over() {
    const LAME_DUCK: Duration = Duration::from_millis(1_500);
    let scene = Scene::new(Numbers::default());
    let mut node = scene.launch("node").with(&["--lame-duck-seconds", "1.5"]).start();
    node.wait_ready();
    let standby = scene.standby("standby");
    let tree = scene.tree();
    let mut pooled = Caller::new(node.http());
    let before = pooled.get("/api/v1/id").unwrap();
    assert_eq!((before.status, before.header("connection")), (200, None));
    let drawings = [Drawing::from(&node), Drawing::from(&standby)];
    drawings[0].issued_after(Instant::now());
    let told = Instant::now();
    node.stop();

    let reason = node.wait_unready("stopping");
    let unready = told.elapsed();
    let health = node.get("/api/v1/health");
    let lease = &health.json()["checks"]["lease"];
    assert_eq!(
        (health.status, lease["observed"].as_str(), lease["status"].as_str()),
        (503, Some("stopping"), Some("fail"))
    );
    let during = pooled.get("/api/v1/id").unwrap();
    assert_eq!((during.status, during.header("connection")), (200, Some("close")), "served, and shown the way out");
    assert_eq!(node.get("/api/v1/id").status, 200, "a new connection is served as well");
    drawings[0].issued_after(Instant::now());
    assert_eq!((tree.owned().len(), standby.is_ready()), (1, false), "it keeps its slot meanwhile");
    // All of that was in time, or it shows nothing.
    assert!(told.elapsed() < LAME_DUCK, "{:?}", told.elapsed());

    let next = drawings[1].issued_after(told);
    assert!(node.wait_exit().success());
    let drawn = drawings.map(Drawing::finish);
    let last = drawn[0].last_answer().unwrap();
    println!(
        "readyz: {reason} after {unready:?}; the last id {:?} after SIGTERM, the standby's first {:?} after that",
        last - told,
        next - last,
    );
    assert!(last - told > LAME_DUCK / 2 && next - told >= LAME_DUCK);
    let early = |at: &Instant| *at < told + LAME_DUCK;
    assert!(!drawn[0].refused.iter().any(|refused| early(&refused.at)), "{:?}", drawn[0].refused);
    assert!(!drawn[0].lost.iter().any(|(asked, _)| early(asked)), "{:?}", drawn[0].lost);
    assert_unique(&drawn.each_ref());
    assert_eq!(tree.children("/workers").len(), 1, "it left the line");
}

#[test]
fn a_person_does_not_wait_for_the_lame_duck_and_a_second_signal_never_waits() {
    let scene = Scene::new(Numbers { dynamic: 2, ..Numbers::default() });
    let long = |name| {
        let node = scene.launch(name).with(&["--lame-duck-seconds", "600"]).start();
        node.wait_ready();
        node
    };
    let (mut interrupted, mut terminated) = (long("interrupted"), long("terminated"));
    interrupted.signal(libc::SIGINT);
    assert!(interrupted.wait_exit().success());
    terminated.stop();
    terminated.wait_unready("stopping");
    terminated.stop();
    assert_eq!(terminated.wait_exit().code(), Some(130));
}

#[test]
fn a_region_rolled_under_load_refuses_nobody() {
    const HOLDERS: usize = 2;
    let scene = Scene::new(Numbers { dynamic: HOLDERS as u16, ..Numbers::default() });
    let start = |name: &str| scene.launch(name).with(&["--lame-duck-seconds", "0.8"]).start();
    let balancer = Balancer::start(2);
    let mut nodes = Vec::new();
    for name in ["one", "two"] {
        let node = start(name);
        node.wait_ready();
        balancer.add(&node);
        nodes.push(node);
    }
    let standby = start("three");
    standby.wait_unready("standby");
    balancer.add(&standby);
    nodes.push(standby);
    block_until("the balancer to see them", || (balancer.ready() == HOLDERS).then_some(()));
    for turn in 0..nodes.len() {
        let mut old = nodes.remove(0);
        old.stop();
        assert!(old.wait_exit().success());
        block_until("all slots to be served", || (balancer.ready() == HOLDERS).then_some(()));
        let new = start(&format!("new-{turn}"));
        new.wait_unready("standby");
        balancer.add(&new);
        nodes.push(new);
    }
    let drawn = balancer.finish();
    drawn.iter().for_each(|drawn| drawn.assert_none_refused());
    let count = assert_unique(&drawn.iter().collect::<Vec<_>>());
    let gap = drawn.iter().map(|drawn| drawn.longest_gap()).max().unwrap();
    println!(
        "{count} ids from {:?}, none refused, none lost, none twice; longest gap of a thread {gap:?}",
        drawn[0].slots()
    );
    assert_eq!(scene.tree().owned().len(), HOLDERS);
}
