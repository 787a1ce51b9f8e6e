//! Admission: who may claim or re-attach, judged by one look whose reads stand in one order on one session.

use crate::lease::{Lease, Step};
use crate::mutants::Mutant;
use crate::state::{Hold, Node, State};
use crate::world::{Guard, Kind, Owner, Place, Record, Registration, Request, SLOTS, Snapshot};

/// What a look has seen: each part as of the snapshot its own read was answered from.
pub struct Look<'a> {
    pub admission: u8,
    pub quota: u8,
    pub line: &'a [Place],
    pub owners: [Option<Owner>; SLOTS],
    pub slots: [Record; SLOTS],
    /// The newest snapshot read.
    pub seen: u8,
}

impl<'a> Look<'a> {
    pub fn fresh(snapshot: &'a Snapshot, seen: u8) -> Self {
        let Snapshot { admission, quota, slots, owners, line } = snapshot;
        Look { admission: *admission, quota: *quota, line, owners: *owners, slots: *slots, seen }
    }

    fn names(&self, registration: Registration) -> bool {
        self.owners.iter().flatten().any(|owner| owner.names == registration)
    }
}

impl Lease {
    pub fn is_static(&self, node: u8) -> bool {
        self.scope.twins && node < 2
    }

    /// By the slot's number, not by the owner's registration: that may be younger than the read of the line.
    pub fn dynamic_slots(&self) -> std::ops::Range<usize> {
        usize::from(self.scope.twins)..self.scope.slots as usize
    }

    pub fn dynamic_owners(&self, owners: &[Option<Owner>; SLOTS]) -> u8 {
        self.dynamic_slots().filter(|slot| owners[*slot].is_some()).count() as u8
    }

    /// Places before `end` that wait: dynamic, eligible, and named by no owner.
    pub fn waiting_before(&self, line: &[Place], end: usize, owners: &[Option<Owner>; SLOTS]) -> u8 {
        let named = |place: &Place| owners.iter().flatten().any(|owner| owner.names == place.registration);
        let waits = |place: &&Place| place.eligible && !self.is_static(place.registration.node) && !named(place);
        line[..end].iter().filter(waits).count() as u8
    }

    /// All looks that a node may have had by now: reads in the order admission, line, owners, record, none older than
    /// the one before it. The mutants read in another order, or on two sessions.
    pub fn looks(&self, state: &State, id: u8, out: &mut Vec<Step>) {
        let (oldest, newest) = (state.node(id).seen, state.newest());
        let at = |index: u8| -> &Snapshot { &state.history[index as usize] };
        let first = out.len();
        for a in oldest..=newest {
            for b in a..=newest {
                for c in b..=newest {
                    for d in c..=newest {
                        for e in d..=newest {
                            let (admission, line, owners, record) = match self.mutant {
                                Some(Mutant::OwnersBeforeAdmission) => (c, d, [a, b], e),
                                _ => (a, b, [c, d], e),
                            };
                            let mut look = Look::fresh(at(admission), e);
                            look.line = &at(line).line;
                            look.owners = [at(owners[0]).owners[0], at(owners[1]).owners[1]];
                            look.slots = at(record).slots;
                            if self.is(Mutant::QuotaAndVersionFromTwoReads) {
                                look.quota = at(oldest).quota;
                            }
                            self.conclude(state, id, &look, out);
                            if self.is(Mutant::LookOnTwoSessions) {
                                // The other session's server may lag behind everything this one has shown.
                                for other in 0..=newest {
                                    look.owners = at(other).owners;
                                    self.conclude(state, id, &look, out);
                                }
                            }
                        }
                    }
                }
            }
        }
        self.drop_repetitions(out, first);
    }

    /// Of equal steps keep the one that has seen least: it allows everything that the others do.
    fn drop_repetitions(&self, out: &mut Vec<Step>, first: usize) {
        let mut kept = first;
        for next in first..out.len() {
            let step = out[next];
            match out[first..kept].iter_mut().find(|earlier| earlier.is_repeated_by(&step)) {
                Some(earlier) if earlier.seen() > step.seen() => *earlier = step,
                Some(_) => {}
                None => {
                    out[kept] = step;
                    kept += 1;
                }
            }
        }
        out.truncate(kept);
    }

    /// What the node does after this look.
    pub fn conclude(&self, state: &State, id: u8, look: &Look, out: &mut Vec<Step>) {
        match state.node(id).hold {
            Hold::Waiting => self.claim(state, id, look, out),
            Hold::Holding { .. } => self.reattach(state, id, look, out),
            Hold::Sealed { .. } => {}
        }
    }

