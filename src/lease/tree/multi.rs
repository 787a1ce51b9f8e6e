//! A write as the multi it is: operations in order on a draft, which takes effect whole or not at all.

use super::super::coordination::*;
use super::super::znode::{Owner, Slot};
use super::{Ephemeral, Payload, SlotNode, Znodes, next};
use std::collections::BTreeSet;

/// One operation of a multi. All are about one slot, but for the last two.
enum Op<'a> {
    SetSlot(Version, &'a Slot),
    CheckSlot(Version),
    CreateOwner(&'a Owner),
    DeleteOwner,
    DeleteRegistration(&'a str),
    SetAdmission(&'a AdmissionRead),
}

/// What a write has changed so far.
struct Draft<'a> {
    slot: Option<SlotNode>,
    unregistered: BTreeSet<&'a str>,
    admission: i32,
}

impl Znodes {
    /// Applies a write of a session, or refuses it for the reason ZooKeeper would give and changes nothing.
    pub fn apply(&mut self, write: &Write, session: SessionId, now: ServerTime) -> Result<Written, Refusal> {
        let mut draft = Draft {
            slot: self.slots.get(&write.slot()).cloned(),
            unregistered: BTreeSet::new(),
            admission: self.admission.version,
        };
        let zxid = self.zxid + 1;
        let mut at = None;
        for op in operations(write) {
            if matches!(op, Op::SetSlot(..)) {
                at = Some(now);
            }
            self.step(&mut draft, op, session, zxid, now)?;
        }
        let slot = draft.slot.ok_or(Refusal::NoNode)?;
        let version = Version(slot.version);
        self.slots.insert(write.slot(), slot);
        for name in draft.unregistered {
            self.workers.remove(name);
        }
        self.admission.version = draft.admission;
        self.zxid = zxid;
        Ok(Written { version, at })
    }

    fn step<'a>(
        &self,
        draft: &mut Draft<'a>,
        op: Op<'a>,
        session: SessionId,
        zxid: u64,
        now: ServerTime,
    ) -> Result<(), Refusal> {
        let slot = draft.slot.as_mut().ok_or(Refusal::NoNode);
        match op {
            Op::SetSlot(version, record) => {
                let slot = slot?;
                check(slot.version, version)?;
                slot.version = next(slot.version);
                slot.modified_ms = now.0;
                slot.data = Payload::new(record);
            }
            Op::CheckSlot(version) => check(slot?.version, version)?,
            Op::CreateOwner(owner) => {
                let slot = slot?;
                if slot.owner.is_some() {
                    return Err(Refusal::NodeExists);
                }
                slot.owner = Some(Ephemeral::new(session, zxid, now, owner));
            }
            Op::DeleteOwner => {
                slot?.owner.take().ok_or(Refusal::NoNode)?;
            }
            Op::DeleteRegistration(name) => {
                if !self.workers.contains_key(name) || !draft.unregistered.insert(name) {
                    return Err(Refusal::NoNode);
                }
            }
            // The contract is to write back the bytes that were read at this version: they stand there already.
            Op::SetAdmission(read) => {
                check(draft.admission, read.version)?;
                draft.admission = next(draft.admission);
            }
        }
        Ok(())
    }
}

/// The operations in the order in which they are sent, which decides the reason of a refusal.
fn operations(write: &Write) -> Vec<Op<'_>> {
    match write {
        Write::Claim { slot: _, version, record, owner, admission } => {
            vec![Op::SetSlot(*version, record), Op::CreateOwner(owner), Op::SetAdmission(admission)]
        }
        Write::Extend { slot: _, version, record } => vec![Op::SetSlot(*version, record)],
        Write::Reattach { slot: _, version, record, owner, admission, delete_owner, delete_registration } => {
            let delete_owner = delete_owner.then_some(Op::DeleteOwner);
            let delete_registration = delete_registration.as_deref().map(Op::DeleteRegistration);
            delete_owner
                .into_iter()
                .chain(delete_registration)
                .chain([Op::CreateOwner(owner), Op::SetSlot(*version, record), Op::SetAdmission(admission)])
                .collect()
        }
        Write::Release { slot: _, version, record, delete_owner } => {
            [Op::SetSlot(*version, record)].into_iter().chain(delete_owner.then_some(Op::DeleteOwner)).collect()
        }
        Write::Evict { slot: _, version } => vec![Op::CheckSlot(*version), Op::DeleteOwner],
    }
}

/// `-1` is "any" to ZooKeeper; here it is nobody's version, for a caller must never send it.
fn check(present: i32, expected: Version) -> Result<(), Refusal> {
    if present == expected.0 && expected.0 != -1 { Ok(()) } else { Err(Refusal::BadVersion) }
}
