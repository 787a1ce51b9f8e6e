//! What happens when: made from the seed and the length alone, before anything runs.

use crate::dice::Dice;
use crate::support::Way;
use std::fmt;
use std::time::Duration;

/// A place for a node: whatever dies in it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

/// Who sits where. Two want static slot 0; of the dynamic ones, more than the quota.
pub const PLACES: [(&str, Option<u16>); 10] = [
    ("twin-a", Some(0)),
    ("twin-b", Some(0)),
    ("core", Some(1)),
    ("burst-a", None),
    ("burst-b", None),
    ("burst-c", None),
    ("burst-d", None),
    ("burst-e", None),
    ("extra-a", None),
    ("extra-b", None),
];
pub const TWINS: [Place; 2] = [Place(0), Place(1)];
/// Empty but while the fleet is scaled up.
pub const EXTRAS: [Place; 2] = [Place(8), Place(9)];
const ALWAYS: usize = 8;

/// Slots at once: two static ones, and dynamic ones.
pub const QUOTA: u16 = 5;
const QUOTAS: [u16; 4] = [3, 4, 6, 7];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// SIGSTOP, then SIGCONT.
    Pause(Place),
    /// Two at the same moment, and awake again at the same moment.
    PauseTwo([Place; 2]),
    /// SIGKILL; started again at the end.
    Kill(Place),
    /// SIGTERM; started again at the end, killed if it has not left by then.
    Restart(Place),
    /// Nothing passes between a node and the ensemble, both ways or one.
    Cut(Place, Way),
    /// Every packet to and from the ensemble is late by this.
    Slow(Place, Duration),
    /// The wall clock of a node is off by this, then right again.
    Clock(Place, f64),
    /// The wall clock of a node runs faster or slower by this share, then is right again.
    Drift(Place, f64),
    /// Killed, and started again with a wall clock off by this.
    StartWithClock(Place, f64),
    /// No space for the high-water file.
    FullDisk(Place),
    /// Whoever of the twins issues is stopped; the other takes the slot.
    PauseTwin,
    /// Whoever of the twins issues hears nothing of the ensemble.
    CutTwin(Way),
    /// The twin that issues is stopped, then the one that took its slot; then both wake at once.
    BothTwins,
    /// The quota is another one, then the old one again.
    Quota(u16),
    /// More nodes come, and leave.
    Scale,
    /// The whole ensemble is slow to all.
    SlowEnsemble(Duration),
    LeaderKill,
    LeaderPause,
    /// Two servers of three are dead.
    QuorumLoss,
    /// All servers die and come back.
    EnsembleRestart,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

/// The faults of a seed, by their beginnings. All are over before the end.
pub fn schedule(seed: u64, length: Duration) -> Vec<Step> {
    const FIRST: Duration = Duration::from_millis(1_500);
    const QUIET: Duration = Duration::from_secs(4);
    const SHORTEST: Duration = Duration::from_secs(1);
    let end = length - QUIET;
    let mut dice = Dice::new(seed);
    let mut free = Free::default();
    let mut deck = Vec::new();
    let mut steps = Vec::new();
    let mut now = FIRST;
    while now + SHORTEST <= end {
        if deck.is_empty() {
            deck = shuffled(&mut dice);
        }
        let dealt = (0..deck.len()).find_map(|at| Some((at, deal(deck[at], now, end, &free, &mut dice)?)));
        let Some((at, step)) = dealt else {
            now += Duration::from_millis(100);
            continue;
        };
        deck.remove(at);
        free.take(&step);
        steps.push(step);
        now += ms(&mut dice, 700, 2_000);
    }
    steps
}

/// One kind of fault; a deck holds each, so that none is left out for long.
#[derive(Clone, Copy, Debug)]
enum Card {
    ShortPause,
    LongPause,
    PauseTwo,
    Kill,
    Restart,
    Cut(Way),
    Slow,
    Second,
    HalfMinute,
    Hour,
    Drift,
    StartWithClock,
    FullDisk,
    PauseTwin,
    CutTwin(Way),
    BothTwins,
    Quota,
    Scale,
    SlowEnsemble,
    LeaderKill,
    LeaderPause,
    QuorumLoss,
    EnsembleRestart,
}

