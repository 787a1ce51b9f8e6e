//! A run: the fleet, the faults at their moments, and what was seen.

use crate::drawer::Received;
use crate::fleet;
use crate::ledger::Ledger;
use crate::schedule::{EXTRAS, Fault, PLACES, Place, QUOTA, Step, TWINS};
use crate::seat::Seat;
use crate::support::tree::Tree;
use crate::support::{Ensemble, Settings, meridian, wait_within};
use meridian::census::Tally;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the clock, the census and the terminal.
const TICK: Duration = Duration::from_millis(20);

/// After the last fault, until all slots of the quota are issued from again.
const RECOVERY: Duration = Duration::from_secs(60);

/// The first nodes come up and claim.
const START: Duration = Duration::from_secs(30);

/// What ends a run before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Nothing.
    End,
    /// A duplicate: that is what a broken variant is run for.
    Found,
}

/// A fault as it was played.
pub struct Struck {
    pub step: Step,
    pub begun: Duration,
    pub ended: Option<Duration>,
    /// Who was struck, and whether ids came from there when it began.
    pub places: Vec<(Place, bool)>,
}

pub struct Played {
    pub lasted: Duration,
    pub struck: Vec<Struck>,
    pub received: Vec<Received>,
    pub tally: Tally,
    pub repeats: Vec<String>,
    /// From the end of the last fault until all slots of the quota were issued from; `None`: in vain.
    pub recovered: Option<Duration>,
    /// How often nodes said so in their logs.
    pub said: BTreeMap<&'static str, usize>,
    pub interrupted: bool,
}

pub struct Play<'a> {
    pub steps: &'a [Step],
    pub length: Duration,
    pub flaw: Option<&'a str>,
    pub until: Until,
    pub tell_faults: bool,
    pub keep: Option<&'a Path>,
}

/// Set by SIGINT and SIGTERM: the run ends early, and cleans up.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

impl Play<'_> {
    pub fn run(&self) -> Played {
        let folder = tempfile::Builder::new().prefix("meridian-torture-").tempdir().expect("a temporary folder");
        let mut scene = Scene::new(folder.path(), self.flaw);
        let mut struck: Vec<Struck> = Vec::new();
        let mut moments = Moments::of(self.steps);
        let mut told = Instant::now();
        let mut found = false;
        while let Some((due, what)) = moments.next() {
            loop {
                let now = scene.tick(&struck);
                found |= self.until == Until::Found && !scene.ledger.repeats().is_empty();
                if found || INTERRUPTED.load(Ordering::Relaxed) || now >= scene.zero + due {
                    break;
                }
                self.progress(&scene, struck.len(), &mut told);
                std::thread::sleep(TICK.min(scene.zero + due - now));
            }
            if found || INTERRUPTED.load(Ordering::Relaxed) {
                break;
            }
            match what {
                Moment::Begin(step) => {
                    let step = self.steps[step];
                    if self.tell_faults {
                        println!("{step}");
                    }
                    struck.push(scene.begin(step));
                }
                Moment::Middle(step) => scene.middle(&mut struck[step]),
                Moment::End(step) => scene.end(&mut struck[step]),
            }
        }
        while self.until == Until::End
            && !INTERRUPTED.load(Ordering::Relaxed)
            && scene.tick(&struck) < scene.zero + self.length
        {
            self.progress(&scene, struck.len(), &mut told);
            std::thread::sleep(TICK);
        }
        let recovered = match self.until {
            Until::End => scene.recover(),
            Until::Found => None,
        };
        self.finish(scene, struck, recovered)
    }

    fn finish(&self, mut scene: Scene, struck: Vec<Struck>, recovered: Option<Duration>) -> Played {
        scene.seats.iter_mut().for_each(Seat::heal);
        scene.seats.iter_mut().for_each(Seat::stop_drawing);
        let lasted = scene.started.elapsed();
        let said = scene.said();
        if let Some(keep) = self.keep {
            scene.keep_logs(keep);
        }
        let received = scene.seats.iter().map(|seat| seat.received.lock().expect("no panic").clone()).collect();
        let Scene { seats, ledger, ensemble, .. } = scene;
        drop((seats, ensemble));
        let ledger = Arc::into_inner(ledger).expect("all drawers are gone");
        let (tally, repeats) = ledger.finish();
        let interrupted = INTERRUPTED.load(Ordering::Relaxed);
        Played { lasted, struck, received, tally, repeats, recovered, said, interrupted }
    }

    fn progress(&self, scene: &Scene, faults: usize, told: &mut Instant) {
        let terminal = std::io::stderr().is_terminal();
        let every = Duration::from_secs(if terminal { 1 } else { 60 });
        if told.elapsed() < every || (self.tell_faults && !terminal) {
            return;
        }
        *told = Instant::now();
        let (now, length) = (scene.started.elapsed().as_secs(), self.length.as_secs());
        let ids = scene.ledger.ids() as f64 / 1e6;
        let duplicates = scene.ledger.repeats().len();
        let (start, end) = if terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        eprint!("{start}{now} of {length} s, {faults} faults, {ids:.1} million ids, {duplicates} duplicates{end}");
        let _ = std::io::stderr().flush();
    }
}

