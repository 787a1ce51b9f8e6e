//! Another region goes down whose load comes here: the quota becomes the surge quota, and standbys get slots.

use crate::scene::Scene;
use crate::support::peer::Peer;
use crate::support::{Drawing, Node, Numbers, assert_unique, block_until};
use std::time::{Duration, Instant};

fn up(node: &Node, region: &str) -> Option<f64> {
    node.metric(&format!("meridian_peer_up{{region=\"{region}\"}}"))
}

#[test]
fn a_region_surges_while_one_that_spills_here_is_down() {
    let scene = Scene::new(Numbers { fixed: 0, dynamic: 1, probes: (2, 1), ..Numbers::default() });
    let (us_east, eu_west) = (Peer::start(), Peer::start());
    let peers = [format!("us-east={}", us_east.url()), format!("eu-west={}", eu_west.url())];
    let launch = |name: &str| {
        let peers = ["--peer", &peers[0], "--peer", &peers[1], "--region-hold-seconds", "4"];
        scene.launch(name).with(&peers).with(&["--lame-duck-seconds", "2"]).start()
    };
    let first = launch("first");
    first.wait_ready();
    let standbys = ["second", "third"].map(launch);
    for standby in &standbys {
        standby.wait_unready("standby");
    }
    let nodes = [&first, &standbys[0], &standbys[1]];
    for node in nodes {
        block_until("both peers to be seen", || {
            (up(node, "us-east") == Some(1.0) && up(node, "eu-west") == Some(1.0)).then_some(())
        });
    }
    let drawings = nodes.map(Drawing::from);

    eu_west.set_well(false); // its load goes to us-east
    block_until("eu-west to be down", || (up(&first, "eu-west") == Some(0.0)).then_some(()));
    assert_eq!(first.metric("meridian_region_surge"), Some(0.0));
    us_east.set_well(false); // now its load, and that of eu-west, come here
    block_until("us-east to be down", || nodes.iter().any(|n| up(n, "us-east") == Some(0.0)).then_some(()));
    let verdict = Instant::now();
    for (standby, drawing) in standbys.iter().zip(&drawings[1..]) {
        let issuing = drawing.issued_after(verdict) - verdict;
        println!("{}: issues {issuing:?} after the verdict", standby.name());
        assert!(issuing < Duration::from_secs(3), "{issuing:?}");
    }
    assert!(scene.tree().read("/admission").expect("an admission").0["surge_until"].is_string());
    block_until("the surge to show", || (first.metric("meridian_region_surge") == Some(1.0)).then_some(()));

    us_east.set_well(true);
    block_until("us-east to be up", || nodes.iter().all(|n| up(n, "us-east") == Some(1.0)).then_some(()));
    let well = Instant::now();
    // Load balancers hear of it first, and whoever still comes is served.
    standbys[0].wait_unready("leaving");
    let served = standbys[0].get("/api/v1/id");
    assert_eq!((served.status, served.header("connection")), (200, Some("close")), "{}", served.text());
    for standby in &standbys {
        standby.wait_unready("standby");
    }
    let over = well.elapsed();
    println!("back to the quota {over:?} after us-east was up");
    assert!(first.is_ready(), "who was first stays");
    let drawn = drawings.map(Drawing::finish);
    assert_unique(&drawn.each_ref());
    drawn[0].assert_none_refused();
}

#[test]
fn an_order_over_http_drains_unless_no_other_region_is_well() {
    let scene = Scene::new(Numbers { probes: (2, 1), ..Numbers::default() });
    let apac = Peer::start();
    apac.set_well(false);
    let node = scene.launch("node").with(&["--peer", &format!("apac={}", apac.url())]).start();
    node.wait_ready();
    let refused = node.order("/admin/drain?reason=alone");
    assert_eq!((refused.status, refused.code().as_str()), (409, "last_healthy_region"), "{}", refused.text());
    apac.set_well(true);
    block_until("apac to be up", || (up(&node, "apac") == Some(1.0)).then_some(()));
    let drained = node.order("/admin/drain?reason=a%20new%20kernel&by=eve");
    assert_eq!(drained.status, 200, "{}", drained.text());
    assert_eq!(scene.tree().read("/drain").expect("a drain").0["reason"], "a new kernel");
    block_until("GeoDNS to hear it", || (node.get("/api/v1/region/health").status == 503).then_some(()));
    assert_eq!(node.get("/api/v1/id").status, 200);
    assert_eq!(node.order("/admin/undrain").status, 200);
    assert!(scene.tree().read("/drain").is_none());
}
