//! The ensemble and the network of a run: one tree, followers that lag, sessions, answers that are lost or late.

use crate::Run;
use crate::dice::Dice;
use crate::node::Node;
use crate::trace::Trace;
use meridian::id::{Layout, Millis};
use meridian::lease::coordination::*;
use meridian::lease::grant::{Grant, Ticks};
use meridian::lease::line;
use meridian::lease::state::{Answer, At, Event, Next, Notice, Opened, Request, Settings, Unopened};
use meridian::lease::tree::Znodes;
use meridian::lease::znode::{Admission, Guid, Registration, Tree};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Four ids a millisecond, so that runs cross milliseconds.
pub const SMALL: Layout =
    Layout { name: "small", timestamp_bits: 41, datacenter_bits: 5, worker_bits: 3, sequence_bits: 2 };

/// Slots 0 to 3 are asked for by number.
const FIXED: u16 = 2;

/// What a run fails with when it finds a duplicate.
pub const TWICE: &str = "twice";

/// States of the tree a follower may still show.
const PAST: usize = 6;

/// What a sender has given up waiting for, and a server may still do.
pub enum Late {
    Write(Write),
    Register(Registration),
}

/// What a run amounts to; equal for equal seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub trace: Trace,
    pub ids: u64,
    pub claims: u64,
    pub fenced: u64,
    pub reattached: u64,
    pub evicted: u64,
    pub given_back: u64,
    /// Standbys woken by one change of the tree, at most.
    pub most_woken: u64,
}

pub struct World {
    pub dice: Dice,
    pub boot_ms: u64,
    pub znodes: Znodes,
    past: VecDeque<Arc<Znodes>>,
    dropped: usize,
    pub alive: BTreeSet<i64>,
    sessions: i64,
    pub late: Vec<(i64, Late)>,
    pub nodes: Vec<Node>,
    made: u64,
    /// Ticks given, by worker: where each run of them begins and ends.
    issued: BTreeMap<u16, BTreeMap<u64, u64>>,
    /// What each host's disk remembers, where it works.
    high_water: Vec<BTreeMap<u16, Millis>>,
    pub faults: bool,
    crowded: bool,
    settings: Settings,
    pub report: Report,
}

impl World {
    pub fn new(run: Run) -> World {
        let (mut dice, crowded) = (Dice::new(run.seed), run.crowded());
        // A small pool in half of the runs: there a slot that was taken away is soon held by another.
        let pool = if dice.percent(50) { 2 } else { 4 };
        let settings = settings(pool);
        #[cfg(feature = "broken")]
        let settings = Settings { flaw: run.flaw, ..settings };
        let quota = 1 + dice.below(u64::from(pool)) as u16;
        let (znodes, _) = Znodes::init(None, &blueprint(quota), ServerTime(100_000)).expect("a new tree is ours");
        let nodes = if crowded { 200 + dice.index(100) } else { 2 + dice.index(6) };
        let trace = Trace::new(run.loud);
        let report =
            Report { trace, ids: 0, claims: 0, fenced: 0, reattached: 0, evicted: 0, given_back: 0, most_woken: 0 };
        let mut world = World {
            dice,
            boot_ms: 100_000,
            past: VecDeque::from([Arc::new(znodes.clone())]),
            dropped: 0,
            znodes,
            alive: BTreeSet::new(),
            sessions: 0,
            late: Vec::new(),
            nodes: Vec::new(),
            made: 0,
            issued: BTreeMap::new(),
            high_water: vec![BTreeMap::new(); nodes + 3],
            faults: true,
            crowded,
            settings,
            report,
        };
        // Two twins with one static slot, one node with another, and the dynamic ones.
        for wanted in [Some(2), Some(2), Some(3)].into_iter().chain(std::iter::repeat_n(None, nodes)) {
            let node = world.node(wanted);
            world.nodes.push(node);
        }
        world
    }

    pub fn turns(&self) -> u64 {
        if self.crowded { 6_000 } else { 3_000 }
    }

    pub fn report(self) -> Report {
        self.report
    }

    pub fn node(&mut self, wanted: Option<u16>) -> Node {
        self.made += 1;
        let skew_ms = self.dice.around(200);
        Node::new(self.settings.clone(), self.made, wanted, skew_ms)
    }