/// A step begins, comes to its middle, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    End(usize),
    Middle(usize),
    Begin(usize),
}

struct Moments(std::vec::IntoIter<(Duration, Moment)>);

impl Moments {
    fn of(steps: &[Step]) -> Moments {
        let mut moments: Vec<(Duration, Moment)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            moments.push((step.at, Moment::Begin(number)));
            moments.push((step.at + step.lasts / 2, Moment::Middle(number)));
            moments.push((step.at + step.lasts, Moment::End(number)));
        }
        moments.sort_unstable();
        Moments(moments.into_iter())
    }

    fn next(&mut self) -> Option<(Duration, Moment)> {
        self.0.next()
    }
}

struct Scene {
    seats: Vec<Seat>,
    ensemble: Ensemble,
    ledger: Arc<Ledger>,
    started: Instant,
    /// When all was well for the first time: the schedule counts from here.
    zero: Duration,
    folder: PathBuf,
    genesis: String,
    /// Servers that were killed or stopped, and are not well yet.
    down: Vec<usize>,
    paused: Option<usize>,
}

impl Scene {
    fn new(folder: &Path, flaw: Option<&str>) -> Scene {
        let ensemble = Ensemble::start(Settings { servers: 3, ..Settings::default() });
        let manifest = fleet::manifest(folder, QUOTA);
        init(&manifest, &ensemble).unwrap_or_else(|why| panic!("init: {why}"));
        let (tree, _) = Tree::open(&ensemble.connect_string()).read("").expect("a tree, just made");
        let genesis = tree["genesis"].as_str().expect("its genesis").to_owned();
        let ledger = Arc::new(Ledger::new(folder));
        let mut seats: Vec<Seat> =
            (0..PLACES.len()).map(|place| Seat::new(Place(place), folder, &manifest, &ensemble, flaw)).collect();
        let started = Instant::now();
        for (place, seat) in seats.iter_mut().enumerate() {
            seat.draw(&ledger, started);
            if !EXTRAS.contains(&Place(place)) {
                seat.start();
            }
        }
        let folder = folder.to_owned();
        let zero = Duration::ZERO;
        let (down, paused) = (Vec::new(), None);
        let mut scene = Scene { seats, ensemble, ledger, started, zero, folder, genesis, down, paused };
        scene.await_quota(START).unwrap_or_else(|| panic!("the fleet does not issue {START:?} after its start"));
        scene.zero = scene.started.elapsed();
        scene
    }

    /// Waits until ids come from as many places as the quota allows.
    fn await_quota(&self, bound: Duration) -> Option<Duration> {
        let from = Instant::now();
        wait_within(bound, || {
            let now = self.started.elapsed();
            let serving = self.seats.iter().filter(|seat| seat.serves(now)).count();
            (serving >= usize::from(QUOTA)).then(|| from.elapsed())
        })
    }

