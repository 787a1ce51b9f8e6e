//! ZooKeeper as the lease sees it: one sequence of snapshots, and transactions that apply whole or not at all.
//!
//! Nothing here knows the protocol or its mutants. A request carries its own conditions, as a `multi` does.

pub const SLOTS: usize = 2;

/// One attempt of one node to hold a slot: fresh for every claim, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid {
    pub node: u8,
    pub attempt: u8,
}

/// `slots/<w>`: data and data version come from one read, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    pub holder: Option<Guid>,
    pub version: u8,
    pub ceiling: u8,
}

/// The name of `workers/<node>-<seq>`: one per node and session, and a copy if the answer to the first create was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Registration {
    pub node: u8,
    pub session: u8,
    pub copy: u8,
}

/// A registration in the line, which stands in order of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub registration: Registration,
    pub eligible: bool,
}

/// `slots/<w>/owner`: its data, and the session it lives in (`ephemeralOwner`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub guid: Guid,
    pub session: u8,
    pub names: Registration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snapshot {
    /// Data version of `admission`.
    pub admission: u8,
    pub quota: u8,
    pub slots: [Record; SLOTS],
    pub owners: [Option<Owner>; SLOTS],
    pub line: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Claim,
    Reattach,
    Extend,
    Release,
    /// Deletes an owner that its node left behind.
    Cleanup,
}

/// What a transaction demands of, and does to, the version of `admission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Guard {
    Absent,
    Check(u8),
    Bump(u8),
}

/// One `multi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    pub kind: Kind,
    pub guid: Guid,
    pub session: u8,
    pub slot: u8,
    /// The slot version demanded; `None` is an unconditional write, which only mutants send.
    pub version: Option<u8>,
    pub guard: Guard,
    /// Not sent: where a claimer will start to issue.
    pub floor: u8,
    pub ceiling: u8,
    pub deletes_owner: bool,
    /// `create(owner)` naming this registration.
    pub attaches: Option<Registration>,
    /// `delete` of an older registration of the sender.
    pub leaves: Option<Registration>,
}

impl Snapshot {
    pub fn new(quota: u8, line: Vec<Place>) -> Self {
        let slot = Record { holder: None, version: 0, ceiling: 0 };
        Snapshot { admission: 0, quota, slots: [slot; SLOTS], owners: [None; SLOTS], line }
    }

    /// The snapshot after `request`, or nothing: BadVersion, NodeExists and NoNode refuse all of it.
    pub fn after(&self, request: &Request) -> Option<Snapshot> {
        if !self.versions_hold(request) {
            return None;
        }
        let mut next = self.clone();
        let slot = request.slot as usize;
        if matches!(request.guard, Guard::Bump(_)) {
            next.admission += 1;
        }
        if request.deletes_owner {
            next.owners[slot].take()?;
        }
        if let Some(old) = request.leaves {
            let place = next.line.iter().position(|place| place.registration == old)?;
            next.line.remove(place);
        }
        if let Some(names) = request.attaches {
            if next.owners[slot].is_some() {
                return None;
            }
            next.owners[slot] = Some(Owner { guid: request.guid, session: request.session, names });
        }
        let holder = match request.kind {
            Kind::Claim | Kind::Reattach | Kind::Extend => Some(request.guid),
            Kind::Release => None,
            Kind::Cleanup => return Some(next),
        };
        let version = self.slots[slot].version + 1;
        next.slots[slot] = Record { holder, version, ceiling: request.ceiling };
        Some(next)
    }

    /// Versions only rise, so a request that fails this once fails it for ever.
    pub fn versions_hold(&self, request: &Request) -> bool {
        let slot_holds = request.version.is_none_or(|version| version == self.slots[request.slot as usize].version);
        let admission_holds = match request.guard {
            Guard::Absent => true,
            Guard::Check(version) | Guard::Bump(version) => version == self.admission,
        };
        slot_holds && admission_holds
    }

    /// The server ends a session: its ephemerals go in one transaction.
    pub fn without_session(&self, node: u8, session: u8) -> Option<Snapshot> {
        let mut next = self.clone();
        next.line.retain(|place| (place.registration.node, place.registration.session) != (node, session));
        for owner in &mut next.owners {
            if owner.is_some_and(|owner| (owner.guid.node, owner.session) == (node, session)) {
                *owner = None;
            }
        }
        (next != *self).then_some(next)
    }
}