/// The twins are struck most: two that want one slot are the shortest way to a duplicate.
fn shuffled(dice: &mut Dice) -> Vec<Card> {
    use Card::*;
    let mut deck = vec![
        ShortPause,
        LongPause,
        PauseTwo,
        Kill,
        Kill,
        Restart,
        Restart,
        Cut(Way::Both),
        Cut(Way::Answers),
        Cut(Way::Requests),
        Slow,
        Second,
        HalfMinute,
        Hour,
        Drift,
        StartWithClock,
        FullDisk,
        PauseTwin,
        PauseTwin,
        CutTwin(Way::Both),
        CutTwin(Way::Both),
        CutTwin(Way::Answers),
        BothTwins,
        Quota,
        Scale,
        SlowEnsemble,
        LeaderKill,
        LeaderPause,
        QuorumLoss,
        EnsembleRestart,
    ];
    for last in (1..deck.len()).rev() {
        deck.swap(last, dice.index(last + 1));
    }
    deck
}

/// What is struck already, and until when.
#[derive(Default)]
struct Free {
    places: [Duration; PLACES.len()],
    ensemble: Duration,
}

impl Free {
    fn take(&mut self, step: &Step) {
        /// To come back: a node registers and claims; an ensemble elects.
        const AFTER: Duration = Duration::from_millis(1_500);
        let until = step.at + step.lasts + AFTER;
        for place in step.fault.places() {
            self.places[place.0] = until;
        }
        if step.fault.strikes_ensemble() {
            self.ensemble = until;
        }
    }
}

fn deal(card: Card, at: Duration, end: Duration, free: &Free, dice: &mut Dice) -> Option<Step> {
    let idle: Vec<Place> = (0..ALWAYS).map(Place).filter(|place| free.places[place.0] <= at).collect();
    let twins_idle = TWINS.iter().all(|twin| idle.contains(twin));
    let ensemble_idle = free.ensemble <= at;
    let one = |dice: &mut Dice| (!idle.is_empty()).then(|| idle[dice.index(idle.len())]);
    let sign = |dice: &mut Dice| if dice.percent(50) { 1.0 } else { -1.0 };
    let (fault, lasts) = match card {
        Card::ShortPause => (Fault::Pause(one(dice)?), ms(dice, 100, 1_500)),
        Card::LongPause => (Fault::Pause(one(dice)?), ms(dice, 1_500, 15_000)),
        Card::PauseTwo => {
            let first = one(dice)?;
            let others: Vec<Place> = idle.iter().copied().filter(|place| *place != first).collect();
            let second = (!others.is_empty()).then(|| others[dice.index(others.len())])?;
            (Fault::PauseTwo([first, second]), ms(dice, 1_000, 6_000))
        }
        Card::Kill => (Fault::Kill(one(dice)?), ms(dice, 200, 3_000)),
        Card::Restart => (Fault::Restart(one(dice)?), ms(dice, 500, 3_000)),
        Card::Cut(way) => (Fault::Cut(one(dice)?, way), ms(dice, 500, 8_000)),
        Card::Slow => (Fault::Slow(one(dice)?, ms(dice, 50, 900)), ms(dice, 2_000, 6_000)),
        Card::Second => (Fault::Clock(one(dice)?, sign(dice)), ms(dice, 1_000, 8_000)),
        Card::HalfMinute => (Fault::Clock(one(dice)?, 30.0 * sign(dice)), ms(dice, 1_000, 8_000)),
        Card::Hour => (Fault::Clock(one(dice)?, 3_600.0), ms(dice, 2_000, 10_000)),
        Card::Drift => {
            let share = sign(dice) * (2 + dice.below(8)) as f64 / 100.0;
            (Fault::Drift(one(dice)?, share), ms(dice, 3_000, 10_000))
        }
        Card::StartWithClock => {
            let off = [1.0, 30.0, 3_600.0, -1.0, -30.0][dice.index(5)];
            (Fault::StartWithClock(one(dice)?, off), ms(dice, 2_000, 6_000))
        }
        Card::FullDisk => (Fault::FullDisk(one(dice)?), ms(dice, 2_000, 8_000)),
        Card::PauseTwin if twins_idle => (Fault::PauseTwin, ms(dice, 3_000, 6_000)),
        Card::CutTwin(way) if twins_idle => (Fault::CutTwin(way), ms(dice, 3_000, 6_000)),
        Card::BothTwins if twins_idle => (Fault::BothTwins, ms(dice, 6_000, 9_000)),
        Card::Quota if ensemble_idle => (Fault::Quota(QUOTAS[dice.index(QUOTAS.len())]), ms(dice, 1_000, 3_000)),
        Card::Scale if EXTRAS.iter().all(|extra| free.places[extra.0] <= at) => (Fault::Scale, ms(dice, 2_000, 8_000)),
        Card::SlowEnsemble if ensemble_idle => (Fault::SlowEnsemble(ms(dice, 30, 400)), ms(dice, 1_000, 4_000)),
        Card::LeaderKill if ensemble_idle => (Fault::LeaderKill, ms(dice, 500, 2_000)),
        Card::LeaderPause if ensemble_idle => (Fault::LeaderPause, ms(dice, 300, 3_000)),
        Card::QuorumLoss if ensemble_idle => (Fault::QuorumLoss, ms(dice, 500, 4_000)),
        Card::EnsembleRestart if ensemble_idle => (Fault::EnsembleRestart, ms(dice, 100, 3_000)),
        _ => return None,
    };
    Some(Step { at, lasts: lasts.min(end - at), fault })
}