    fn begin(&mut self, step: Step) -> Struck {
        let begun = self.started.elapsed();
        let places: Vec<(Place, bool)> =
            step.fault.places().into_iter().map(|place| (place, self.seats[place.0].serves(begun))).collect();
        let mut struck = Struck { step, begun, ended: None, places };
        let seats = &mut self.seats;
        match step.fault {
            Fault::Pause(place) => seats[place.0].pause(),
            Fault::PauseTwo(places) => places.iter().for_each(|place| seats[place.0].pause()),
            Fault::Kill(place) => seats[place.0].kill(),
            Fault::Restart(place) => seats[place.0].stop(),
            Fault::Cut(place, way) => seats[place.0].cut(way),
            Fault::Slow(place, delay) => seats[place.0].slow(delay),
            Fault::Clock(place, off) => seats[place.0].set_clock(off),
            Fault::Drift(..) => {}
            Fault::StartWithClock(place, off) => {
                seats[place.0].kill();
                seats[place.0].set_clock(off);
                seats[place.0].start();
            }
            Fault::FullDisk(place) => {
                seats[place.0].fill_disk(&self.genesis, &fleet::slots());
            }
            Fault::PauseTwin | Fault::CutTwin(_) | Fault::BothTwins => {
                // Whoever issues; the first if nobody does.
                let issuing = struck.places.iter().copied().find(|(_, serves)| *serves).unwrap_or(struck.places[0]);
                struck.places = vec![issuing];
                let seat = &seats[issuing.0.0];
                match step.fault {
                    Fault::CutTwin(way) => seat.cut(way),
                    _ => seat.pause(),
                }
            }
            Fault::Quota(quota) => self.set_quota(quota),
            Fault::Scale => EXTRAS.iter().for_each(|extra| seats[extra.0].start()),
            Fault::SlowEnsemble(delay) => seats.iter().for_each(|seat| seat.slow(delay)),
            Fault::LeaderKill => self.kill_servers(1),
            Fault::LeaderPause => {
                let leader = self.ensemble.leader();
                self.ensemble.pause(leader);
                self.paused = Some(leader);
            }
            Fault::QuorumLoss => self.kill_servers(2),
            Fault::EnsembleRestart => self.kill_servers(3),
        }
        struck
    }

    fn middle(&mut self, struck: &mut Struck) {
        if struck.step.fault != Fault::BothTwins {
            return;
        }
        let (first, _) = struck.places[0];
        let other = if first == TWINS[0] { TWINS[1] } else { TWINS[0] };
        let serves = self.seats[other.0].serves(self.started.elapsed());
        self.seats[other.0].pause();
        struck.places.push((other, serves));
    }

    fn end(&mut self, struck: &mut Struck) {
        let seats = &mut self.seats;
        let places: Vec<Place> = struck.places.iter().map(|(place, _)| *place).collect();
        match struck.step.fault {
            Fault::Pause(_) | Fault::PauseTwo(_) | Fault::PauseTwin | Fault::BothTwins => {
                places.iter().for_each(|place| seats[place.0].resume());
            }
            Fault::Kill(place) => seats[place.0].start(),
            Fault::Restart(place) => {
                // As a kubelet does when the grace is over, if it still runs.
                seats[place.0].kill();
                seats[place.0].start();
            }
            Fault::Cut(..) | Fault::CutTwin(_) => places.iter().for_each(|place| seats[place.0].heal_wires()),
            Fault::Slow(place, _) => seats[place.0].slow(Duration::ZERO),
            Fault::Clock(place, _) | Fault::Drift(place, _) | Fault::StartWithClock(place, _) => {
                seats[place.0].set_clock(0.0);
            }
            Fault::FullDisk(place) => seats[place.0].free_disk(),
            Fault::Quota(_) => self.set_quota(QUOTA),
            // In order: SIGTERM. The next time they are started, or the run is over, they are gone.
            Fault::Scale => EXTRAS.iter().for_each(|extra| seats[extra.0].stop()),
            Fault::SlowEnsemble(_) => seats.iter().for_each(|seat| seat.slow(Duration::ZERO)),
            Fault::LeaderPause => self.resume_leader(),
            Fault::LeaderKill | Fault::QuorumLoss | Fault::EnsembleRestart => self.restart_servers(),
        }
        struck.ended = Some(self.started.elapsed());
    }