    /// What can be held at once: the quota in force.
    pub fn dynamic_quota(&self) -> u16 {
        line::dynamic_quota(&self.znodes.admission().value, self.boot_ms as i64)
    }

    pub fn set_quota(&mut self) {
        let quota = 1 + self.dice.below(self.settings.dynamic.len() as u64) as u16;
        let now = ServerTime(self.boot_ms as i64);
        let tree = Znodes::init(Some(self.znodes.clone()), &blueprint(quota), now).expect("the tree is ours");
        self.znodes = tree.0;
        self.report.trace.line(format_args!("quota {quota}"));
        self.changed();
    }

    pub fn at(&self, i: usize) -> At {
        let credible = (self.boot_ms as i64 + self.nodes[i].skew_ms).max(0) as u64;
        At { boot_ms: self.boot_ms, credible: Millis(credible) }
    }

    /// Hands a node an event, and does what its keeper would do with the notices.
    pub fn event(&mut self, i: usize, event: Event) {
        let at = self.at(i);
        self.report.trace.line(format_args!("{} {i} {event:?}", self.boot_ms));
        for notice in self.nodes[i].state.step(at, event) {
            self.report.trace.line(format_args!("  {notice:?}"));
            match notice {
                Notice::SessionOver => self.nodes[i].forget_session(),
                Notice::Granted { slot, ceiling, .. } | Notice::Extended { slot, ceiling } => {
                    self.mark(i, slot, ceiling);
                }
                Notice::Released { slot, mark } => self.mark(i, slot, mark),
                Notice::Fenced { .. } => self.report.fenced += 1,
                Notice::Reattached { .. } => self.report.reattached += 1,
                Notice::Evicted { .. } => self.report.evicted += 1,
                Notice::GivingBack { .. } => self.report.given_back += 1,
                _ => {}
            }
        }
        let node = &mut self.nodes[i];
        if let Some(grant) = node.state.grant()
            && !node.grants.iter().any(|known| Arc::ptr_eq(known, grant))
        {
            node.grants.push(grant.clone());
        }
    }

    /// Some disks take no marks.
    fn mark(&mut self, i: usize, slot: u16, ceiling: Millis) {
        if !i.is_multiple_of(3) {
            self.high_water[i].insert(slot, ceiling);
        }
    }

    /// Asks a node what it wants done.
    pub fn ask(&mut self, i: usize) {
        if self.nodes[i].asked.is_some() {
            return;
        }
        let at = self.at(i);
        match self.nodes[i].state.next(at) {
            Next::Send(request) => {
                self.report.trace.line(format_args!("{} {i} asks {request:?}", self.boot_ms));
                self.nodes[i].asked = Some(request);
            }
            Next::Wait(_) => {}
            Next::Done => {
                if let Some(session) = self.nodes[i].session {
                    self.expire(session); // the keeper closes it
                }
                self.replace(i);
            }
        }
    }

    /// Another process takes a node's place. The old one's session lives on at the server, and a thread of it that was
    /// paused may still use its grants.
    pub fn replace(&mut self, i: usize) {
        let wanted = self.nodes[i].wanted;
        let node = self.node(wanted);
        let old = std::mem::replace(&mut self.nodes[i], node);
        self.nodes[i].grants = old.grants;
        self.report.trace.line(format_args!("{} {i} replaced", self.boot_ms));
    }

    pub fn expire(&mut self, session: i64) {
        self.alive.remove(&session);
        self.report.trace.line(format_args!("{} session {session} ends", self.boot_ms));
        if self.znodes.end_session(SessionId(session)) {
            self.changed();
        }
    }

    /// The tree has changed: followers may show the old one, watches fire.
    fn changed(&mut self) {
        self.past.push_back(Arc::new(self.znodes.clone()));
        if self.past.len() > PAST {
            self.past.pop_front();
            self.dropped += 1;
        }
        let mut woken = 0;
        for node in &mut self.nodes {
            let Some((interest, glance)) = &mut node.watched else { continue };
            let now = self.znodes.glance(interest);
            if glance.wakes(&now) {
                node.beat = true;
                woken += 1;
            }
            *glance = now;
        }
        self.report.most_woken = self.report.most_woken.max(woken);
    }

    /// Delivers a watch that has fired.
    pub fn beat(&mut self, i: usize) {
        if std::mem::take(&mut self.nodes[i].beat) {
            self.event(i, Event::Woken);
        }
    }

