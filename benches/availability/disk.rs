//! The disk of the second line of defence is full.

use crate::page::{Findings, Promise};
use crate::region::{Region, leave};
use crate::support::{Drawing, FullDisk, Node, block_until};
use std::time::Instant;

pub fn full(region: &mut Region, findings: &mut Findings) {
    let state = tempfile::TempDir::new().expect("a folder");
    let node = region.launch().with(&["--state-dir", &state.path().display().to_string()]).start();
    node.wait_ready();
    let drawing = Drawing::from(&node);
    let slot = block_until("an id", || drawing.drawn().slots().first().copied());
    assert_eq!(node.events("high_water_failed"), 0);
    let disk = FullDisk::under(state.path(), &region.scene.tree().genesis(), slot, node.pid());
    let filled = Instant::now();
    let alarm = wait_failing(&node, 1.0) - filled;
    findings.add(
        "disk full to `meridian_high_water_failing` 1",
        Promise::Aim("the next extend"),
        " s",
        alarm.as_secs_f64(),
    );
    let logged = node.log().contains("No space left on device");
    findings.zero("runs without an alarm that says why", usize::from(node.events("high_water_failed") == 0 || !logged));
    // It goes on for two more marks.
    node.wait_events("high_water_failed", 2);
    findings.zero("runs in which the node turned unready", usize::from(!node.is_ready()));
    drop(disk);
    let freed = Instant::now();
    let well = wait_failing(&node, 0.0) - freed;
    findings.add(
        "room again to `meridian_high_water_failing` 0",
        Promise::Aim("the next extend"),
        " s",
        well.as_secs_f64(),
    );
    let drawn = drawing.finish();
    findings.zero("requests refused", drawn.refused.len());
    findings.zero("requests lost", drawn.lost.len());
    findings.drawn([drawn]);
    leave(vec![node]);
}

fn wait_failing(node: &Node, expected: f64) -> Instant {
    block_until(format!("meridian_high_water_failing {expected}"), || {
        (node.metric("meridian_high_water_failing") == Some(expected)).then(Instant::now)
    })
}