    /// Moves the clocks that drift, and forgets the processes that have left.
    fn tick(&mut self, struck: &[Struck]) -> Duration {
        let now = self.started.elapsed();
        for struck in struck.iter().filter(|struck| struck.ended.is_none()) {
            if let Fault::Drift(place, share) = struck.step.fault {
                self.seats[place.0].set_clock((now - struck.begun).as_secs_f64() * share);
            }
        }
        self.seats.iter_mut().for_each(Seat::reap);
        now
    }

    fn set_quota(&self, quota: u16) {
        let manifest = fleet::manifest(&self.folder, quota);
        // With nodes that are slow to give back this can take its time; a lost race is made good in the end.
        if let Err(why) = init(&manifest, &self.ensemble) {
            eprintln!("init with quota {quota}: {why}");
        }
    }

    /// The leader first.
    fn kill_servers(&mut self, count: usize) {
        let leader = self.ensemble.leader();
        let servers = self.ensemble.len();
        self.down = (0..count).map(|next| (leader + next) % servers).collect();
        self.down.iter().for_each(|server| self.ensemble.kill(*server));
    }

    fn restart_servers(&mut self) {
        for server in std::mem::take(&mut self.down) {
            self.ensemble.restart(server);
        }
    }

    fn resume_leader(&mut self) {
        if let Some(server) = self.paused.take() {
            self.ensemble.resume(server);
        }
    }

    /// Everything is well again: how long until every slot of the quota is issued from?
    fn recover(&mut self) -> Option<Duration> {
        self.resume_leader();
        self.restart_servers();
        for (place, seat) in self.seats.iter_mut().enumerate() {
            seat.heal();
            if !seat.is_there() && !EXTRAS.contains(&Place(place)) {
                seat.start();
            }
        }
        let well = Instant::now();
        self.ensemble.wait_serving();
        self.set_quota(QUOTA);
        self.await_quota(RECOVERY).map(|_| well.elapsed())
    }

    fn logs(&self) -> impl Iterator<Item = PathBuf> {
        self.seats.iter().flat_map(Seat::logs)
    }

    fn said(&self) -> BTreeMap<&'static str, usize> {
        const SAYINGS: [&str; 11] = [
            "slot granted",
            "slot released",
            "fenced",
            "re-attached",
            "giving it back",
            "removed an owner",
            "session over",
            "further behind every free slot",
            "has lost acknowledged writes",
            "high-water",
            "panicked",
        ];
        let mut said: BTreeMap<&'static str, usize> = SAYINGS.iter().map(|saying| (*saying, 0)).collect();
        for log in self.logs() {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            for saying in SAYINGS {
                *said.entry(saying).or_default() += text.matches(saying).count();
            }
        }
        said
    }

    fn keep_logs(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder for the logs");
        for log in self.logs() {
            let name = log.file_name().expect("a log has a name");
            std::fs::copy(&log, folder.join(name)).expect("a copy of a log");
        }
    }
}

fn init(manifest: &Path, ensemble: &Ensemble) -> Result<(), String> {
    let (manifest, connect) = (manifest.display().to_string(), ensemble.connect_string());
    let done = meridian(&["init", "--manifest", &manifest, "--region", "us-west", "--zookeeper", &connect, "--json"]);
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => Ok(()),
        // Its last line says what became of it, those before how it came to that.
        false => Err(said.lines().last().unwrap_or_default().to_owned()),
    }
}
