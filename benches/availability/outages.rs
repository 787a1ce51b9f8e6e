//! ZooKeeper goes away: all of it for longer than a window, or the one that leads.

use crate::page::{Findings, Promise};
use crate::region::{NUMBERS, Region, leave, ms_of};
use crate::support::{Drawing, Drawn, Node, block_for, block_until};
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A request for 6,000 ids is refused when less than the 1.5 ms it needs are left below the ceiling.
const NEEDED_MS: f64 = 2.0;

struct Held {
    slot: u16,
    ceiling: u64,
}

/// The slot that a node issues from, and its ceiling.
fn held(region: &Region, drawings: &[Drawing]) -> Vec<Held> {
    let tree = region.scene.tree();
    let slot = |drawing: &Drawing| block_until("an id", || drawing.drawn().slots().first().copied());
    drawings.iter().map(slot).map(|slot| Held { slot, ceiling: tree.ceiling(slot) }).collect()
}

/// Waits until each ceiling is a whole window ahead (the first is shorter), and then for another part of the round in
/// which ceilings are raised, 0.4 window long, in each run.
fn settle(region: &Region, nodes: &[Node], drawings: &[Drawing], run: u32) {
    nodes.iter().for_each(|node| node.wait_events("extended", 1));
    wait_risen(region, &held(region, drawings));
    std::thread::sleep(Duration::from_millis(NUMBERS.window_ms * 2 / 5) * (run % 3) / 3);
}

fn wait_risen(region: &Region, held: &[Held]) {
    let tree = region.scene.tree();
    for Held { slot, ceiling } in held {
        block_for(PATIENCE, format!("slot {slot} to be extended"), || (tree.ceiling(*slot) > *ceiling).then_some(()));
    }
}

pub fn zookeeper_down(region: &mut Region, findings: &mut Findings) {
    let nodes = region.holders(2);
    let drawings: Vec<Drawing> = nodes.iter().map(Drawing::from).collect();
    settle(region, &nodes, &drawings, findings.run);
    let held = held(region, &drawings);
    let killed = Instant::now();
    region.scene.zookeeper.stop_all();
    let refused = |drawing: &Drawing| drawing.drawn().refused.first().map(|refused| refused.at);
    for (held, drawing) in held.iter().zip(&drawings) {
        let first = block_for(PATIENCE, "the ceiling", || refused(drawing));
        let rode_out = (first - killed).as_secs_f64();
        findings.add("kill to a node's first refusal", Promise::Aim("18 to 30 s"), " s", rode_out);
        findings.ms("first refusal after the ceiling", Promise::None, ms_of(first) - held.ceiling as f64);
    }
    block_for(PATIENCE, "the end of the window", || {
        (killed.elapsed() > Duration::from_millis(NUMBERS.window_ms + 3_000)).then_some(())
    });

    let started = Instant::now();
    findings.add("ZooKeeper was away", Promise::None, " s", (started - killed).as_secs_f64());
    region.scene.zookeeper.start_all();
    region.scene.zookeeper.wait_serving();
    let serving = started.elapsed().as_secs_f64() * 1_000.0;
    findings.ms("ZooKeeper started to serving", Promise::None, serving);
    let mut again = 0.0f64;
    for drawing in &drawings {
        let issued = block_for(PATIENCE, "ids again", || drawing.drawn().first_after(started));
        again = again.max((issued - started).as_secs_f64() * 1_000.0);
    }
    findings.ms("ZooKeeper started to ids from both nodes", Promise::None, again);
    wait_risen(region, &held);
    let drawn: Vec<Drawn> = drawings.into_iter().map(Drawing::finish).collect();
    let (mut early, mut other) = (0, 0);
    for (held, drawn) in held.iter().zip(&drawn) {
        early += drawn.refused.iter().filter(|r| ms_of(r.at) < held.ceiling as f64 - NEEDED_MS).count();
        other += drawn.refused.iter().filter(|r| r.code != "lease_spent" || r.retry_after.is_none()).count();
    }
    findings.zero("requests refused before the ceiling", early);
    findings.zero("refusals that are not 503 `lease_spent` with Retry-After", other);
    findings.zero("requests lost", drawn.iter().map(|drawn| drawn.lost.len()).sum());
    let moved = drawn.iter().filter(|drawn| drawn.slots().len() != 1).count();
    findings.zero("nodes that lost their slot", moved);
    findings.drawn(drawn);
    leave(nodes);
}

pub fn leader_election(region: &mut Region, findings: &mut Findings) {
    let nodes = region.holders(2);
    let drawings: Vec<Drawing> = nodes.iter().map(Drawing::from).collect();
    settle(region, &nodes, &drawings, findings.run);
    let held = held(region, &drawings);
    let leader = region.scene.zookeeper.leader();
    let killed = Instant::now();
    region.scene.zookeeper.kill(leader);
    region.scene.zookeeper.leader();
    findings.ms("kill to a new leader", Promise::None, killed.elapsed().as_secs_f64() * 1_000.0);
    wait_risen(region, &held);
    findings.add("kill to both ceilings raised", Promise::None, " s", killed.elapsed().as_secs_f64());
    let drawn: Vec<Drawn> = drawings.into_iter().map(Drawing::finish).collect();
    findings.zero("requests refused", drawn.iter().map(|drawn| drawn.refused.len()).sum());
    findings.zero("requests lost", drawn.iter().map(|drawn| drawn.lost.len()).sum());
    let gap = drawn.iter().map(Drawn::longest_gap).max().unwrap_or_default();
    findings.ms("longest time between two answers of a node", Promise::None, gap.as_secs_f64() * 1_000.0);
    findings.drawn(drawn);
    region.scene.zookeeper.restart(leader);
    region.scene.zookeeper.wait_serving();
    leave(nodes);
}