    fn claim(&self, state: &State, id: u8, look: &Look, out: &mut Vec<Step>) {
        let node = state.node(id);
        if !self.is(Mutant::NoCleanup) {
            let orphan = (0..SLOTS).find(|slot| look.owners[*slot].is_some_and(|owner| node.created(id, &owner)));
            if let Some(slot) = orphan {
                self.cleanup(state, id, look, slot, out);
                return;
            }
        }
        let mine = |place: &Place| (place.registration.node, place.registration.session) == (id, node.session);
        let Some(rank) = look.line.iter().position(mine) else { return };
        if node.held_back {
            return;
        }
        let slots = if self.is_static(id) {
            0..1
        } else {
            let ahead = if self.is(Mutant::NoRank) { 0 } else { self.waiting_before(look.line, rank, &look.owners) };
            if ahead + self.dynamic_owners(&look.owners) >= look.quota {
                return;
            }
            self.dynamic_slots()
        };
        // A static claim does not touch `admission`: it changes nothing that the quota counts.
        let guard = match self.mutant {
            _ if self.is_static(id) => Guard::Absent,
            Some(Mutant::ClaimWithoutBump) => Guard::Check(look.admission),
            Some(Mutant::ClaimWithoutCheck) => Guard::Absent,
            _ => Guard::Bump(look.admission),
        };
        for slot in slots.filter(|slot| look.owners[*slot].is_none()) {
            let record = look.slots[slot];
            for ceiling in self.claim_ceilings(record.ceiling) {
                let claim = self.write(id, node, Kind::Claim, slot as u8, record.version, ceiling);
                let attaches = Some(look.line[rank].registration);
                let claim = Request { guard, floor: record.ceiling, attaches, ..claim };
                if !self.doomed(state, &claim) {
                    out.push(Step::Send(claim, look.seen));
                }
            }
        }
    }

    /// An owner of ours without a grant: a claim we had given up arrived after all. It fills the quota.
    fn cleanup(&self, state: &State, id: u8, look: &Look, slot: usize, out: &mut Vec<Step>) {
        let record = look.slots[slot];
        let owner = look.owners[slot].expect("an orphan is an owner");
        let unguarded = self.is(Mutant::CleanupWithoutCheck);
        if record.holder == Some(owner.guid) || unguarded {
            let delete = self.write(id, state.node(id), Kind::Cleanup, slot as u8, record.version, 0);
            let version = delete.version.filter(|_| !unguarded);
            let delete = Request { guid: owner.guid, version, deletes_owner: true, ..delete };
            if !self.doomed(state, &delete) {
                out.push(Step::Clean(delete, look.seen));
            }
        }
    }

    fn reattach(&self, state: &State, id: u8, look: &Look, out: &mut Vec<Step>) {
        let node = state.node(id);
        let Hold::Holding { slot, version, floor, ceiling, .. } = node.hold else { return };
        let (record, owner) = (look.slots[slot as usize], look.owners[slot as usize]);
        if record.version != version {
            if record.version > version {
                out.push(Step::Notice(id, look.seen));
            }
            return;
        }
        let mine = owner.is_some_and(|owner| node.created(id, &owner));
        let others = self.dynamic_owners(&look.owners) - u8::from(mine && !self.is_static(id));
        if !self.is_static(id) && others >= look.quota && !self.is(Mutant::ReattachWithoutCount) {
            self.seals(id, node, mine, look.seen, out);
            return;
        }
        let Some(names) = self.registration_to_name(id, node, look) else { return };
        let guard = match self.mutant {
            _ if self.is_static(id) => Guard::Absent,
            Some(Mutant::ReattachWithoutCheck) => Guard::Absent,
            Some(Mutant::ReattachWithoutBump) => Guard::Check(look.admission),
            _ => Guard::Bump(look.admission),
        };
        let old = |place: &&Place| {
            let Registration { node: of, session, .. } = place.registration;
            of == id && session >= node.born && session < node.session
        };
        let leaves = look.line.iter().find(old).map(|place| place.registration);
        for next in self.extend_ceilings(floor, ceiling, self.is(Mutant::LoweringReattach)) {
            let write = self.write(id, node, Kind::Reattach, slot, version, next);
            let write = Request { guard, deletes_owner: mine, attaches: Some(names), leaves, ..write };
            if !self.doomed(state, &write) {
                out.push(Step::Send(write, look.seen));
            }
        }
    }

    /// The new owner names the new registration; else that one would wait in the line for ever.
    fn registration_to_name(&self, id: u8, node: &Node, look: &Look) -> Option<Registration> {
        if self.is(Mutant::ReattachNamesOldRegistration) {
            return Some(Registration { node: id, session: node.born, copy: 0 });
        }
        let mine = |place: &&Place| (place.registration.node, place.registration.session) == (id, node.session);
        let place = look.line.iter().find(|place| mine(place) && !look.names(place.registration))?;
        Some(place.registration)
    }

    /// A registration of this session that is one too many: its create was sent twice, after a lost answer.
    pub fn surplus(&self, state: &State, id: u8) -> Option<Registration> {
        if self.is(Mutant::SurplusRegistrationKept) {
            return None;
        }
        let (node, tip) = (state.node(id), state.tip());
        let of_session = |place: &&Place| (place.registration.node, place.registration.session) == (id, node.session);
        let copies: Vec<Registration> = tip.line.iter().filter(of_session).map(|place| place.registration).collect();
        let named = |copy: &Registration| tip.owners.iter().flatten().any(|owner| owner.names == *copy);
        let kept = copies.iter().position(named).unwrap_or(0);
        copies.iter().enumerate().find(|(index, _)| *index != kept).map(|(_, copy)| *copy)
    }
}