fn ms(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(from + dice.below(to - from))
}

impl Fault {
    /// The places it may strike.
    pub fn places(&self) -> Vec<Place> {
        match *self {
            Fault::Pause(place)
            | Fault::Kill(place)
            | Fault::Restart(place)
            | Fault::Cut(place, _)
            | Fault::Slow(place, _)
            | Fault::Clock(place, _)
            | Fault::Drift(place, _)
            | Fault::StartWithClock(place, _)
            | Fault::FullDisk(place) => vec![place],
            Fault::PauseTwo(places) => places.to_vec(),
            Fault::PauseTwin | Fault::CutTwin(_) | Fault::BothTwins => TWINS.to_vec(),
            Fault::Scale => EXTRAS.to_vec(),
            _ => Vec::new(),
        }
    }

    fn strikes_ensemble(&self) -> bool {
        matches!(
            self,
            Fault::Quota(_)
                | Fault::SlowEnsemble(_)
                | Fault::LeaderKill
                | Fault::LeaderPause
                | Fault::QuorumLoss
                | Fault::EnsembleRestart
        )
    }

    /// For the report: faults of one kind are one row.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Pause(_) => "pause",
            Fault::PauseTwo(_) => "pause of two, woken at once",
            Fault::Kill(_) => "kill -9",
            Fault::Restart(_) => "graceful restart",
            Fault::Cut(_, Way::Both) => "cut off, both ways",
            Fault::Cut(_, Way::Answers) => "cut off, answers lost",
            Fault::Cut(_, Way::Requests) => "cut off, requests lost",
            Fault::Slow(..) => "slow way to ZooKeeper",
            Fault::Clock(_, off) if off.abs() < 10.0 => "clock ±1 s",
            Fault::Clock(_, off) if off.abs() < 100.0 => "clock ±30 s",
            Fault::Clock(..) => "clock +1 h",
            Fault::Drift(..) => "clock drifts",
            Fault::StartWithClock(..) => "started with a wrong clock",
            Fault::FullDisk(_) => "high-water disk full",
            Fault::PauseTwin => "pause of a twin",
            Fault::CutTwin(_) => "twin cut off",
            Fault::BothTwins => "both twins paused, woken at once",
            Fault::Quota(_) => "quota changed",
            Fault::Scale => "scaled up and down",
            Fault::SlowEnsemble(_) => "slow ZooKeeper",
            Fault::LeaderKill => "leader killed",
            Fault::LeaderPause => "leader paused",
            Fault::QuorumLoss => "quorum lost",
            Fault::EnsembleRestart => "ensemble restarted",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind())?;
        match self {
            Fault::Clock(_, off) | Fault::StartWithClock(_, off) => write!(f, " ({off:+} s)")?,
            Fault::Drift(_, share) => write!(f, " ({:+.0} %)", share * 100.0)?,
            Fault::Slow(_, delay) | Fault::SlowEnsemble(delay) => write!(f, " ({} ms)", delay.as_millis())?,
            Fault::CutTwin(way) => write!(f, " ({way:?})")?,
            Fault::Quota(quota) => write!(f, " ({quota})")?,
            _ => {}
        }
        let names: Vec<&str> = self.places().iter().map(|place| PLACES[place.0].0).collect();
        if names.is_empty() { Ok(()) } else { write!(f, ": {}", names.join(", ")) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7.1} s  {:5.1} s  {}", self.at.as_secs_f64(), self.lasts.as_secs_f64(), self.fault)
    }
}
