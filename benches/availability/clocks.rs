//! The wall clock of a node is wrong for a while, while ZooKeeper's is right.

use crate::paced::Paced;
use crate::page::{Findings, Promise};
use crate::region::{NUMBERS, Region, leave, now_ms};
use crate::support::{Drawing, Drawn, Node, WallClock, block_for, block_until};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// How long the clock is wrong.
const WRONG_FOR: Duration = Duration::from_secs(10);

/// A ceiling is a window above the clock as the node reads it when it writes.
const READING_MS: f64 = 100.0;

fn start(region: &mut Region, clock: &WallClock) -> Node {
    let node = clock.of(region.launch()).start();
    node.wait_ready();
    node
}

/// Waits for the clock to be seen wrong, and later to be credible again.
fn wait_logged(node: &Node, what: &str) {
    block_for(PATIENCE, format!("{what:?} in the log"), || node.log().contains(what).then_some(()));
}

pub fn hour_ahead(region: &mut Region, findings: &mut Findings) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let clock = WallClock::new(folder.path(), 0.0);
    let node = start(region, &clock);
    let drawings = [Drawing::from(&node), Drawing::from(&node)];
    let slot = block_until("an id", || drawings[0].drawn().slots().first().copied());
    let tree = region.scene.tree();
    let mut highest = f64::MIN;
    let mut look = || {
        let ceiling = tree.ceiling(slot);
        highest = highest.max(ceiling as f64 - now_ms());
        ceiling
    };
    let start = look();
    block_for(PATIENCE, "the whole window", || (look() > start).then_some(()));
    clock.set(3_600.0);
    let stepped = Instant::now();
    wait_logged(&node, "jumped ahead");
    block_for(PATIENCE, "the clock to be wrong for long enough", || {
        look();
        (stepped.elapsed() > WRONG_FOR).then_some(())
    });
    clock.set(0.0);
    wait_logged(&node, "credible again");
    // The next extend is the first that could write a burnt ceiling down for good.
    let before = look();
    block_for(PATIENCE, "an extend", || (look() > before).then_some(()));
    let drawn = drawings.map(Drawing::finish);
    let most = Promise::Most(NUMBERS.window_ms as f64 + READING_MS);
    findings.ms("highest ceiling in the tree, ahead of the true time", most, highest);
    let id = drawn.iter().filter_map(|drawn| drawn.highest_ms(slot)).max().expect("ids");
    findings.ms("last id's time, ahead of the true time", Promise::Most(READING_MS), id.0 as f64 - now_ms());
    findings.zero("requests refused", drawn.iter().map(|drawn| drawn.refused.len()).sum());
    findings.zero("requests lost", drawn.iter().map(|drawn| drawn.lost.len()).sum());
    let gap = drawn.iter().map(Drawn::longest_gap).max().unwrap_or_default();
    findings.ms("longest time between two answers of a client", Promise::None, gap.as_secs_f64() * 1_000.0);
    findings.drawn(drawn);
    leave(vec![node]);
}

/// How many requests the node made wait for the clock, and how many of them for longer than a millisecond.
fn waits(node: &Node) -> (f64, f64) {
    let metric = |name| node.metric(name).unwrap_or_default();
    let all = metric("meridian_overflow_wait_seconds_count");
    (all, all - metric("meridian_overflow_wait_seconds_bucket{le=\"0.001\"}"))
}

pub fn step_back(region: &mut Region, findings: &mut Findings) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let clock = WallClock::new(folder.path(), 0.0);
    let node = start(region, &clock);
    let paced = Paced::from(&node);
    let began = Instant::now();
    std::thread::sleep(WRONG_FOR);
    let (all, long) = waits(&node);
    let stepped = Instant::now();
    clock.set(-5.0);
    wait_logged(&node, "went back");
    std::thread::sleep(WRONG_FOR.saturating_sub(stepped.elapsed()));
    let ended = Instant::now();
    clock.set(0.0);
    wait_logged(&node, "credible again");
    let (all_after, long_after) = waits(&node);
    let drawn = paced.finish();
    findings.zero("stalls: requests the node made wait longer than 1 ms", (long_after - long) as usize);
    findings.add("requests the node made wait at all", Promise::None, "", all_after - all);
    findings.zero("requests refused", drawn.refused);
    findings.zero("requests lost", drawn.lost);
    for (from, to, names) in [
        (began, stepped, ["before: p50", "before: p99", "before: p99.9", "before: max", "before: ids/s"]),
        (stepped, ended, ["during: p50", "during: p99", "during: p99.9", "during: max", "during: ids/s"]),
    ] {
        let (count, latencies) = drawn.between(from, to, &[0.5, 0.99, 0.999, 1.0]);
        for (name, latency) in names.into_iter().zip(latencies) {
            findings.ms(name, Promise::None, latency);
        }
        let rate = count as f64 * 10.0 / (to - from).as_secs_f64();
        findings.add(names[4], Promise::Aim("10,000"), "", rate.round());
    }
    let mut ids = Drawn::named("paced");
    ids.ranges = drawn.ranges;
    findings.drawn([ids]);
    leave(vec![node]);
}
