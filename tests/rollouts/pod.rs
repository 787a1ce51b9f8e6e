//! One pod: one real process, kept as a kubelet keeps it. Its environment, folders, probes, grace and restarts are those
//! of the rendered template; its address is a loopback address of its own.

use crate::probe::{self, Verdict};
use crate::support::spawn_for_life;
use crate::template::{Identity, Restart, Template, Volume};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two looks of a kubelet at its container.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The pause before a container is started again: none, then 10 s, doubled each time up to five minutes.
fn back_off(restarts: u32) -> Duration {
    match restarts {
        0 => Duration::ZERO,
        n => (Duration::from_secs(10) * 2_u32.pow((n - 1).min(5))).min(Duration::from_secs(300)),
    }
}

/// The files of all ConfigMaps of a stage, by map: name and text.
pub type ConfigMaps = Arc<Mutex<BTreeMap<String, (String, String)>>>;

#[derive(Debug)]
pub struct Pod {
    /// No two of a stage have the same; rising.
    pub id: u64,
    pub owner: String,
    pub ordinal: usize,
    pub identity: Identity,
    pub template: Template,
    /// What its controller tells it by.
    pub revision: String,
    folder: PathBuf,
    log: PathBuf,
    maps: ConfigMaps,
    life: Mutex<Life>,
}

#[derive(Debug, Default)]
struct Life {
    child: Option<Child>,
    /// Counts containers, so that a probe of one says nothing of the next.
    starts: u32,
    ready: bool,
    /// The last container that was ever ready.
    served: u32,
    /// Deleted in the API.
    deleted: Option<Instant>,
    /// SIGTERM was sent to the present container.
    told: Option<Instant>,
    /// The machine cannot reach the API server: nobody tells this pod anything, and nothing is heard of it.
    cut_off: bool,
    /// A container that ran to its end and is not started again.
    completed: bool,
    gone: bool,
    /// What was done to which of its containers, until a later one is ready; and when that was.
    struck: Option<(&'static str, u32)>,
    healed: Option<Instant>,
    objections: Vec<String>,
}

/// What a pod is made from.
pub struct Birth<'a> {
    pub id: u64,
    pub owner: &'a str,
    pub ordinal: usize,
    pub identity: Identity,
    pub template: Template,
    pub revision: String,
    pub folder: &'a Path,
    pub maps: ConfigMaps,
}