    fn newest(&self) -> usize {
        self.dropped + self.past.len() - 1
    }

    /// What a follower shows this session: never older than what it has shown before.
    fn shown(&mut self, i: usize, fresh: bool) -> Arc<Znodes> {
        let (newest, oldest) = (self.newest(), self.nodes[i].seen.max(self.dropped));
        let pick = match fresh || !self.faults {
            true => newest,
            false => oldest + self.dice.index(newest - oldest + 1),
        };
        self.nodes[i].seen = pick;
        self.past[pick - self.dropped].clone()
    }

    /// Applies a write at the leader, and checks the quota at every admission.
    pub fn apply(&mut self, session: i64, write: &Write) -> Result<Written, Failure> {
        let result = self.znodes.apply(write, SessionId(session), ServerTime(self.boot_ms as i64));
        self.report.trace.line(format_args!("{} applied {result:?}", self.boot_ms));
        if result.is_ok() {
            let admits = matches!(write, Write::Claim { .. } | Write::Reattach { .. });
            if admits && self.settings.dynamic.contains(&write.slot()) {
                self.report.claims += 1;
                let view = self.znodes.look(SessionId(session));
                let owners = line::dynamic_owners(&view, &self.settings.dynamic, None).count();
                assert!(owners <= usize::from(self.dynamic_quota()), "the quota is exceeded at a claim");
            }
            self.changed();
        }
        result.map_err(Failure::Refused)
    }

    pub fn register(&mut self, session: i64, value: &Registration) -> Registered {
        let made = self.znodes.register(value, SessionId(session), ServerTime(self.boot_ms as i64));
        self.changed();
        made
    }

    /// Answers what a node has asked, or loses the answer, or the request, or lets it be applied later.
    pub fn answer(&mut self, i: usize) {
        if !self.nodes[i].connected && self.nodes[i].asked != Some(Request::Open) {
            return;
        }
        let Some(request) = self.nodes[i].asked.take() else { return };
        let luck = if self.faults { self.dice.below(100) } else { 0 };
        let session = self.nodes[i].session.unwrap_or(0);
        let dead = !self.alive.contains(&session);
        let gone = || Failure::SessionOver("expired".into());
        let lost = || Failure::Unknown("lost".into());
        let seen_own_write = |world: &mut World| world.nodes[i].seen = world.newest();
        let answer = match request {
            Request::Open if luck >= 85 => Answer::Opened(Err(Unopened("nobody there".into()))),
            Request::Open => {
                self.sessions += 1;
                self.alive.insert(self.sessions);
                self.nodes[i].forget_session();
                (self.nodes[i].session, self.nodes[i].seen) = (Some(self.sessions), 0);
                let high_water = self.high_water[i].clone();
                Answer::Opened(Ok(Opened { session: SessionId(self.sessions), high_water }))
            }
            Request::Register(_) if dead => Answer::Registered(Err(gone())),
            Request::Register(value) => Answer::Registered(match luck {
                0..80 => {
                    let made = self.register(session, &value);
                    seen_own_write(self);
                    Ok(made)
                }
                80..88 => {
                    self.register(session, &value);
                    Err(lost())
                }
                88..96 => {
                    self.late.push((session, Late::Register(value)));
                    Err(lost())
                }
                _ => Err(lost()),
            }),
            Request::Update { .. } if dead => Answer::Updated(Err(gone())),
            Request::Update { name, value } => {
                let done = self.znodes.update_registration(&name, &value, ServerTime(self.boot_ms as i64));
                self.changed();
                seen_own_write(self);
                Answer::Updated(if luck < 85 { done.map_err(Failure::Refused) } else { Err(lost()) })
            }
            Request::Unregister(_) if dead => Answer::Unregistered(Err(gone())),
            Request::Unregister(name) => {
                if self.znodes.unregister(&name).is_ok() {
                    self.changed();
                }
                seen_own_write(self);
                Answer::Unregistered(if luck < 85 { Ok(()) } else { Err(lost()) })
            }
            Request::Look if dead => Answer::Looked(Err(gone())),
            Request::Look => Answer::Looked(match luck {
                0..95 => Ok(self.shown(i, false).look(SessionId(session))),
                _ => Err(lost()),
            }),
            Request::Admission if dead => Answer::Admission(Err(gone())),
            Request::Admission => Answer::Admission(Ok(self.shown(i, false).admission())),
            Request::ReadSlot(_) if dead => Answer::SlotRead(Err(gone())),
            Request::ReadSlot(slot) => Answer::SlotRead(self.shown(i, true).read_slot(slot).map_err(Failure::Refused)),
            Request::Watch(_) if dead => Answer::Watching(Err(gone())),
            Request::Watch(interest) => {
                let glance = self.shown(i, true).glance(&interest);
                self.nodes[i].watched = Some((interest, glance));
                self.nodes[i].beat = false;
                Answer::Watching(Ok(()))
            }
            Request::Write(_) if dead => Answer::Written(Err(gone())),
            Request::Write(write) => Answer::Written(match luck {
                0..76 => {
                    let result = self.apply(session, &write);
                    seen_own_write(self);
                    result
                }
                76..84 => {
                    let _ = self.apply(session, &write);
                    Err(lost())
                }
                84..92 => {
                    self.late.push((session, Late::Write(write)));
                    Err(lost())
                }
                _ => Err(lost()),
            }),
        };
        self.event(i, Event::Answered(answer));
    }

