//! One stage: a cluster of its own, clients that draw all the time, and the play of a plan.

use crate::chart::{Helm, Release};
use crate::client::{CLIENTS, Clients, Shared};
use crate::cluster::{Cluster, Ground};
use crate::dice::Dice;
use crate::ledger::{Ledger, Sums};
use crate::pod::Pod;
use crate::schedule::{Action, Plan, Shape, Whose};
use crate::service::{Lag, Service};
use crate::support::tree::Tree;
use crate::support::wait_within;
use meridian::census::Tally;
use serde_json::json;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two counts of the slots that have an owner.
const COUNT_EVERY: Duration = Duration::from_millis(1_000);
/// A holder learns that the quota shrank with its next extension, 0.4 windows from its last; and what that takes.
const SHRUNK_WITHIN: Duration = Duration::from_secs(20);
/// For a stopped process: longer than its session, so that its slot is another's when it wakes.
const STOPPED: Duration = Duration::from_secs(7);
/// How long the old process goes on when it is awake again, or was never stopped.
const BESIDE: Duration = Duration::from_secs(3);

/// For an id, where nothing is killed. A machine that cannot keep up leaves probes unanswered, and then nobody is ready
/// for a moment; anything longer is the rollout's doing.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The lease of the stages that are not production's: a session that a busy machine keeps, and that ends while a test
/// waits.
const SESSION_MS: u64 = 4_000;

#[derive(Debug)]
pub struct Played {
    pub rollouts: Vec<Rollout>,
    pub tally: Tally,
    pub sums: Sums,
    /// What no rollout may do. Empty: all well.
    pub broken: Vec<String>,
    /// Upgrades after which burst nodes stood by in a standby's place; how many in sum; and all upgrades.
    pub swaps: (usize, usize, usize),
}

#[derive(Clone, Debug)]
pub struct Rollout {
    pub action: Action,
    pub took: Duration,
}

/// What all stages share.
#[derive(Clone, Debug)]
pub struct Setting {
    pub helm: Helm,
    /// `host:port` of the ZooKeeper server; each stage has a chroot of its own.
    pub zookeeper: String,
    pub folder: PathBuf,
    pub verbose: bool,
    pub lag: Lag,
    /// See [`Ground`].
    pub overrides: Vec<(&'static str, &'static str)>,
}

pub struct Stage<'a> {
    setting: &'a Setting,
    plan: &'a Plan,
    folder: PathBuf,
    zookeeper: String,
    cluster: Cluster,
    shared: Arc<Shared>,
    history: Vec<(Shape, Release)>,
    dice: Dice,
    tree: Option<Tree>,
    counted: Instant,
    /// Quotas that were in force, and until when they may still show.
    quotas: VecDeque<(usize, Option<Instant>)>,
    broken: Vec<String>,
}

/// What cannot be gone on from: the rest of the plan is not played.
type Stuck = String;

