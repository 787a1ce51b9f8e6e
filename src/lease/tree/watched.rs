//! What an interest sees of the tree, and whether two sights of it differ in a way that wakes somebody.

use super::super::coordination::*;
use super::Znodes;
use std::collections::BTreeSet;

/// The part of a tree that an interest is about, at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Glance {
    Nothing,
    /// The admission's version, and which owners live, each by slot and the transaction that made it.
    Vacancy {
        admission: i32,
        owners: BTreeSet<(u16, u64)>,
    },
    /// The transaction that made the registration, and its data version.
    Predecessor(Option<(u64, i32)>),
    /// The transaction that made the owner.
    SlotOwner(Option<u64>),
}

impl Glance {
    /// Whether what was seen then and is seen now means a wake-up. Arrivals wake nobody.
    pub fn wakes(&self, now: &Glance) -> bool {
        match (self, now) {
            (
                Glance::Vacancy { admission, owners },
                Glance::Vacancy { admission: admission_now, owners: owners_now },
            ) => admission != admission_now || !owners.is_subset(owners_now),
            (Glance::Predecessor(then), Glance::Predecessor(now)) => then.is_some() && then != now,
            (Glance::SlotOwner(then), Glance::SlotOwner(now)) => then.is_some() && then != now,
            (Glance::Nothing, Glance::Nothing) => false,
            // Sights of different things: nothing can be ruled out.
            (Glance::Nothing | Glance::Vacancy { .. } | Glance::Predecessor(_) | Glance::SlotOwner(_), _) => true,
        }
    }
}

impl Znodes {
    /// What an interest sees now.
    pub fn glance(&self, interest: &Interest) -> Glance {
        match interest {
            Interest::Nothing => Glance::Nothing,
            Interest::Vacancy => Glance::Vacancy {
                admission: self.admission.version,
                owners: self.slots.iter().filter_map(|(slot, n)| Some((*slot, n.owner.as_ref()?.zxid))).collect(),
            },
            Interest::Predecessor(name) => {
                Glance::Predecessor(self.workers.get(name).map(|worker| (worker.zxid, worker.version)))
            }
            Interest::SlotOwner(slot) => {
                Glance::SlotOwner(self.slots.get(slot).and_then(|n| Some(n.owner.as_ref()?.zxid)))
            }
        }
    }

    /// The sessions whose end would show in that sight.
    pub fn concerned(&self, interest: &Interest) -> BTreeSet<i64> {
        let owner = |slot: &super::SlotNode| Some(slot.owner.as_ref()?.session);
        match interest {
            Interest::Nothing => BTreeSet::new(),
            Interest::Vacancy => self.slots.values().filter_map(owner).collect(),
            Interest::Predecessor(name) => self.workers.get(name).map(|worker| worker.session).into_iter().collect(),
            Interest::SlotOwner(slot) => self.slots.get(slot).and_then(owner).into_iter().collect(),
        }
    }
}