    /// Takes ids from any grant ever given, and fails on the first that was taken before.
    pub fn issue(&mut self, i: usize) {
        if self.nodes[i].grants.is_empty() {
            return;
        }
        let pick = self.dice.index(self.nodes[i].grants.len());
        let (off, n) = (self.dice.around(300), 1 + self.dice.below(9));
        let to_the_ceiling = self.dice.percent(30);
        let grant = &self.nodes[i].grants[pick];
        let from = match to_the_ceiling {
            true => self.reach(grant).0 as i64 - off.abs() % 20,
            false => self.at(i).credible.0 as i64 + off,
        };
        let from = SMALL.tick(Millis(from.max(0) as u64));
        if let Ok(ticks) = grant.take(from, n) {
            let worker = grant.origin().worker;
            self.record(worker, ticks);
        }
    }

    /// Takes whatever is left of every grant ever given: a thread that was paused may come back at any time.
    pub fn exhaust(&mut self) {
        let grants: Vec<_> = self.nodes.iter().flat_map(|node| node.grants.clone()).collect();
        for grant in grants {
            let (position, ceiling) = (grant.position(), SMALL.tick(self.reach(&grant)));
            if position < ceiling
                && let Ok(ticks) = grant.take(position, ceiling.0 - position.0)
            {
                self.record(grant.origin().worker, ticks);
            }
        }
    }

    /// How far a caller may come: to the ceiling; where a flaw has none that matters, as far as the clock paces it.
    fn reach(&self, grant: &Grant) -> Millis {
        match grant.ceiling() {
            ceiling if ceiling == SMALL.last_timestamp() => Millis(self.boot_ms),
            ceiling => ceiling,
        }
    }

    /// Fails if any of these ticks was given before.
    fn record(&mut self, worker: u16, Ticks { from, to }: Ticks) {
        let given = self.issued.entry(worker).or_default();
        let before = given.range(..to.0).next_back().map(|(_, end)| *end);
        assert!(before.is_none_or(|end| end <= from.0), "worker {worker} gives ticks {from:?} to {to:?} {TWICE}");
        given.insert(from.0, to.0);
        self.report.ids += to.0 - from.0;
    }
}

/// `pool` dynamic slots.
fn settings(pool: u16) -> Settings {
    Settings {
        layout: SMALL,
        datacenter: 1,
        dynamic: 4..=3 + pool,
        session_ms: 1_000,
        window_ms: 3_000,
        first_window_ms: 500,
        max_borrow_ms: 6_000,
        lame_duck_ms: 400,
        #[cfg(feature = "broken")]
        flaw: None,
    }
}

/// `quota` dynamic slots.
fn blueprint(quota: u16) -> Blueprint {
    let tree = Tree {
        v: 1,
        fleet: "simulated".into(),
        datacenter: 1,
        epoch: "1970-01-01T00:00:00Z".into(),
        layout: SMALL.name.into(),
        genesis: Guid("genesis".into()),
    };
    let admission = Admission {
        v: 1,
        quota: quota + FIXED,
        fixed: FIXED,
        surge: quota + FIXED,
        surge_until: None,
        surge_for: Vec::new(),
        digest: String::new(),
    };
    Blueprint { tree, admission, slots: SMALL.workers(), window_ms: 100_500, epoch_unix_ms: i64::MAX }
}