impl<'a> Stage<'a> {
    pub fn play(setting: &'a Setting, plan: &'a Plan) -> Played {
        let folder = setting.folder.join(format!("stage-{}", plan.stage));
        std::fs::create_dir_all(&folder).expect("a folder for the stage");
        let service = Arc::new(Service::new(setting.lag));
        let ledger = Arc::new(Ledger::new(&folder));
        let (stop, struck) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { service: service.clone(), ledger: ledger.clone(), stop, struck });
        let ground = Ground {
            folder: folder.clone(),
            block: 32 + plan.stage as u8,
            gate: plan.gate,
            zone: plan.zone,
            overrides: setting.overrides.clone(),
        };
        let mut stage = Stage {
            setting,
            plan,
            zookeeper: format!("{}/stage-{}", setting.zookeeper, plan.stage),
            folder,
            cluster: Cluster::new(ground, service),
            shared: shared.clone(),
            history: Vec::new(),
            dice: Dice::new(plan.seed),
            tree: None,
            counted: Instant::now(),
            quotas: VecDeque::new(),
            broken: Vec::new(),
        };
        let clients = Clients::start(plan.seed, shared);
        let (mut rollouts, mut swaps) = (Vec::new(), (0, 0, 0));
        let mut clients = Some(clients);
        for action in &plan.actions {
            let begun = Instant::now();
            if *action == Action::Uninstall {
                // They would find nobody, and that would be right.
                clients.take().expect("once").finish();
            }
            let before = ledger.sums();
            let outcome = stage.act(action);
            let after = ledger.sums();
            let took = begun.elapsed();
            let refused = after.refused - before.refused;
            let word = match &outcome {
                _ if refused > 0 => format!("{refused} requests refused"),
                Ok(()) => "fine".to_owned(),
                Err(_) => "stuck".to_owned(),
            };
            // Where the template is overridden, refusals are what is looked for.
            if setting.verbose || word != "fine" && setting.overrides.is_empty() {
                println!("{:6.1} s  stage {:2}: {action}: {word}", took.as_secs_f64(), plan.stage);
            }
            if *action != Action::Uninstall {
                rollouts.push(Rollout { action: action.clone(), took });
            }
            if matches!(action, Action::Upgrade { .. } | Action::Rollback(_))
                && let Some((away, as_promised)) = stage.cluster.burst_away()
            {
                swaps.2 += 1;
                swaps.0 += usize::from(away > 0);
                swaps.1 += away;
                if !as_promised {
                    stage
                        .broken
                        .push(format!("{action}: {away} burst nodes are away, more than their Deployment allows"));
                }
            }
            if let Err(stuck) = outcome {
                stage.broken.push(format!("{action}: {stuck}{}", stage.cluster.describe()));
                break;
            }
        }
        if let Some(clients) = clients {
            clients.finish();
        }
        let mut broken = std::mem::take(&mut stage.broken);
        broken.extend(stage.cluster.objections());
        let (tally, sums) = ledger.finish();
        if tally.duplicates > 0 {
            broken.push(format!("{} ids were given twice: {:?}", tally.duplicates, tally.examples));
        }
        if sums.refused > 0 {
            broken.push(format!("{} requests refused: {}", sums.refused, sums.described.join("; ")));
        }
        if sums.wait_orderly > LONGEST_WAIT {
            broken.push(format!("a client waited {:?} for an id in an orderly step", sums.wait_orderly));
        }
        broken.extend(sums.disorder.iter().take(3).map(|what| format!("ids went back: {what}")));
        if tally.ids == 0 {
            broken.push("no id was drawn".to_owned());
        }
        let broken = broken.into_iter().map(|what| format!("stage {}: {what}", plan.stage)).collect();
        Played { rollouts, tally, sums, broken, swaps }
    }

    fn act(&mut self, action: &Action) -> Result<(), Stuck> {
        self.shared.struck.store(!action.is_orderly(), Ordering::Relaxed);
        match action {
            Action::Install(shape) => {
                self.release(shape);
                self.converge()
            }
            Action::Upgrade { to, blow, .. } => {
                self.release(to);
                if *blow {
                    // Once a replacement is there: in the middle of it.
                    self.wait("the rollout to begin", |cluster| {
                        cluster.nodes().any(|pod| pod.is_deleted()).then_some(())
                    })?;
                    self.kill(Whose::Core)?;
                }
                self.converge()
            }
            Action::Rollback(_) => {
                self.history.pop();
                let (shape, release) = self.history.last().expect("the schedule rolls back only upgrades").clone();
                self.put_in_force(&shape, &release);
                self.converge()
            }
            Action::Scale(replicas) => {
                self.cluster.scale(*replicas);
                self.converge()
            }
            Action::Wave(most) => [*most, 0].into_iter().try_for_each(|replicas| {
                self.cluster.scale(replicas);
                self.converge()
            }),
            Action::Kill(whose) => {
                self.kill(*whose)?;
                self.converge()
            }
            Action::Replace { whose, stopped } => self.replace(*whose, *stopped),
            Action::Evict(pods) => self.evict(*pods),
            Action::Uninstall => self.uninstall(),
        }
    }

    fn release(&mut self, shape: &Shape) {
        let number = self.history.len();
        let manifest = self.folder.join(format!("manifest-{number}.yaml"));
        std::fs::write(&manifest, manifest_text(shape, &self.zookeeper, self.plan.first_slot)).expect("a manifest");
        let values = self.folder.join(format!("values-{number}.json"));
        std::fs::write(&values, values_of(shape).to_string()).expect("a values file");
        let mut files = vec![values];
        if shape.production {
            files.insert(0, Path::new(env!("CARGO_MANIFEST_DIR")).join("helm/meridian/ci/production.yaml"));
        }
        let release = self.setting.helm.render("us-west", &manifest, &files);
        self.put_in_force(shape, &release);
        self.history.push((shape.clone(), release));
    }

    fn put_in_force(&mut self, shape: &Shape, release: &Release) {
        if let Some((_, until)) = self.quotas.back_mut() {
            *until = None;
        }
        self.quotas.push_back((shape.quota, None));
        self.cluster.apply(release);
    }

    fn shape(&self) -> &Shape {
        &self.history.last().expect("something is installed").0
    }

    /// Lets the cluster go on until this is so.
    fn wait<T>(&mut self, what: &str, mut so: impl FnMut(&mut Cluster) -> Option<T>) -> Result<T, Stuck> {
        let bound =
            Duration::from_secs(if self.history.last().is_some_and(|(shape, _)| shape.production) { 300 } else { 150 });
        let reached = wait_within(bound, || {
            self.cluster.tick();
            self.count_owners();
            so(&mut self.cluster)
        });
        reached.ok_or_else(|| format!("waited {} s in vain for {what}", bound.as_secs()))
    }

    fn pause(&mut self, pause: Duration) -> Result<(), Stuck> {
        let until = Instant::now() + pause;
        self.wait("the time to pass", |_| (Instant::now() >= until).then_some(()))
    }

    /// Waits until the release is rolled out.
    fn converge(&mut self) -> Result<(), Stuck> {
        let dynamic = self.shape().dynamic();
        let mut last = String::new();
        let done = self.wait("the release to be rolled out", |cluster| match cluster.unfinished(dynamic) {
            None => Some(()),
            Some(why) => {
                last = why;
                None
            }
        });
        // What was in force before may show for a while: holders find out one by one.
        let until = Instant::now() + SHRUNK_WITHIN;
        let newest = self.quotas.len().saturating_sub(1);
        self.quotas.iter_mut().take(newest).for_each(|(_, shows)| _ = shows.get_or_insert(until));
        done.map_err(|stuck| format!("{stuck}: {last}"))
    }

    /// Never more slots with an owner than the quota in force, or one that was until just now.
    fn count_owners(&mut self) {
        if self.counted.elapsed() < COUNT_EVERY {
            return;
        }
        self.counted = Instant::now();
        self.quotas.retain(|(_, until)| until.is_none_or(|until| Instant::now() < until));
        // Its chroot is there once the init Job has been.
        if self.tree.is_none() && self.cluster.nodes().any(|pod| pod.is_ready()) {
            self.tree = Some(Tree::open(&self.zookeeper));
        }
        let (Some(tree), Some(most)) = (&self.tree, self.quotas.iter().map(|(quota, _)| *quota).max()) else { return };
        let owned = tree.owned();
        if owned.len() > most {
            self.broken.push(format!("slots {owned:?} have an owner, and the quota is {most}"));
        }
    }

    fn pick(&mut self, whose: Whose) -> Option<Arc<Pod>> {
        let of = |component| self.cluster.of(component).into_iter().filter(|pod| pod.serves()).collect::<Vec<_>>();
        let mut pods = match whose {
            Whose::Core => of("core"),
            Whose::Other => [of("burst"), of("standby")].concat(),
        };
        if pods.is_empty() {
            pods = of("core");
        }
        (!pods.is_empty()).then(|| pods.swap_remove(self.dice.index(pods.len())))
    }

    /// Waits until its kubelet has noticed: before, all would look well.
    fn kill(&mut self, whose: Whose) -> Result<(), Stuck> {
        let Some(pod) = self.pick(whose) else { return Ok(()) };
        let starts = pod.starts();
        pod.strike(libc::SIGKILL, "killed");
        self.wait("the killed container to be started again", |_| {
            (pod.starts() > starts || pod.is_gone()).then_some(())
        })
    }

    /// A machine is lost from sight, somebody deletes its pod by force, and the replacement starts while the old process
    /// still runs; later the machine is back, and its kubelet ends what the API no longer has.
    fn replace(&mut self, whose: Whose, stopped: bool) -> Result<(), Stuck> {
        let Some(old) = self.pick(whose) else { return Ok(()) };
        old.cut_off();
        if stopped {
            old.strike(libc::SIGSTOP, "stopped");
        }
        self.cluster.forget(&old);
        let same = |pod: &&Arc<Pod>| pod.owner == old.owner && pod.ordinal == old.ordinal && pod.id > old.id;
        self.wait("the replacement to start", |cluster| cluster.nodes().any(|pod| same(&pod)).then_some(()))?;
        if stopped {
            self.pause(STOPPED)?;
            old.resume();
        }
        // Both run, and clients that are still connected to the old one ask it.
        self.pause(BESIDE)?;
        old.reconnect();
        self.wait("the old process to end", |cluster| (!cluster.has_ghosts()).then_some(()))?;
        self.converge()
    }

    fn evict(&mut self, pods: usize) -> Result<(), Stuck> {
        let release = self.history.last().expect("something is installed").1.clone();
        for _ in 0..pods {
            let whose = if self.dice.percent(50) { Whose::Core } else { Whose::Other };
            let Some(pod) = self.pick(whose) else { continue };
            // A pod that nobody has heard of yet can refuse nobody.
            let service = self.shared.service.clone();
            self.wait("all clients to know the pod", |_| {
                let known = |client| service.endpoints(client).iter().any(|other| Arc::ptr_eq(other, &pod));
                (!pod.serves() || (0..CLIENTS).all(known)).then_some(())
            })?;
            self.wait("the disruption budget to allow it", |cluster| {
                (pod.is_gone() || cluster.may_evict(&release, &pod)).then(|| pod.delete())
            })?;
        }
        self.converge()
    }

    fn uninstall(&mut self) -> Result<(), Stuck> {
        self.cluster.uninstall();
        self.wait("all processes to end", |cluster| cluster.is_empty().then_some(()))?;
        // Who leaves in order leaves no slot behind.
        let owned = self.tree.as_ref().map(Tree::owned).unwrap_or_default();
        if owned.is_empty() { Ok(()) } else { Err(format!("slots {owned:?} still have an owner")) }
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        // After a panic as well: those who look after pods end when their pods do.
        self.cluster.abandon();
    }
}

