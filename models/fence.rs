//! The fence: what a node writes to its slot, and what it concludes from an answer, a refusal or silence.
//!
//! Clocks are not state. A step that would read one picks any ceiling that the code's own guards allow, which covers
//! skew, jumps either way and clocks that stand still. A pause is a node that takes no step while others do.

use crate::lease::{Lease, Step};
use crate::mutants::Mutant;
use crate::state::{Hold, Node, Pending, State};
use crate::world::{Guard, Guid, Kind, Record, Registration, Request};

impl Lease {
    /// A write of `node` to `slot` with no conditions but the slot's version.
    pub fn write(&self, node_id: u8, node: &Node, kind: Kind, slot: u8, version: u8, ceiling: u8) -> Request {
        Request {
            kind,
            guid: self.guid(node_id, node),
            session: node.session,
            slot,
            version: (!self.is(Mutant::Unconditional)).then_some(version),
            guard: Guard::Absent,
            floor: 0,
            ceiling,
            deletes_owner: false,
            attaches: None,
            leaves: None,
        }
    }

    pub fn guid(&self, id: u8, node: &Node) -> Guid {
        if self.is(Mutant::OneGuidPerProcess) { Guid { node: id, attempt: node.born } } else { node.guid(id) }
    }

    /// The ceilings that `max(floor, now) + window` may come to: at least one above the floor.
    pub fn claim_ceilings(&self, floor: u8) -> Vec<u8> {
        let next = floor + 1;
        if self.scope.any_clock && next < self.scope.ceiling {
            (next..=self.scope.ceiling).collect()
        } else {
            vec![next]
        }
    }

    /// The ceilings that `max(ceiling, max(now, next unissued) + window)` may come to; a borrower's stays where it is.
    pub fn extend_ceilings(&self, floor: u8, ceiling: u8, lowers: bool) -> Vec<u8> {
        let lowest = if lowers { floor } else { ceiling };
        if self.scope.any_clock || lowers {
            (lowest..=self.scope.ceiling.max(ceiling + 1)).collect()
        } else {
            vec![ceiling + 1]
        }
    }

    /// Without admission: a claim of any slot whose record was read. The owner is not looked at, ZooKeeper refuses.
    pub fn bare_claims(&self, state: &State, id: u8, out: &mut Vec<Step>) {
        let node = state.node(id);
        for slot in 0..self.scope.slots {
            for at in node.seen..=state.newest() {
                let record = state.history[at as usize].slots[slot as usize];
                let versions = match self.mutant {
                    Some(Mutant::FloorAndVersionFromTwoReads) => (at..=state.newest())
                        .map(|later| state.history[later as usize].slots[slot as usize].version)
                        .collect(),
                    _ => vec![record.version],
                };
                for version in versions {
                    for ceiling in self.claim_ceilings(record.ceiling) {
                        let claim = self.write(id, node, Kind::Claim, slot, version, ceiling);
                        let names = Registration { node: id, session: node.session, copy: 0 };
                        let claim = Request { floor: record.ceiling, attaches: Some(names), ..claim };
                        out.push(Step::Send(claim, at));
                    }
                }
            }
            let holder = state.tip().slots[slot as usize].holder;
            if self.is(Mutant::HolderByHostName) && holder.is_some_and(|holder| holder.node == id) {
                out.push(Step::Resume(id, slot));
            }
        }
    }

    pub fn extends(&self, id: u8, node: &Node, out: &mut Vec<Step>) {
        let Hold::Holding { slot, version, floor, ceiling, .. } = node.hold else { return };
        for next in self.extend_ceilings(floor, ceiling, self.is(Mutant::LoweringExtend)) {
            out.push(Step::Send(self.write(id, node, Kind::Extend, slot, version, next), node.seen));
        }
    }

    /// Every mark that a counter may have come to.
    pub fn seals(&self, node_id: u8, node: &Node, owned: bool, seen: u8, out: &mut Vec<Step>) {
        let Hold::Holding { floor, ceiling, .. } = node.hold else { return };
        for mark in floor..=ceiling {
            out.push(Step::Seal { node: node_id, mark, owned, seen });
        }
    }

    /// Seal first, for good; the release goes out when no other write is in flight.
    pub fn seal(&self, state: &mut State, id: u8, mark: u8, owned: bool) -> bool {
        let Hold::Holding { slot, version, floor, ceiling, .. } = state.node(id).hold else { return false };
        if !self.is(Mutant::UnsealedRelease) {
            state.give_back(slot, mark, ceiling);
        }
        let written = if self.is(Mutant::MarkRoundedDown) { mark.saturating_sub(1).max(floor) } else { mark };
        let node = state.node_mut(id);
        node.hold = Hold::Sealed { slot, version, mark: written, owned };
        if node.pending == Pending::Nothing {
            self.send_release(state, id);
        }
        true
    }

    pub fn send_release(&self, state: &mut State, id: u8) {
        let node = state.node(id);
        let Hold::Sealed { slot, version, mark, owned } = node.hold else { return };
        let deletes_owner = match self.mutant {
            Some(Mutant::ReleaseAlwaysDeletes) => true,
            Some(Mutant::ReleaseNeverDeletes) => false,
            _ => owned,
        };
        let release = Request { deletes_owner, ..self.write(id, node, Kind::Release, slot, version, mark) };
        self.send(state, release, node.seen);
    }

