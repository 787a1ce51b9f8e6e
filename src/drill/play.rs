//! Plays a script on a stage, with everybody watching.

use super::goal::{self, Case};
use super::record::{Change, Played, Record};
use super::script::{Act, Goal, Scene, Script, Step};
use super::stage::{Sight, Stage};
use super::timing::Limits;
use super::verdict;
use super::watch::{self, Ledger, Log, Watchdog};
use crate::census::Tally;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two looks at whether a goal is met.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// An act that the machine spoilt is played again, but not for ever: then its verdict stands.
const TRIES: u32 = 3;
/// For clients to find their pace.
const WARM_UP: Duration = Duration::from_secs(30);
/// For neighbours to let go of each other. As long as a surge may last.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// What a drill left behind.
#[derive(Debug)]
pub struct Outcome {
    pub record: Record,
    pub tally: Tally,
    /// Acts that broke a promise while the machine could not keep up, and were played again.
    pub replayed: u32,
}

/// Plays all acts. An error is the world's, not the drill's.
pub async fn play(
    script: &Script,
    limits: &Limits,
    mut stage: Stage,
    folder: PathBuf,
    tell: impl Fn(f64, &str) + Send + Sync + 'static,
) -> anyhow::Result<Outcome> {
    let sight = stage.sight();
    let (ledger, ids) = Ledger::open(sight.topology.layout, folder);
    let log = Log::start(sight.places.iter().map(|spot| spot.region.clone()).collect(), tell);
    let mut watchers = watch::start(&sight, &log, &ids)?;
    let watchdog = Watchdog::start(log.clone())?;
    let mut player = Player { sight: &sight, limits, log: &log, ids: &ids, since_s: 0.0, standbys: JoinSet::new() };
    player.reach(Goal::ClientsHome, WARM_UP, &[]).await;
    let mut replayed = 0;
    for act in &script.acts {
        let mut tries = 1..=TRIES;
        let came_back = loop {
            let more = tries.next().is_some_and(|number| number < TRIES);
            let (played, came_back) = player.play(act, &mut stage).await?;
            stage.check()?;
            let broken = more.then(|| broken_by_the_machine(&log.record(), &played, limits, &sight)).flatten();
            let Some(why) = broken else {
                log.record().acts.push(played);
                break came_back;
            };
            replayed += 1;
            log.change(Change::Again(why));
            for goal in [Goal::Home, Goal::ClientsHome] {
                player.reach(goal, player.patience(goal, act.scene), &[]).await;
            }
        };
        if !came_back {
            break; // what never came back cannot be lost again
        }
    }
    drop((player, watchdog));
    watchers.shutdown().await;
    drop(ids);
    let tally = ledger.close().await?;
    Ok(Outcome { record: log.into_record(), tally, replayed })
}

/// Why an act is worth another try: it broke a promise while the machine could not keep up.
fn broken_by_the_machine(record: &Record, played: &Played, limits: &Limits, sight: &Sight) -> Option<String> {
    let numbers = verdict::numbers(record, played, &sight.topology, limits);
    let why = numbers.disturbed()?;
    let promises = verdict::promises(&numbers, played, limits, &sight.topology);
    promises.iter().any(|promise| !promise.held).then_some(why)
}

struct Player<'a> {
    sight: &'a Sight,
    limits: &'a Limits,
    log: &'a Log,
    ids: &'a mpsc::Sender<u64>,
    /// When something was last broken or mended.
    since_s: f64,
    /// Those who watch standbys, during an act.
    standbys: JoinSet<()>,
}