impl Pod {
    /// The pod and those who look after it: they end when it is gone.
    pub fn start(birth: Birth) -> (Arc<Pod>, Vec<JoinHandle<()>>) {
        let Birth { id, owner, ordinal, identity, template, revision, folder, maps } = birth;
        let log = folder.join(format!("{}-{id}.log", identity.name));
        let folder = folder.join(format!("pod-{id}"));
        let (owner, life) = (owner.to_owned(), Mutex::default());
        let pod = Arc::new(Pod { id, owner, ordinal, identity, template, revision, folder, log, maps, life });
        let mut threads = Vec::new();
        let mut spawn = |work: fn(&Pod)| {
            let pod = pod.clone();
            threads.push(std::thread::spawn(move || work(&pod)));
        };
        spawn(keep);
        if pod.template.readiness.is_some() {
            spawn(watch_readiness);
        }
        if pod.template.liveness.is_some() {
            spawn(watch_liveness);
        }
        (pod, threads)
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("nothing panics under it")
    }

    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Where the Service's `targetPort: http` leads.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(self.identity.ip.into(), self.template.port("http"))
    }

    pub fn is_ready(&self) -> bool {
        self.life().ready
    }

    /// How often its container was started.
    pub fn starts(&self) -> u32 {
        self.life().starts
    }

    pub fn is_deleted(&self) -> bool {
        self.life().deleted.is_some()
    }

    /// What makes it an endpoint.
    pub fn serves(&self) -> bool {
        let life = self.life();
        life.ready && life.deleted.is_none()
    }

    pub fn is_gone(&self) -> bool {
        self.life().gone
    }

    pub fn is_completed(&self) -> bool {
        self.life().completed
    }

    /// What a kubelet would never have seen if all were well.
    pub fn objections(&self) -> Vec<String> {
        // A container that ends again and again says the same each time.
        let objections: Vec<String> = self.life().objections.iter().take(2).cloned().collect();
        objections.into_iter().map(|what| format!("{} ({}): {what}", self.name(), self.id)).collect()
    }

    /// Told to stop; it has its grace. Who asks again changes nothing.
    pub fn delete(&self) {
        self.life().deleted.get_or_insert_with(Instant::now);
    }

    /// The node's machine is unreachable from here on.
    pub fn cut_off(&self) {
        let mut life = self.life();
        life.cut_off = true;
        // Nobody reports that it is ready any more.
        life.ready = false;
    }

    pub fn reconnect(&self) {
        self.life().cut_off = false;
    }

    /// Something is done to the process that no server can hide from its clients.
    pub fn strike(&self, signal: libc::c_int, what: &'static str) {
        let mut life = self.life();
        life.struck = Some((what, life.starts));
        signal_to(&life, signal);
    }

    pub fn resume(&self) {
        signal_to(&self.life(), libc::SIGCONT);
    }

    /// Killed and gone, without any grace.
    pub fn abandon(&self) {
        let mut life = self.life();
        life.cut_off = false;
        (life.deleted, life.told) = (Some(Instant::now()), Some(Instant::now()));
        signal_to(&life, libc::SIGKILL);
        if life.child.is_none() {
            life.gone = true;
        }
    }

    /// Why a request that began at this moment and failed may have: something was done to the process.
    pub fn excuse(&self, asked: Instant) -> Option<&'static str> {
        let life = self.life();
        life.struck
            .map(|(what, _)| what)
            .or_else(|| life.healed.filter(|healed| *healed >= asked).map(|_| "struck before"))
    }

    pub fn describe(&self) -> String {
        let life = self.life();
        let since = |at: Option<Instant>, what: &str| {
            at.map(|at| format!(", {what} {:.1} s ago", at.elapsed().as_secs_f64())).unwrap_or_default()
        };
        format!(
            "{} ({}, {}, revision {}, start {}{}{}{})",
            self.name(),
            self.id,
            self.identity.ip,
            self.revision,
            life.starts,
            if life.ready { ", ready" } else { ", not ready" },
            since(life.deleted, "deleted"),
            if life.gone { ", gone" } else { "" },
        )
    }

    /// The last lines it logged.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join("\n")
    }

    /// A kubelet brings files of a changed ConfigMap into running pods within a minute or two; here at once. What was
    /// read before stays read, but a container that starts again reads the new one.
    pub fn sync_files(&self) {
        for (number, mount) in self.template.mounts.iter().enumerate() {
            let Volume::ConfigMap(map) = &mount.volume else { continue };
            let (file, text) = self.maps.lock().expect("nothing panics under it")[map].clone();
            let path = self.volume(number).join(file);
            let next = path.with_extension("next");
            let written = fs::write(&next, text).and_then(|()| fs::rename(&next, &path));
            // Its folder may be on its way out.
            assert!(written.is_ok() || self.is_deleted(), "{}: {written:?}", path.display());
        }
    }

    fn volume(&self, mount: usize) -> PathBuf {
        self.folder.join(format!("volume-{mount}"))
    }

    fn run(&self) -> Child {
        // Paths below a mount are paths below the volume's folder: the one thing that a container's file system would do.
        let placed = |value: String| {
            for (number, mount) in self.template.mounts.iter().enumerate() {
                if let Some(rest) = value.strip_prefix(&mount.path)
                    && (rest.is_empty() || rest.starts_with('/'))
                {
                    return format!("{}{rest}", self.volume(number).display());
                }
            }
            value
        };
        let environment = self.template.environment(&self.identity);
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command
            .args(&self.template.args)
            .env_clear()
            .envs(environment.into_iter().map(|(name, value)| (name, placed(value))))
            .env("TOKIO_WORKER_THREADS", self.template.processors.to_string())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        spawn_for_life(command).expect("the binary starts")
    }
}