/// The shipped manifest with this region's numbers.
fn manifest_text(shape: &Shape, zookeeper: &str, first_slot: usize) -> String {
    let mut text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("regions/meridian.yaml"))
        .expect("the manifest");
    let Shape { fixed, quota, surge, .. } = shape;
    let mut changes = vec![("zk-0.us-west:2181,zk-1.us-west:2181,zk-2.us-west:2181".to_owned(), zookeeper.to_owned())];
    if !shape.production {
        changes.extend([
            (
                "{ quota: 8, static: 4, surge: 16 }".to_owned(),
                format!("{{ quota: {quota}, static: {fixed}, surge: {surge} }}"),
            ),
            ("session_ms: 6000".to_owned(), format!("session_ms: {SESSION_MS}")),
            ("static: [0, 15]".to_owned(), format!("static: [{first_slot}, 15]")),
        ]);
    }
    for (from, to) in changes {
        assert_eq!(text.matches(&from).count(), 1, "{from:?} in the shipped manifest");
        text = text.replace(&from, &to);
    }
    text
}

/// As quick as the chart allows: it asks for a lame duck that outlasts the readiness probe and kube-proxy.
fn values_of(shape: &Shape) -> serde_json::Value {
    let resources = json!({ "limits": { "cpu": format!("{}m", shape.milli_cpu), "memory": "512Mi" } });
    let annotations = json!({ "example.com/rollout": shape.annotation.to_string() });
    let mut values =
        json!({ "resources": resources, "podAnnotations": annotations, "log": { "filter": shape.filter } });
    if !shape.production {
        let quick = json!({
            "burst": {
                "autoscaler": shape.autoscaler,
                "replicas": shape.burst,
                "ceiling": "quota",
                "keda": { "serverAddress": "http://prometheus.monitoring:9090" },
            },
            "standby": { "replicas": shape.standbys },
            "shutdown": { "lameDuckSeconds": shape.lame_duck, "drainSeconds": 2 },
            "probes": { "readiness": { "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1 } },
        });
        values.as_object_mut().expect("an object").extend(quick.as_object().expect("an object").clone());
    }
    values
}
