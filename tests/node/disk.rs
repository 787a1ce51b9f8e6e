//! The disk of the second line of defence fails: issuing goes on, and somebody hears of it.

use crate::scene::Scene;
use crate::support::{Drawing, FullDisk, Numbers, assert_unique, block_until};

#[test]
fn a_full_disk_raises_the_alarm_and_refuses_nobody() {
    let scene = Scene::new(Numbers::default());
    let state = scene.folder.path().join("state");
    let node = scene.launch("node").with(&["--state-dir", &state.display().to_string()]).start();
    node.wait_ready();
    let drawing = Drawing::from(&node);
    let tree = scene.tree();
    let [slot] = tree.owned()[..] else { panic!("one owner") };
    let failing = |expected: f64| {
        block_until(format!("meridian_high_water_failing {expected}"), || {
            (node.metric("meridian_high_water_failing") == Some(expected)).then_some(())
        });
    };
    assert_eq!(node.events("high_water_failed"), 0);

    let disk = FullDisk::under(&state, &tree.genesis(), slot, node.pid());
    failing(1.0);
    assert!(node.events("high_water_failed") >= 1);
    assert!(node.log().contains("No space left on device"), "the log says why");
    assert!(node.is_ready(), "an alarm, not a reason to stop");
    scene.wait_ceiling_above(&tree, slot, tree.ceiling(slot));
    drop(disk);
    failing(0.0);
    let (remembered, ceiling) = (FullDisk::remembered(&state, slot), tree.ceiling(slot));
    println!("remembered {remembered} of {ceiling}");
    let drawn = drawing.finish();
    drawn.assert_none_refused();
    assert_unique(&[&drawn]);
    assert_eq!(drawn.slots(), [slot]);
}
