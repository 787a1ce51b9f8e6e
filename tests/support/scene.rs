//! An ensemble, a manifest and a tree: what every test of whole nodes starts from.

use super::tree::Tree;
use super::{Ensemble, Launch, Node, Numbers, Settings, block_until, meridian};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex};
use tempfile::TempDir;

/// Ensembles at once: more would only be slow together.
const ENSEMBLES: usize = 3;

static FREE: Mutex<usize> = Mutex::new(ENSEMBLES);
static FREED: Condvar = Condvar::new();

/// One of the places for ensembles.
struct Place;

impl Place {
    fn take() -> Place {
        let free = FREE.lock().expect("nothing panics under it");
        *FREED.wait_while(free, |free| *free == 0).expect("nothing panics under it") -= 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *FREE.lock().expect("nothing panics under it") += 1;
        FREED.notify_one();
    }
}

pub struct Scene {
    pub zookeeper: Ensemble,
    pub manifest: PathBuf,
    pub folder: TempDir,
    _place: Place,
}

impl Scene {
    /// One server, and a tree on it.
    pub fn new(numbers: Numbers) -> Scene {
        let scene = Scene::bare(numbers, 1);
        scene.init();
        scene
    }

    /// Servers without a tree.
    pub fn bare(numbers: Numbers, servers: usize) -> Scene {
        Scene::on(numbers, Settings { servers, ..Settings::default() })
    }

    pub fn on(numbers: Numbers, settings: Settings) -> Scene {
        let place = Place::take();
        let folder = tempfile::Builder::new().prefix("meridian-node-").tempdir().expect("a temporary folder");
        let manifest = numbers.write(&folder.path().join("fleet.yaml"));
        let zookeeper = Ensemble::start(settings);
        Scene { zookeeper, manifest, folder, _place: place }
    }

    pub fn init(&self) -> serde_json::Value {
        self.init_with(&self.manifest)
    }

    pub fn init_with(&self, manifest: &std::path::Path) -> serde_json::Value {
        let connect = self.zookeeper.connect_string();
        let manifest = manifest.display().to_string();
        let done =
            meridian(&["init", "--manifest", &manifest, "--region", "us-west", "--zookeeper", &connect, "--json"]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("a line of JSON")
    }

    pub fn launch(&self, name: &str) -> Launch {
        self.launch_through(name, &self.zookeeper.connect_string())
    }

    /// A node that reaches the ensemble by another way.
    pub fn launch_through(&self, name: &str, zookeeper: &str) -> Launch {
        Launch::new(name, self.folder.path(), &self.manifest, zookeeper)
    }

    /// A node that holds a slot.
    pub fn holder(&self, name: &str) -> Node {
        let node = self.launch(name).start();
        node.wait_ready();
        node
    }

    /// A node beyond the quota.
    pub fn standby(&self, name: &str) -> Node {
        let node = self.launch(name).start();
        node.wait_unready("standby");
        node
    }

    pub fn tree(&self) -> Tree {
        Tree::open(&self.zookeeper.connect_string())
    }

    /// Waits for the ceiling of a slot to rise above this.
    pub fn wait_ceiling_above(&self, tree: &Tree, slot: u16, ceiling: u64) -> u64 {
        block_until(format!("the ceiling of slot {slot} above {ceiling}"), || {
            let now = tree.ceiling(slot);
            (now > ceiling).then_some(now)
        })
    }
}
