//! The lease as a state machine for the checker: every step that nodes, network and servers can take.

use crate::mutants::Mutant;
use crate::scope::Scope;
use crate::state::{Broken, Hold, Pending, State};
use crate::world::{Kind, Place, Record, Registration, Request, Snapshot};

#[derive(Clone, Debug)]
pub struct Lease {
    pub scope: Scope,
    /// The one thing done wrong; nothing in the protocol itself.
    pub mutant: Option<Mutant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// With the oldest snapshot that later reads of this session may show.
    Send(Request, u8),
    /// Nobody waits for the answer: the next look tells.
    Clean(Request, u8),
    Seal {
        node: u8,
        mark: u8,
        owned: bool,
        seen: u8,
    },
    /// A look shows a newer version of the node's own slot.
    Notice(u8, u8),
    /// Applied or refused. A node that still waits has its answer at once: one that comes later teaches nothing else.
    Deliver(Request),
    /// The answer is lost, before or after the request is applied; a request not yet applied stays on its way.
    GiveUp(u8),
    ReadBack {
        node: u8,
        record_at: u8,
        owner_at: u8,
    },
    Register(u8),
    /// The create of a registration whose answer was lost is applied as well as its repetition.
    RegisterAgain(u8),
    Withdraw(Registration),
    HoldBack(u8),
    /// The client opens another session, rightly or not believing that the old one has ended.
    NewSession(u8),
    Crash(u8),
    /// The server ends a session; nobody tells the client.
    Expire(u8, u8),
    SetQuota(u8),
    /// Mutants only.
    Resume(u8, u8),
    Wipe(u8),
}

impl Step {
    pub fn seen(&self) -> u8 {
        match self {
            Step::Send(_, seen) | Step::Clean(_, seen) | Step::Seal { seen, .. } | Step::Notice(_, seen) => *seen,
            _ => 0,
        }
    }

    pub fn is_repeated_by(&self, other: &Step) -> bool {
        match (*self, *other) {
            (Step::Send(a, _), Step::Send(b, _)) | (Step::Clean(a, _), Step::Clean(b, _)) => a == b,
            (Step::Notice(a, _), Step::Notice(b, _)) => a == b,
            (Step::Seal { node, mark, owned, .. }, Step::Seal { node: n, mark: m, owned: o, .. }) => {
                (node, mark, owned) == (n, m, o)
            }
            _ => false,
        }
    }
}

impl Lease {
    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Can this request never be applied any more? Such a one leaves the wire, and its sender, if it still waits, is in
    /// doubt: as good as a refusal, or as silence.
    pub fn doomed(&self, state: &State, request: &Request) -> bool {
        let may_outlive = self.scope.dead_writes && matches!(request.kind, Kind::Extend | Kind::Release);
        let dead = !may_outlive && !state.lives(request.guid.node, request.session);
        dead || !state.tip().versions_hold(request)
    }

    fn fits(&self, state: &State, request: &Request) -> bool {
        let written = state.tip().slots[request.slot as usize].version;
        request.ceiling <= self.scope.ceiling && written < self.scope.versions && state.wire.len() < self.scope.wire
    }

    pub fn send(&self, state: &mut State, request: Request, seen: u8) {
        let node = state.node_mut(request.guid.node);
        node.seen = if self.scope.any_read { 0 } else { node.seen.max(seen) };
        node.pending = Pending::Answer(request);
        state.wire.insert(request);
    }

    pub fn steps(&self, state: &State, out: &mut Vec<Step>) {
        for request in &state.wire {
            out.push(Step::Deliver(*request));
        }
        for id in 0..self.scope.nodes {
            self.node_steps(state, id, out);
            self.session_steps(state, id, out);
        }
        if state.quota_changes < self.scope.quota_changes {
            out.extend((1..=2).filter(|quota| *quota != state.tip().quota).map(Step::SetQuota));
        }
        if self.is(Mutant::WipedSlot) {
            out.extend(
                (0..self.scope.slots).filter(|slot| state.tip().slots[*slot as usize].version > 0).map(Step::Wipe),
            );
        }
    }

