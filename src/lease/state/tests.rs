//! The state machine against an in-memory tree: lost, late and doubled outcomes, expired sessions, stale followers,
//! crashes and clocks that jump. Every run is a seed; the same seed gives the same run.

use super::*;
use crate::id::{Layout, Tick};
use crate::lease::line;
use crate::lease::tree::Znodes;
use crate::lease::znode::{Admission, Class, NodeId, Tree};
use std::collections::{BTreeSet, HashSet, VecDeque};

/// Four ids a millisecond, so that runs cross milliseconds.
const SMALL: Layout =
    Layout { name: "small", timestamp_bits: 41, datacenter_bits: 5, worker_bits: 3, sequence_bits: 2 };

const QUOTA: u16 = 2;
const NODES: usize = 4;

fn settings() -> Settings {
    Settings {
        layout: SMALL,
        datacenter: 1,
        dynamic: 4..=7,
        session_ms: 1_000,
        window_ms: 3_000,
        first_window_ms: 500,
        max_wait_ms: 100,
        max_borrow_ms: 6_000,
        epoch_unix_ms: 0,
    }
}

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }
}

struct Node {
    state: State,
    session: Option<i64>,
    asked: Option<Request>,
    /// How far its clock is off.
    skew_ms: i64,
    /// The oldest snapshot its session may still be shown.
    seen: usize,
    /// Every grant it ever had: a paused thread may come back to any of them.
    grants: Vec<Arc<Grant>>,
}