impl Player<'_> {
    /// Plays an act. False: in the end not everything was as before.
    async fn play(&mut self, act: &Act, stage: &mut Stage) -> anyhow::Result<(Played, bool)> {
        let down: Vec<usize> = act.down.iter().filter_map(|name| self.place(name)).collect();
        let begun_s = self.log.now_s();
        self.log.change(Change::Act(act.title.clone()));
        let (mut broke_s, mut mended_s, mut shares) = (None, None, None);
        let mut reached = true;
        for step in &act.steps {
            match step {
                Step::Pause(pause) => sleep(*pause).await,
                Step::Age(age) => sleep(age.saturating_sub(Duration::from_secs_f64(self.log.now_s()))).await,
                Step::Break { region, blow } => {
                    if broke_s.is_none() {
                        self.watch_closely(&down);
                    }
                    self.since_s = self.log.now_s();
                    broke_s.get_or_insert(self.since_s);
                    if let Some(region) = self.place(region) {
                        self.log.change(Change::Broke { region, blow: *blow });
                    }
                    stage.strike(region, *blow).await?;
                }
                Step::Mend { region } => {
                    stage.mend(region).await?;
                    self.log.look_closely(false);
                    self.since_s = self.log.now_s();
                    mended_s = Some(self.since_s);
                    if let Some(region) = self.place(region) {
                        self.log.change(Change::Mended { region });
                    }
                }
                Step::Await(goal) => reached = self.reach(*goal, self.patience(*goal, act.scene), &down).await,
                Step::Sample => shares = Some(watch::sample(self.sight, &down).await),
            }
        }
        self.standbys.shutdown().await;
        let ended_s = self.log.now_s();
        let act = act.clone();
        Ok((Played { act, down, begun_s, broke_s, mended_s, ended_s, shares }, reached))
    }

    /// From a fault on: what neighbours hold of it, and which standbys come in.
    fn watch_closely(&mut self, down: &[usize]) {
        self.log.look_closely(true);
        for region in self.carriers(down) {
            let (sight, log, ids) = (self.sight.clone(), self.log.clone(), self.ids.clone());
            self.standbys.spawn(watch::standbys(sight, region, log, ids));
        }
    }

    /// Who takes over for the lost regions, and has standbys for it.
    fn carriers(&self, down: &[usize]) -> Vec<usize> {
        let routing = self.sight.topology.routing();
        let names: Vec<&str> = down.iter().map(|region| self.sight.places[*region].region.as_str()).collect();
        let mut carriers: Vec<usize> = names
            .iter()
            .flat_map(|name| routing.destinations(name, &names))
            .filter_map(|(to, _)| self.place(to))
            .filter(|to| self.sight.places[*to].seats.len() > self.sight.places[*to].workers)
            .collect();
        carriers.sort_unstable();
        carriers.dedup();
        carriers
    }

    /// Waits for a goal. That it is not reached is noted, and no error: the verdict will say so.
    async fn reach(&self, goal: Goal, within: Duration, down: &[usize]) -> bool {
        let networks: Vec<usize> =
            (0..self.sight.places.len()).filter(|place| self.sight.places[*place].client.is_some()).collect();
        let surging = self.carriers(down);
        let case = Case { goal, down, networks: &networks, surging: &surging, since_s: self.since_s };
        let begun = Instant::now();
        while !goal::met(&self.log.record(), &case, self.log.now_s()) {
            if begun.elapsed() > within {
                self.log.change(Change::GaveUp(format!("waited {} s until {goal}", within.as_secs())));
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
        true
    }

    fn patience(&self, goal: Goal, scene: Scene) -> Duration {
        let limits = self.limits;
        let limit = match (goal, scene) {
            (Goal::Settled, _) => return SETTLED_WITHIN,
            (Goal::Switched, Scene::Drain) => limits.drain_switch,
            (Goal::Switched, Scene::ZookeeperLong) => limits.ride_out.1 + limits.switch,
            (Goal::Switched | Goal::Surged, _) => limits.switch,
            (Goal::ClientsServed, _) => limits.client,
            (Goal::Empty, _) => limits.empty,
            (Goal::Home, _) => limits.failback,
            (Goal::ClientsHome, _) => limits.homecoming,
        };
        Limits::patience(limit)
    }

    fn place(&self, region: &str) -> Option<usize> {
        self.sight.places.iter().position(|spot| spot.region == region)
    }
}