    fn node_steps(&self, state: &State, id: u8, out: &mut Vec<Step>) {
        let node = state.node(id);
        let first = out.len();
        match (node.pending, node.hold) {
            (Pending::Answer(_), _) if self.scope.lost_answers => out.push(Step::GiveUp(id)),
            (Pending::Answer(_), _) => {}
            (Pending::Doubt(_), _) => {
                for record_at in node.seen..=state.newest() {
                    // Without admission nobody asks for the owner but a release, and there the order does not matter.
                    let last = if self.scope.admission { state.newest() } else { record_at };
                    for owner_at in record_at..=last {
                        out.push(Step::ReadBack { node: id, record_at, owner_at });
                    }
                }
            }
            (Pending::Nothing, Hold::Waiting) if node.attempt > self.scope.attempts => {}
            (Pending::Nothing, Hold::Waiting) if self.scope.admission => self.looks(state, id, out),
            (Pending::Nothing, Hold::Waiting) => self.bare_claims(state, id, out),
            (Pending::Nothing, Hold::Holding { attached, .. }) => {
                let attached = attached == Some(node.session);
                if self.scope.extends && (attached || !self.scope.admission) {
                    self.extends(id, node, out);
                }
                if self.scope.admission && !attached {
                    self.looks(state, id, out);
                }
            }
            (Pending::Nothing, Hold::Sealed { .. }) => unreachable!("a sealed node always has a release under way"),
        }
        if let Hold::Holding { attached, .. } = node.hold {
            let attached = attached == Some(node.session) || !self.scope.admission;
            if self.scope.releases && attached && node.attempt < self.scope.attempts {
                self.seals(id, node, true, node.seen, out);
            }
        }
        let mut kept = first;
        for index in first..out.len() {
            let step = out[index];
            let fits = match &step {
                Step::Send(request, _) => self.fits(state, request),
                Step::Clean(request, _) => state.wire.len() < self.scope.wire && !state.wire.contains(request),
                Step::Seal { .. } => state.wire.len() < self.scope.wire,
                _ => true,
            };
            if fits {
                out[kept] = step;
                kept += 1;
            }
        }
        out.truncate(kept);
    }

    fn session_steps(&self, state: &State, id: u8, out: &mut Vec<Step>) {
        let node = state.node(id);
        let registered = |place: &Place| {
            (place.registration.node, place.registration.session, place.registration.copy) == (id, node.session, 0)
        };
        if self.scope.admission && state.lives(id, node.session) {
            if !state.tip().line.iter().any(registered) {
                out.push(Step::Register(id));
            } else if state.copies < self.scope.copies {
                out.push(Step::RegisterAgain(id));
            }
            out.extend(self.surplus(state, id).map(Step::Withdraw));
            if state.hold_backs < self.scope.hold_backs {
                out.push(Step::HoldBack(id));
            }
        }
        let may_begin_again = node.session < self.scope.sessions && state.faults < self.scope.faults;
        if may_begin_again {
            out.push(Step::NewSession(id));
            if node.hold != Hold::Waiting || node.pending != Pending::Nothing {
                out.push(Step::Crash(id));
            }
        }
        let living = (0..=node.session).filter(|session| state.lives(id, *session));
        out.extend(living.map(|session| Step::Expire(id, session)));
    }

    pub fn take(&self, state: &mut State, step: Step) -> bool {
        let happened = match step {
            Step::Send(request, seen) => {
                self.send(state, request, seen);
                true
            }
            Step::Clean(request, seen) => {
                let node = state.node_mut(request.guid.node);
                node.seen = node.seen.max(seen);
                state.wire.insert(request)
            }
            Step::Seal { node, mark, owned, seen } => {
                let memory = state.node_mut(node);
                memory.seen = memory.seen.max(seen);
                self.seal(state, node, mark, owned)
            }
            Step::Notice(id, seen) => {
                let node = state.node_mut(id);
                let Hold::Holding { slot, version, ceiling, .. } = node.hold else { return false };
                node.seen = node.seen.max(seen);
                let node = *state.node(id);
                let own = self.write(id, &node, Kind::Extend, slot, version, ceiling);
                state.node_mut(id).pending = Pending::Doubt(own.as_doubt());
                true
            }
            Step::Deliver(request) => self.deliver(state, request),
            Step::GiveUp(node) => self.give_up(state, node),
            Step::ReadBack { node, record_at, owner_at } => self.read_back(state, node, record_at, owner_at),
            Step::Register(id) => self.register(state, id, 0),
            Step::RegisterAgain(id) => {
                state.copies += 1;
                self.register(state, id, 1)
            }
            Step::Withdraw(registration) => {
                let mut next = state.tip().clone();
                next.line.retain(|place| place.registration != registration);
                state.push(next, self.scope.lag);
                true
            }
            Step::HoldBack(id) => self.hold_back(state, id),
            Step::NewSession(id) => {
                state.faults += 1;
                state.node_mut(id).open_session();
                true
            }
            Step::Crash(id) => {
                state.faults += 1;
                let node = state.node_mut(id);
                node.open_session();
                node.born = node.session;
                node.held_back = false;
                node.start_over();
                true
            }
            Step::Expire(id, session) => self.expire(state, id, session),
            Step::SetQuota(quota) => {
                state.quota_changes += 1;
                let admission = state.tip().admission + u8::from(!self.is(Mutant::QuotaWithoutBump));
                let next = Snapshot { admission, quota, ..state.tip().clone() };
                state.push(next, self.scope.lag);
                true
            }
            Step::Resume(id, slot) => {
                let Record { version, ceiling, .. } = state.tip().slots[slot as usize];
                let node = state.node_mut(id);
                let floor = ceiling - 1;
                node.hold = Hold::Holding { slot, version, floor, ceiling, attached: Some(node.session) };
                state.grant(slot, floor, ceiling);
                true
            }
            Step::Wipe(slot) => {
                let mut next = state.tip().clone();
                next.slots[slot as usize] = Record { holder: None, version: 0, ceiling: 0 };
                next.owners[slot as usize] = None;
                state.push(next, self.scope.lag);
                true
            }
        };
        self.drop_doomed(state);
        happened
    }

