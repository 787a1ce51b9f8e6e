//! Who is next: the pure reading of one look. Rank is for fairness; the bump of `admission` is what keeps the quota.

use super::coordination::{Interest, RegistrationRead, SlotRead, View};
use super::znode::{Admission, Class, NodeId, Registration};
use crate::id::Millis;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How many *dynamic* slots may be held at this moment of the ensemble's clock.
pub fn dynamic_quota(admission: &Admission, server_unix_ms: i64) -> u16 {
    let quota = if surging(admission, server_unix_ms) { admission.surge } else { admission.quota };
    quota.saturating_sub(admission.fixed)
}

/// Whether the surge quota is in force. An unreadable date is no surge: the smaller quota is the safe one.
pub fn surging(admission: &Admission, server_unix_ms: i64) -> bool {
    let until = admission.surge_until.as_deref().and_then(|until| until.parse::<jiff::Timestamp>().ok());
    until.is_some_and(|until| until.as_millisecond() > server_unix_ms)
}

/// The slots of the dynamic pool that have an owner, without `except`.
pub fn dynamic_owners<'a>(
    view: &'a View,
    pool: &'a RangeInclusive<u16>,
    except: Option<u16>,
) -> impl Iterator<Item = &'a SlotRead> {
    view.slots.iter().filter(move |slot| pool.contains(&slot.slot) && Some(slot.slot) != except && slot.owner.is_some())
}

/// The eligible dynamic registrations that wait, in order. A *node* that an owner names does not wait: its older or
/// doubled registrations must not block the line.
pub fn waiting(view: &View) -> Vec<&RegistrationRead> {
    let owning: Vec<&str> = view
        .slots
        .iter()
        .filter_map(|slot| slot.owner.as_ref())
        .map(|owner| Registration::node_of(&owner.value.worker))
        .collect();
    view.registrations
        .iter()
        .filter(|r| r.value.class == Class::Dynamic && r.value.eligible)
        .filter(|r| !owning.contains(&Registration::node_of(&r.name)))
        .collect()
}

/// What a dynamic node may do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// There is room for it, and nobody in front.
    Now,
    /// There is room for it and for the `rank` others in front, who claim first. Of those that claim at the same moment
    /// one succeeds and the rest look again, so that a whole region at its start would mostly look; but who is in
    /// front may be stuck, so that this one goes ahead after a while. Meanwhile watches the one in front.
    Soon { rank: usize, interest: Interest },
    /// Not yet; what to watch meanwhile, and how many stand in front.
    Later { rank: usize, interest: Interest },
}

/// Whose turn it is, for the registration `name`.
pub fn turn(view: &View, pool: &RangeInclusive<u16>, quota: u16, name: &str) -> Turn {
    let waiting = waiting(view);
    let rank = waiting.iter().position(|r| r.name == name).unwrap_or(waiting.len());
    let room = usize::from(quota).saturating_sub(dynamic_owners(view, pool, None).count());
    let free = view.slots.iter().any(|slot| pool.contains(&slot.slot) && slot.owner.is_none());
    let has_room = rank < room && free;
    if has_room && rank == 0 {
        return Turn::Now;
    }
    // Only the first in line watches the owners; each behind watches the one in front of it, also while there is room for
    // that one: it may leave instead of claiming.
    // So a departure wakes one node, and that one's claim (it touches its registration) wakes the next.
    let interest = match rank.checked_sub(1).and_then(|front| waiting.get(front)) {
        Some(front) => Interest::Predecessor(front.name.clone()),
        None => Interest::Vacancy,
    };
    if has_room { Turn::Soon { rank, interest } } else { Turn::Later { rank, interest } }
}

/// A slot that could be claimed, and where its timestamps would start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<'a> {
    pub read: &'a SlotRead,
    pub floor: Millis,
}

/// The coldest free slot of the dynamic pool: the one whose timestamps were given away least far.
pub fn coldest<'a>(
    view: &'a View,
    pool: &RangeInclusive<u16>,
    high_water: &BTreeMap<u16, Millis>,
) -> Option<Candidate<'a>> {
    view.slots
        .iter()
        .filter(|slot| pool.contains(&slot.slot) && slot.owner.is_none())
        .map(|slot| candidate(slot, high_water))
        .min_by_key(|candidate| (candidate.floor, candidate.read.slot))
}

/// The floor of a slot: what the record says is given away, or what this machine remembers, whichever is higher.
pub fn candidate<'a>(read: &'a SlotRead, high_water: &BTreeMap<u16, Millis>) -> Candidate<'a> {
    let remembered = high_water.get(&read.slot).copied().unwrap_or_default();
    Candidate { read, floor: read.value.ceiling.max(remembered) }
}

/// How a dynamic holder fits into the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Within,
    /// More hold slots than the quota allows, and those that came later leave.
    OthersLeave,
    /// It is among those that came last: it gives its slot back.
    Over,
}

