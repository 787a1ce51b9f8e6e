//! One region for all scenarios: three real ZooKeeper servers, a tree, and nodes with the manifest's own numbers.

use crate::support::scene::Scene;
use crate::support::{EPOCH_UNIX_MS, Launch, Node, Numbers, Settings};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The manifest's own, and a quota of four dynamic slots.
pub const NUMBERS: Numbers = Numbers {
    probes: (10, 2),
    session_ms: 6_000,
    window_ms: 30_000,
    first_window_ms: 5_000,
    fixed: 1,
    dynamic: 4,
    per_node: 1,
    fleet: "global",
    epoch: "2024-01-01T00:00:00Z",
};

pub const TICK_MS: u32 = 500;

pub struct Region {
    pub scene: Scene,
    nodes: usize,
}

impl Region {
    /// Ready when the slots of the new tree, which begin a window ahead of the clock, are of the present.
    pub fn start() -> Region {
        let settings = Settings { servers: 3, tick_ms: TICK_MS, min_session_ms: 2 * TICK_MS, ..Settings::default() };
        let scene = Scene::on(NUMBERS, settings);
        scene.init();
        let present = Instant::now() + Duration::from_millis(NUMBERS.window_ms + 500);
        std::thread::sleep(present.saturating_duration_since(Instant::now()));
        Region { scene, nodes: 0 }
    }

    /// A node with a name of its own.
    pub fn launch(&mut self) -> Launch {
        self.nodes += 1;
        self.scene.launch(&format!("node-{}", self.nodes))
    }

    pub fn holders(&mut self, count: usize) -> Vec<Node> {
        (0..count)
            .map(|_| {
                let node = self.launch().start();
                node.wait_ready();
                node
            })
            .collect()
    }

    pub fn standby(&mut self) -> Node {
        let node = self.launch().start();
        node.wait_unready("standby");
        node
    }
}

/// In order, so that no slot stays cold for the next scenario.
pub fn leave(nodes: Vec<Node>) {
    for node in &nodes {
        node.stop();
    }
    for mut node in nodes {
        assert!(node.wait_exit().success());
    }
}

/// The true time on the scale of ceilings.
pub fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_secs_f64() * 1_000.0 - EPOCH_UNIX_MS as f64
}

/// When a past moment was, on the same scale.
pub fn ms_of(moment: Instant) -> f64 {
    now_ms() - moment.elapsed().as_secs_f64() * 1_000.0
}
