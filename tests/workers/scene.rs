//! The servers, the carriers and what is seen of them: everything a phase acts on.

use crate::flags::Plan;
use crate::roster::{HOLDERS, STANDBYS};
use crate::seen::Seen;
use crate::support::{Ensemble, Settings, block_for, spawn_for_life, wait_within};
use crate::word::Word;
use crate::{manifest, servers};
use meridian::census::Tally;
use meridian::cli::{CoordinationArgs, ManifestArg};
use meridian::commands::fleet;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For a carrier to add up its numbers.
const NUMBERS_WITHIN: Duration = Duration::from_secs(20);

pub struct Scene {
    carriers: BTreeMap<usize, Carrier>,
    pub servers: Ensemble,
    pub seen: Arc<Mutex<Seen>>,
    manifest: PathBuf,
    _folder: TempDir,
}

struct Carrier {
    child: Child,
    orders: ChildStdin,
    ears: Option<JoinHandle<()>>,
}

impl Scene {
    /// Three servers and a tree for each datacenter; no worker yet.
    pub fn set(plan: &Plan) -> Scene {
        let settings = Settings { servers: 3, heap_mb: plan.heap_mb, ..Settings::default() };
        let servers = Ensemble::start(settings);
        let folder = tempfile::Builder::new().prefix("meridian-workers-").tempdir().expect("a temporary folder");
        let manifest = folder.path().join("meridian.yaml");
        std::fs::write(&manifest, manifest::text(&servers.connect_string(), plan)).expect("the manifest is written");
        let topology =
            fleet::read(&ManifestArg { path: manifest.clone() }).expect("the manifest of this harness holds");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for region in &topology.regions {
            let coordination = fleet::coordination(&CoordinationArgs::default(), region).expect("these servers");
            runtime.block_on(coordination.init(&fleet::blueprint(&topology, region))).expect("a tree is made");
        }
        let seen = Arc::new(Mutex::new(Seen::new(folder.path().to_owned())));
        Scene { carriers: BTreeMap::new(), servers, seen, manifest, _folder: folder }
    }

    pub fn start_holders(&mut self) {
        (0..HOLDERS).for_each(|carrier| self.start(carrier));
    }

    pub fn start_standbys(&mut self) {
        self.start(STANDBYS);
    }

    fn start(&mut self, carrier: usize) {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("--carry").arg(carrier.to_string()).arg("--manifest").arg(&self.manifest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn_for_life(command).expect("this program starts again");
        let (orders, out) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let seen = self.seen.clone();
        let ears = std::thread::spawn(move || {
            let mut out = BufReader::with_capacity(1 << 16, out);
            let mut line = String::new();
            while out.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                // Without its end it was cut off by a kill.
                if let Some(whole) = line.strip_suffix('\n') {
                    let word = Word::read(whole).unwrap_or_else(|| panic!("carrier {carrier} says {whole:?}"));
                    seen.lock().expect("nothing panics under it").hear(carrier, word);
                }
                line.clear();
            }
        });
        self.carriers.insert(carrier, Carrier { child, orders, ears: Some(ears) });
    }

    /// SIGKILL. Everything it had said before is heard first. How many slots it held, and the moment it was killed.
    pub fn kill(&mut self, carrier: usize) -> (usize, Instant) {
        let dead = self.carriers.remove(&carrier).expect("it was started");
        let moment = Instant::now();
        drop(dead);
        (self.look().forget(carrier), moment)
    }

    pub fn look(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics under it")
    }

    /// The sums of the keepers' metrics of each carrier that lives.
    pub fn numbers(&mut self) -> BTreeMap<usize, BTreeMap<String, f64>> {
        self.look().numbers.clear();
        for carrier in self.carriers.values_mut() {
            writeln!(carrier.orders, "numbers").and_then(|()| carrier.orders.flush()).expect("a carrier listens");
        }
        block_for(NUMBERS_WITHIN, "the numbers of every carrier", || {
            let seen = self.look();
            (seen.numbers.len() == self.carriers.len()).then(|| seen.numbers.clone())
        })
    }

    /// Waits until `done`, or for the bound. Meanwhile measures the servers and tells a person how it goes.
    pub fn until(&self, what: &str, bound: Duration, meter: &mut servers::Meter, done: impl Fn(&Seen) -> bool) -> bool {
        let began = Instant::now();
        let mut told = began;
        let reached = wait_within(bound, || {
            if done(&self.look()) {
                return Some(());
            }
            meter.sample(&self.servers);
            if told.elapsed() > Duration::from_secs(1) {
                told = Instant::now();
                let seen = self.look();
                let (held, ids) = (seen.slots_held(), seen.total_ids());
                drop(seen);
                if std::io::stderr().is_terminal() {
                    eprint!(
                        "\r\x1b[Kworkers: {what}: {:.0} s, {held} slots held, {ids} ids",
                        began.elapsed().as_secs_f64()
                    );
                }
            }
            None
        });
        reached.is_some()
    }

    /// Ends everybody, and counts.
    pub fn end(mut self) -> Tally {
        self.carriers.clear();
        let seen = Arc::into_inner(self.seen).expect("all ears are joined");
        seen.into_inner().expect("nothing panics under it").finish()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(ears) = self.ears.take() {
            let _ = ears.join();
        }
    }
}