/// How the holder of `slot` fits. Whoever looks at the same view sees the same nodes leave, so all of them may at once.
pub fn fit(view: &View, pool: &RangeInclusive<u16>, quota: u16, slot: u16) -> Fit {
    let order = |read: &SlotRead| {
        let worker = read.owner.as_ref().map(|owner| owner.value.worker.as_str()).unwrap_or_default();
        (Registration::sequence_of(worker).unwrap_or(u64::MAX), read.slot)
    };
    let mut owners: Vec<_> = dynamic_owners(view, pool, None).map(order).collect();
    owners.sort_unstable();
    let over = owners.split_off(owners.len().min(usize::from(quota)));
    match over.iter().any(|(_, leaves)| *leaves == slot) {
        true => Fit::Over,
        false if over.is_empty() => Fit::Within,
        false => Fit::OthersLeave,
    }
}

/// Owners that name a registration of `node`, by slot.
pub fn owned_by<'a>(view: &'a View, node: &'a NodeId) -> impl Iterator<Item = &'a SlotRead> {
    view.slots
        .iter()
        .filter(|slot| slot.owner.as_ref().is_some_and(|owner| Registration::node_of(&owner.value.worker) == node.0))
}

/// Registrations of `node`.
pub fn registered_by<'a>(view: &'a View, node: &'a NodeId) -> impl Iterator<Item = &'a RegistrationRead> {
    view.registrations.iter().filter(|r| Registration::node_of(&r.name) == node.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::coordination::{AdmissionRead, OwnerRead, ServerTime, SessionId, Version};
    use crate::lease::znode::{Guid, Owner, Slot};

    /// Two slots, the first of them owned by somebody who is not in the line; `names` wait.
    fn view(names: &[&str], owned: bool, quota: u16) -> View {
        let registration = |(sequence, name): (usize, &&str)| RegistrationRead {
            name: (*name).to_owned(),
            sequence: sequence as u64,
            session: SessionId(1),
            created: ServerTime(0),
            value: Registration {
                v: 1,
                node: NodeId(Registration::node_of(name).to_owned()),
                class: Class::Dynamic,
                wanted_slot: None,
                eligible: true,
                host: String::new(),
                zone: String::new(),
                http: String::new(),
                ops: String::new(),
                version: String::new(),
                started: String::new(),
            },
        };
        let owner = |slot| OwnerRead {
            value: Owner { v: 1, guid: Guid(format!("g{slot}")), worker: "gone-9".to_owned() },
            session: SessionId(2),
            created: ServerTime(0),
        };
        let slot = |slot: u16| SlotRead {
            slot,
            version: Version(0),
            value: Slot { v: 1, holder: None, host: String::new(), ceiling: Millis(0), fence: 0 },
            modified: ServerTime(0),
            owner: (owned && slot == 0).then(|| owner(slot)),
        };
        let admission = Admission { v: 1, quota, fixed: 0, surge: 1, digest: String::new(), ..Admission::default() };
        View {
            session: SessionId(1),
            admission: AdmissionRead { version: Version(0), value: admission, raw: Vec::new() },
            registrations: names.iter().enumerate().map(registration).collect(),
            slots: vec![slot(0), slot(1)],
            drain: None,
        }
    }

    #[test]
    fn whoever_is_behind_watches_the_one_in_front_even_while_that_one_has_room() {
        let check = |owned, quota, name: &str, expect: Turn| {
            let view = view(&["a-1", "b-2", "c-3"], owned, quota);
            assert_eq!(turn(&view, &(0..=1), quota, name), expect, "{owned} {quota} {name}");
        };
        let front = |name: &str| Interest::Predecessor(name.to_owned());
        check(true, 1, "a-1", Turn::Later { rank: 0, interest: Interest::Vacancy });
        check(true, 1, "b-2", Turn::Later { rank: 1, interest: front("a-1") });
        check(false, 1, "a-1", Turn::Now);
        // Should a-1 leave instead of claiming, b-2 is next: nothing else would tell it.
        check(false, 1, "b-2", Turn::Later { rank: 1, interest: front("a-1") });
        check(false, 1, "c-3", Turn::Later { rank: 2, interest: front("b-2") });
        // Room for two: the second lets the first go ahead, but does not depend on it.
        check(false, 2, "a-1", Turn::Now);
        check(false, 2, "b-2", Turn::Soon { rank: 1, interest: front("a-1") });
        check(false, 2, "c-3", Turn::Later { rank: 2, interest: front("b-2") });
    }

    #[test]
    fn those_who_came_last_leave_all_at_once() {
        let mut view = view(&[], true, 1);
        for (slot, worker) in [(1, "early-2"), (2, "late-11"), (3, "later-12")] {
            let mut read = view.slots[0].clone();
            read.slot = slot;
            read.owner.as_mut().expect("the first is owned").value.worker = worker.to_owned();
            if slot == 1 { view.slots[1] = read } else { view.slots.push(read) }
        }
        let fits = |quota| [0, 1, 2, 3].map(|slot| fit(&view, &(0..=3), quota, slot));
        assert_eq!(fits(4), [Fit::Within; 4]);
        assert_eq!(fits(2), [Fit::OthersLeave, Fit::OthersLeave, Fit::Over, Fit::Over]);
        assert_eq!(fits(1), [Fit::Over, Fit::OthersLeave, Fit::Over, Fit::Over], "gone-9 came after early-2");
        assert_eq!(fits(0), [Fit::Over; 4]);
    }
}