    /// The answer to our write is Ok, and `record` is what we wrote.
    pub fn accepted(&self, state: &mut State, request: Request, record: Record) {
        let id = request.guid.node;
        let newest = state.newest();
        let node = state.node_mut(id);
        node.pending = Pending::Nothing;
        node.seen = if self.scope.any_read { 0 } else { newest };
        match (request.kind, node.hold) {
            (Kind::Claim, Hold::Waiting) => {
                self.begin(state, id, request, record, Some(request.session));
            }
            (Kind::Extend | Kind::Reattach, Hold::Holding { slot, floor, ceiling, attached, .. }) => {
                let attached = if request.kind == Kind::Reattach { Some(request.session) } else { attached };
                let raised = ceiling.max(record.ceiling);
                node.hold = Hold::Holding { slot, version: record.version, floor, ceiling: raised, attached };
                state.grant(slot, ceiling, raised);
            }
            (Kind::Extend | Kind::Reattach, Hold::Sealed { slot, mark, owned, .. }) => {
                let owned = owned || request.kind == Kind::Reattach;
                node.hold = Hold::Sealed { slot, version: record.version, mark, owned };
                if self.is(Mutant::CeilingAfterSeal) {
                    state.grant(slot, mark, record.ceiling);
                }
                self.send_release(state, id);
            }
            (Kind::Release, Hold::Sealed { .. }) => node.start_over(),
            (kind, hold) => unreachable!("{kind:?} accepted in {hold:?}"),
        }
    }

    pub fn begin(&self, state: &mut State, id: u8, claim: Request, record: Record, attached: Option<u8>) {
        let (slot, floor, ceiling) = (claim.slot, claim.floor, record.ceiling);
        state.node_mut(id).hold = Hold::Holding { slot, version: record.version, floor, ceiling, attached };
        state.grant(slot, floor, ceiling);
    }

    /// The node stops waiting for an answer. The request may still be on its way.
    pub fn give_up(&self, state: &mut State, id: u8) -> bool {
        let node = state.node_mut(id);
        let Pending::Answer(request) = node.pending else { return false };
        node.pending = Pending::Doubt(request.as_doubt());
        if self.is(Mutant::LostAnswerIsSuccess)
            && let (Kind::Extend, Hold::Holding { slot, version, floor, ceiling, attached }) = (request.kind, node.hold)
        {
            node.pending = Pending::Nothing;
            node.hold = Hold::Holding { slot, version: version + 1, floor, ceiling: request.ceiling, attached };
            state.grant(slot, ceiling, request.ceiling);
        }
        true
    }

    /// The read that ends a doubt: the record as of one snapshot, its owner as of the same or a later one.
    pub fn read_back(&self, state: &mut State, id: u8, record_at: u8, owner_at: u8) -> bool {
        let node = *state.node(id);
        let Pending::Doubt(request) = node.pending else { return false };
        let record = state.history[record_at as usize].slots[request.slot as usize];
        let mine = record.holder == Some(self.guid(id, &node));
        let owner = state.history[owner_at as usize].owners[request.slot as usize].filter(|o| node.created(id, o));
        let attached = owner.map(|owner| owner.session);
        match node.hold {
            Hold::Waiting if mine => self.begin(state, id, request, record, attached),
            // Not there, or not there yet: then it is an orphan when it arrives.
            Hold::Waiting => state.node_mut(id).start_over(),
            Hold::Holding { slot, floor, ceiling, attached, .. } if self.is(Mutant::VersionWithoutHolder) => {
                state.node_mut(id).hold = Hold::Holding { slot, version: record.version, floor, ceiling, attached };
            }
            Hold::Holding { version, .. } | Hold::Sealed { version, .. } if record.version < version => return false,
            Hold::Holding { slot, version, floor, ceiling, attached: believed } if mine => {
                let attached = match (self.is(Mutant::InferredAttachment), request.kind) {
                    (true, Kind::Reattach) if record.version > version => Some(request.session),
                    (true, _) => believed,
                    (false, _) => attached,
                };
                let raised = ceiling.max(record.ceiling);
                state.node_mut(id).hold =
                    Hold::Holding { slot, version: record.version, floor, ceiling: raised, attached };
                state.grant(slot, ceiling, raised);
            }
            Hold::Sealed { slot, mark, .. } if mine => {
                let owned = owner.is_some();
                state.node_mut(id).hold = Hold::Sealed { slot, version: record.version, mark, owned };
            }
            // Fenced, or released after all.
            Hold::Holding { .. } | Hold::Sealed { .. } => state.node_mut(id).start_over(),
        }
        let node = state.node_mut(id);
        node.pending = Pending::Nothing;
        node.seen = if self.scope.any_read { 0 } else { owner_at };
        self.send_release(state, id);
        true
    }
}

impl Request {
    /// What a node still needs of a request whose answer it will not get; the rest would only multiply states.
    pub fn as_doubt(self) -> Request {
        let floor = if self.kind == Kind::Claim { self.floor } else { 0 };
        Request {
            version: None,
            guard: Guard::Absent,
            floor,
            ceiling: 0,
            deletes_owner: false,
            attaches: None,
            leaves: None,
            ..self
        }
    }
}