fn signal_to(life: &Life, signal: libc::c_int) {
    let Some(child) = &life.child else { return };
    let pid = libc::pid_t::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call; the child has not been waited for, so the id is still its own.
    unsafe { libc::kill(pid, signal) };
}

/// The kubelet's loop for one pod.
fn keep(pod: &Pod) {
    for number in 0..pod.template.mounts.len() {
        fs::create_dir_all(pod.volume(number)).expect("a folder for a volume");
    }
    pod.sync_files();
    let mut start_at = Instant::now();
    loop {
        let mut life = pod.life();
        if let Some(status) = life.child.as_mut().and_then(|child| child.try_wait().expect("a child")) {
            (life.child, life.ready) = (None, false);
            let told = life.told.take();
            if life.deleted.is_some() && told.is_some() {
                // One that is told to stop before it listens for signals just ends, and nobody misses it.
                if !status.success() && life.served == life.starts {
                    life.objections.push(format!("ended with {status} after SIGTERM"));
                }
                life.gone = true;
            } else if pod.template.restart == Restart::OnFailure && status.success() {
                life.completed = true;
            } else {
                if life.struck.is_none() {
                    life.objections.push(format!("ended by itself, with {status}: {}", pod.last_words()));
                }
                start_at = Instant::now() + back_off(life.starts - 1);
            }
        }
        if life.deleted.is_some() && !life.cut_off && life.told.is_none() {
            match life.child {
                Some(_) => {
                    life.told = Some(Instant::now());
                    signal_to(&life, libc::SIGTERM);
                }
                None => life.gone = true,
            }
        }
        if life.gone {
            drop(life);
            break;
        }
        if let Some(told) = life.told
            && told.elapsed() > pod.template.grace
        {
            life.objections.push(format!("still there after its grace of {:?}", pod.template.grace));
            life.told = Some(Instant::now());
            signal_to(&life, libc::SIGKILL);
        }
        if life.child.is_none() && !life.completed && life.deleted.is_none() && Instant::now() >= start_at {
            life.child = Some(pod.run());
            life.starts += 1;
        }
        drop(life);
        std::thread::sleep(LOOK_EVERY);
    }
    // An emptyDir lives as long as its pod.
    let _ = fs::remove_dir_all(&pod.folder);
}

/// Asks again and again, in the probe's period, for as long as the pod is there. `hear` gets each container's verdict.
fn watch(pod: &Pod, probe: &crate::template::Probe, begins: bool, hear: fn(&mut Life, bool)) {
    let (mut verdict, mut of) = (Verdict::begins(begins), 0);
    let mut next = Instant::now();
    loop {
        let (starts, runs) = {
            let life = pod.life();
            if life.gone || life.completed {
                return;
            }
            (life.starts, life.child.is_some() && !life.cut_off)
        };
        if !runs || Instant::now() < next {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        if starts != of {
            (verdict, of) = (Verdict::begins(begins), starts);
        }
        next = Instant::now() + probe.period;
        let good = probe::ask(IpAddr::from(pod.identity.ip), probe);
        let mut life = pod.life();
        if life.starts == of && life.child.is_some() && !life.cut_off {
            hear(&mut life, verdict.hear(good, probe));
        }
    }
}

fn watch_readiness(pod: &Pod) {
    let probe = pod.template.readiness.as_ref().expect("asked for it");
    watch(pod, probe, false, |life, ready| {
        life.ready = ready;
        if ready {
            life.served = life.starts;
        }
        // An answer of the container that is dying may still be on its way.
        if ready && life.struck.is_some_and(|(_, of)| life.starts > of) {
            life.struck = None;
            life.healed = Some(Instant::now());
        }
    });
}

fn watch_liveness(pod: &Pod) {
    let probe = pod.template.liveness.as_ref().expect("asked for it");
    watch(pod, probe, true, |life, alive| {
        if !alive && life.told.is_none() {
            life.objections.push("its liveness probe failed, and it is restarted".to_owned());
            life.told = Some(Instant::now());
            signal_to(life, libc::SIGTERM);
        }
    });
}