struct World {
    dice: Dice,
    boot_ms: u64,
    znodes: Znodes,
    /// What followers may still show: the last few states, and how many came before.
    past: VecDeque<Znodes>,
    dropped: usize,
    alive: BTreeSet<i64>,
    sessions: i64,
    /// Writes whose senders have given up waiting; they may still be applied.
    late: Vec<(i64, Write)>,
    nodes: Vec<Node>,
    made: u64,
    issued: HashSet<u64>,
    claims: u64,
    faults: bool,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let tree = Tree {
            v: 1,
            fleet: "test".into(),
            datacenter: 1,
            epoch: "1970-01-01T00:00:00Z".into(),
            layout: "small".into(),
            genesis: Guid("genesis".into()),
        };
        let admission =
            Admission { v: 1, quota: QUOTA + 1, fixed: 1, surge: QUOTA + 1, surge_until: None, digest: String::new() };
        let blueprint = Blueprint { tree, admission, slots: 8, first_ceiling: Millis(100_500) };
        let (znodes, _) = Znodes::init(None, &blueprint, ServerTime(100_000)).unwrap();
        let mut world = World {
            dice: Dice(seed),
            boot_ms: 100_000,
            past: VecDeque::from([znodes.clone()]),
            dropped: 0,
            znodes,
            alive: BTreeSet::new(),
            sessions: 0,
            late: Vec::new(),
            nodes: Vec::new(),
            made: 0,
            issued: HashSet::new(),
            claims: 0,
            faults: true,
            seed,
        };
        for i in 0..=NODES {
            let node = world.node(i);
            world.nodes.push(node);
        }
        world
    }

    /// Node 0 is static, with slot 2; the others are dynamic.
    fn node(&mut self, i: usize) -> Node {
        self.made += 1;
        let (class, wanted_slot) = if i == 0 { (Class::Fixed, Some(2)) } else { (Class::Dynamic, None) };
        let card = Registration {
            v: 1,
            node: NodeId(format!("n{}", self.made)),
            class,
            wanted_slot,
            eligible: true,
            host: "h".into(),
            zone: String::new(),
            http: String::new(),
            ops: String::new(),
            version: String::new(),
            started: String::new(),
        };
        let skew_ms = self.dice.below(400) as i64 - 200;
        Node { state: State::new(settings(), card), session: None, asked: None, skew_ms, seen: 0, grants: Vec::new() }
    }

    fn at(&self, node: &Node) -> At {
        At { boot_ms: self.boot_ms, credible: Millis((self.boot_ms as i64 + node.skew_ms).max(0) as u64) }
    }

    fn event(&mut self, i: usize, event: Event) {
        let at = self.at(&self.nodes[i]);
        let node = &mut self.nodes[i];
        for notice in node.state.step(at, event) {
            if matches!(notice, Notice::SessionOver) {
                node.session = None;
            }
        }
        if let Some(grant) = node.state.grant()
            && !node.grants.iter().any(|known| Arc::ptr_eq(known, grant))
        {
            node.grants.push(grant.clone());
        }
    }

    fn changed(&mut self) {
        self.past.push_back(self.znodes.clone());
        if self.past.len() > 6 {
            self.past.pop_front();
            self.dropped += 1;
        }
        for i in 0..self.nodes.len() {
            if !self.faults || self.dice.percent(70) {
                self.event(i, Event::Woken);
            }
        }
    }

    fn apply(&mut self, session: i64, write: &Write) -> Result<Written, Failure> {
        let result = self.znodes.apply(write, SessionId(session), ServerTime(self.boot_ms as i64));
        if result.is_ok() {
            if matches!(write, Write::Claim { .. } | Write::Reattach { .. }) {
                self.claims += 1;
                let view = self.znodes.look(SessionId(session));
                let owners = line::dynamic_owners(&view, &settings().dynamic, None).count();
                assert!(owners <= usize::from(QUOTA), "quota exceeded at a claim, seed {}", self.seed);
            }
            self.changed();
        }
        result.map_err(Failure::Refused)
    }

    /// What a follower shows this session: not older than what it has seen.
    fn shown(&mut self, i: usize, fresh: bool) -> Znodes {
        let newest = self.dropped + self.past.len() - 1;
        let oldest = self.nodes[i].seen.max(self.dropped);
        let pick = match fresh || !self.faults {
            true => newest,
            false => oldest + self.dice.below((newest - oldest + 1) as u64) as usize,
        };
        self.nodes[i].seen = pick;
        self.past[pick - self.dropped].clone()
    }

    fn answer(&mut self, i: usize) {
        let Some(request) = self.nodes[i].asked.take() else { return };
        let luck = if self.faults { self.dice.below(100) } else { 0 };
        let lost = || Failure::Unknown("lost".into());
        if request == Request::Open {
            if luck >= 80 {
                return self.event(i, Event::Answered(Answer::Opened(Err(Unopened("nobody there".into())))));
            }
            self.sessions += 1;
            self.alive.insert(self.sessions);
            (self.nodes[i].session, self.nodes[i].seen) = (Some(self.sessions), 0);
            let opened = Opened { session: SessionId(self.sessions), high_water: BTreeMap::new() };
            return self.event(i, Event::Answered(Answer::Opened(Ok(opened))));
        }
        let session = self.nodes[i].session.unwrap_or(0);
        let over = !self.alive.contains(&session);
        let gone = || Failure::SessionOver("expired".into());
        let newest = self.dropped + self.past.len() - 1;
        let answer = match request {
            Request::Open => unreachable!("answered above"),
            Request::Register(_) if over => Answer::Registered(Err(gone())),
            Request::Register(value) => {
                let made = self.znodes.register(&value, SessionId(session), ServerTime(self.boot_ms as i64));
                self.changed();
                Answer::Registered(if luck < 85 { Ok(made) } else { Err(lost()) })
            }
            Request::Update { .. } if over => Answer::Updated(Err(gone())),
            Request::Update { name, value } => {
                let done = self.znodes.update_registration(&name, &value, ServerTime(self.boot_ms as i64));
                self.changed();
                Answer::Updated(if luck < 85 { done.map_err(Failure::Refused) } else { Err(lost()) })
            }
            Request::Unregister(_) if over => Answer::Unregistered(Err(gone())),
            Request::Unregister(name) => {
                let _ = self.znodes.unregister(&name);
                self.changed();
                Answer::Unregistered(if luck < 85 { Ok(()) } else { Err(lost()) })
            }
            Request::Look if over => Answer::Looked(Err(gone())),
            Request::Look => Answer::Looked(Ok(self.shown(i, false).look(SessionId(session)))),
            Request::Admission if over => Answer::Admission(Err(gone())),
            Request::Admission => Answer::Admission(Ok(self.shown(i, false).admission())),
            Request::ReadSlot(_) if over => Answer::SlotRead(Err(gone())),
            Request::ReadSlot(slot) => Answer::SlotRead(self.shown(i, true).read_slot(slot).map_err(Failure::Refused)),
            Request::Watch(_) if over => Answer::Watching(Err(gone())),
            Request::Watch(_) => Answer::Watching(Ok(())),
            Request::Write(_) if over => Answer::Written(Err(gone())),
            Request::Write(write) => Answer::Written(match luck {
                0..76 => {
                    let result = self.apply(session, &write);
                    self.nodes[i].seen = newest.max(self.dropped); // one's own write is never unseen
                    result
                }
                76..84 => {
                    let _ = self.apply(session, &write);
                    Err(lost())
                }
                84..92 => {
                    self.late.push((session, write));
                    Err(lost())
                }
                _ => Err(lost()),
            }),
        };
        self.event(i, Event::Answered(answer));
    }

    fn ask(&mut self, i: usize) {
        if self.nodes[i].asked.is_some() {
            return;
        }
        let at = self.at(&self.nodes[i]);
        match self.nodes[i].state.next(at) {
            Next::Send(request) => self.nodes[i].asked = Some(request),
            Next::Wait(_) => {}
            Next::Done => {
                if let Some(session) = self.nodes[i].session {
                    self.expire(session); // the keeper closes it
                }
                self.replace(i);
            }
        }
    }

    /// A crash, or the end of an orderly stop: another process takes the place. The session lives on at the server.
    fn replace(&mut self, i: usize) {
        let grants = std::mem::take(&mut self.nodes[i].grants);
        self.nodes[i] = self.node(i);
        self.nodes[i].grants = grants; // its paused threads may still wake up and issue
    }

    fn expire(&mut self, session: i64) {
        self.alive.remove(&session);
        if self.znodes.end_session(SessionId(session)) {
            self.changed();
        }
    }

    /// Takes ids from any grant ever given, and fails on the first that was taken before.
    fn issue(&mut self, i: usize) {
        if self.nodes[i].grants.is_empty() {
            return;
        }
        let pick = self.dice.below(self.nodes[i].grants.len() as u64) as usize;
        let (ahead, n) = (self.dice.below(600), 1 + self.dice.below(9));
        let node = &self.nodes[i];
        let from: Tick = SMALL.tick(Millis((self.at(node).credible.0 + ahead).saturating_sub(300)));
        if let Ok(ticks) = node.grants[pick].take(from, n) {
            let origin = node.grants[pick].origin();
            for tick in ticks.from.0..ticks.to.0 {
                let id = SMALL.id(origin, Tick(tick));
                assert!(self.issued.insert(id), "id {id} given twice, seed {}", self.seed);
            }
        }
    }

    fn turn(&mut self) {
        let i = self.dice.below(self.nodes.len() as u64) as usize;
        self.boot_ms += self.dice.below(40);
        match self.dice.below(100) {
            0..40 => self.ask(i),
            40..75 => self.answer(i),
            75..90 => self.issue(i),
            90..93 if !self.late.is_empty() => {
                let pick = self.dice.below(self.late.len() as u64) as usize;
                let (session, write) = self.late.swap_remove(pick);
                if self.alive.contains(&session) {
                    let _ = self.apply(session, &write);
                }
            }
            93 => {
                // The server ends a session, known to its client or not.
                if let Some(session) = self.alive.iter().nth(self.dice.below(8) as usize).copied() {
                    self.expire(session);
                }
            }
            94 => {
                // The client gives a session up that may live on at the server.
                self.nodes[i].session = None;
                self.event(i, Event::Link(Link::Over));
            }
            95 => self.nodes[i].skew_ms = self.dice.below(8_000) as i64 - 4_000,
            96 => {
                let may = self.dice.percent(70);
                self.event(i, Event::MayClaim(may));
            }
            97 if self.dice.percent(30) => self.event(i, Event::Stop),
            98 if self.dice.percent(30) => self.replace(i),
            99 => self.boot_ms += self.dice.below(2_000),
            _ => {}
        }
    }

    /// The faults are over: everybody who can must come to hold a slot.
    fn settle(&mut self) {
        self.faults = false;
        self.late.clear();
        let current: Vec<i64> = self.nodes.iter().filter_map(|node| node.session).collect();
        for session in self.alive.clone() {
            if !current.contains(&session) {
                self.expire(session);
            }
        }
        for i in 0..self.nodes.len() {
            self.nodes[i].skew_ms = 0;
            self.event(i, Event::MayClaim(true));
        }
        for _ in 0..3_000 {
            self.boot_ms += 10;
            for i in 0..self.nodes.len() {
                self.ask(i);
                self.answer(i);
                self.issue(i);
            }
        }
        let holding = |node: &&Node| node.state.phase() == Phase::Holding;
        let dynamic = self.nodes[1..].iter().filter(holding).count();
        assert_eq!(dynamic, usize::from(QUOTA), "dynamic holders after the faults, seed {}", self.seed);
        assert!(holding(&&self.nodes[0]), "the static node holds its slot again, seed {}", self.seed);
        let view = self.znodes.look(SessionId(0));
        let owners = view.slots.iter().filter(|slot| slot.owner.is_some()).count();
        assert_eq!(owners, usize::from(QUOTA) + 1, "no orphan is left, seed {}", self.seed);
    }
}

fn run(seed: u64) -> (u64, usize) {
    let mut world = World::new(seed);
    for _ in 0..3_000 {
        world.turn();
    }
    world.settle();
    (world.claims, world.issued.len())
}

#[test]
fn no_duplicate_no_excess_and_everybody_comes_back() {
    let (mut claims, mut issued) = (0, 0);
    for seed in 0..300 {
        let (c, i) = run(seed);
        claims += c;
        issued += i;
    }
    assert!(claims > 3_000 && issued > 100_000, "the runs do too little: {claims} claims, {issued} ids");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(run(7), run(7));
}