    fn deliver(&self, state: &mut State, request: Request) -> bool {
        state.wire.remove(&request);
        let id = request.guid.node;
        let awaited = state.node(id).pending == Pending::Answer(request);
        let next = if self.doomed(state, &request) { None } else { state.tip().after(&request) };
        let Some(next) = next else {
            if awaited {
                state.node_mut(id).pending = Pending::Doubt(request.as_doubt());
            }
            return true;
        };
        self.judge(state, &request, &next);
        let record = next.slots[request.slot as usize];
        state.push(next, self.scope.lag);
        if awaited {
            self.accepted(state, request, record);
        }
        true
    }

    /// Does this write, at the moment it is applied, break a promise?
    fn judge(&self, state: &mut State, request: &Request, next: &Snapshot) {
        let slot = request.slot as usize;
        let tip = state.tip();
        let mut broken = Broken::default();
        if let Some(names) = request.attaches.filter(|_| self.scope.admission && self.dynamic_slots().contains(&slot)) {
            broken.over_quota = self.dynamic_owners(&next.owners) > next.quota;
            let place = tip.line.iter().position(|place| place.registration == names);
            if let (Kind::Claim, Some(place)) = (request.kind, place) {
                let ahead = self.waiting_before(&tip.line, place, &tip.owners);
                broken.overtaken = ahead + self.dynamic_owners(&tip.owners) >= tip.quota;
            }
        }
        if let Some(owner) = tip.owners[slot].filter(|_| request.deletes_owner) {
            let node = state.node(request.guid.node);
            let in_use = self.guid(owner.guid.node, node) == owner.guid
                && matches!(node.hold, Hold::Holding { slot: held, .. } if held as usize == slot);
            broken.foreign_delete = owner.guid.node != request.guid.node || (request.kind == Kind::Cleanup && in_use);
        }
        broken.lowered = request.kind != Kind::Release && next.slots[slot].ceiling < tip.slots[slot].ceiling;
        state.broken.over_quota |= broken.over_quota;
        state.broken.overtaken |= broken.overtaken;
        state.broken.foreign_delete |= broken.foreign_delete;
        state.broken.lowered |= broken.lowered;
    }

    pub fn register(&self, state: &mut State, id: u8, copy: u8) -> bool {
        let node = state.node(id);
        let eligible = !node.held_back || self.is(Mutant::HeldBackInLine);
        let mut next = state.tip().clone();
        next.line.push(Place { registration: Registration { node: id, session: node.session, copy }, eligible });
        state.push(next, self.scope.lag);
        true
    }

    /// The clock is wrong, the region drains, or that is over: the node says so in its own registrations.
    fn hold_back(&self, state: &mut State, id: u8) -> bool {
        state.hold_backs += 1;
        let node = state.node_mut(id);
        node.held_back = !node.held_back;
        let (session, eligible) = (node.session, !node.held_back || self.is(Mutant::HeldBackInLine));
        let mut next = state.tip().clone();
        for place in &mut next.line {
            if (place.registration.node, place.registration.session) == (id, session) {
                place.eligible = eligible;
            }
        }
        state.push(next, self.scope.lag);
        true
    }

    pub fn expire(&self, state: &mut State, id: u8, session: u8) -> bool {
        state.node_mut(id).alive &= !(1 << session);
        if let Some(next) = state.tip().without_session(id, session) {
            state.push(next, self.scope.lag);
        }
        true
    }

    fn drop_doomed(&self, state: &mut State) {
        if state.wire.iter().any(|request| self.doomed(state, request)) {
            let (doomed, live) = state.wire.iter().partition(|request| self.doomed(state, request));
            state.wire = live;
            let doomed: std::collections::BTreeSet<Request> = doomed;
            for request in doomed {
                let node = state.node_mut(request.guid.node);
                if node.pending == Pending::Answer(request) {
                    node.pending = Pending::Doubt(request.as_doubt());
                }
            }
        }
    }
}
