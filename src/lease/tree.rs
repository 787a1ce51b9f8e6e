//! One datacenter's znodes, in memory: ZooKeeper's rules without ZooKeeper.
//!
//! Pure: no I/O, no clock, no randomness. Time and session come as arguments and everything is kept in order, so that
//! the same calls give the same bytes: the file backend stores one of these, a simulation has one for an ensemble.
//! Invariants: a refused write leaves no trace; a data version rises by exactly one per write applied to it; slots
//! never vanish; ephemerals belong to the session that made them and go with it.

mod multi;
mod watched;
pub use watched::Glance;

use super::coordination::*;
use super::znode::{self, Admission, Drain, Owner, Registration, Slot, Tree};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// The znodes of one datacenter.
///
/// A field this version does not know is refused rather than dropped at the next write; payloads keep theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Znodes {
    v: u32,
    /// Counts the transactions applied; stamped on what one creates, so that a successor is never taken for what it
    /// replaced.
    zxid: u64,
    tree: Payload<Tree>,
    admission: AdmissionNode,
    /// How many registrations were ever made: the next sequence number, as ZooKeeper counts its parent's creations.
    registered: u32,
    workers: BTreeMap<String, Ephemeral<Registration>>,
    slots: BTreeMap<u16, SlotNode>,
    drain: Option<Payload<Drain>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdmissionNode {
    version: i32,
    data: Payload<Admission>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotNode {
    version: i32,
    modified_ms: i64,
    data: Payload<Slot>,
    owner: Option<Ephemeral<Owner>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: DeserializeOwned"))]
struct Ephemeral<T> {
    session: i64,
    zxid: u64,
    created_ms: i64,
    version: i32,
    data: Payload<T>,
}

impl<T: Serialize + Clone> Ephemeral<T> {
    fn new(session: SessionId, zxid: u64, now: ServerTime, value: &T) -> Ephemeral<T> {
        Ephemeral { session: session.0, zxid, created_ms: now.0, version: 0, data: Payload::new(value) }
    }
}

/// What a znode says, and the JSON it was said in: fields only a newer version knows survive the rewriting of the
/// whole document by an older one, as they would in a znode that nobody touches.
#[derive(Clone, Debug, PartialEq)]
struct Payload<T> {
    value: T,
    stored: serde_json::Value,
}

impl<T: Serialize + Clone> Payload<T> {
    fn new(value: &T) -> Payload<T> {
        let stored = serde_json::to_value(value).expect("payloads are plain structs with string keys");
        Payload { value: value.clone(), stored }
    }
}

impl<T> Serialize for Payload<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.stored.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Payload<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload<T>, D::Error> {
        let stored = serde_json::Value::deserialize(deserializer)?;
        let value = T::deserialize(&stored).map_err(serde::de::Error::custom)?;
        Ok(Payload { value, stored })
    }
}

impl Znodes {
    /// Makes what a blueprint asks for and is not there yet, and brings the quota up to date. A surge that is under
    /// way goes on. Fails, saying why, when the tree belongs to somebody else.
    pub fn init(
        present: Option<Znodes>,
        blueprint: &Blueprint,
        now: ServerTime,
    ) -> Result<(Znodes, Initialised), String> {
        let mut done = Initialised { tree_created: present.is_none(), ..Initialised::default() };
        let mut znodes = present.unwrap_or_else(|| Znodes {
            v: znode::VERSION,
            zxid: 0,
            tree: Payload::new(&blueprint.tree),
            admission: AdmissionNode { version: 0, data: Payload::new(&blueprint.admission) },
            registered: 0,
            workers: BTreeMap::new(),
            slots: BTreeMap::new(),
            drain: None,
        });
        let Tree { fleet, datacenter, epoch, layout, .. } = blueprint.tree.clone();
        if let Some(difference) = znodes.mismatch(&Expected { fleet, datacenter, epoch, layout }) {
            return Err(difference);
        }

        let before = &znodes.admission.data.value;
        let (surge_until, surge_for) = (before.surge_until.clone(), before.surge_for.clone());
        let wanted = Admission { surge_until, surge_for, ..blueprint.admission.clone() };
        if !done.tree_created && *before != wanted {
            let version = next(znodes.admission.version);
            znodes.admission = AdmissionNode { version, data: Payload::new(&wanted) };
            done.admission_changed = true;
        }
        for slot in 0..blueprint.slots {
            znodes.slots.entry(slot).or_insert_with(|| {
                done.slots_created += 1;
                let ceiling = blueprint.first_ceiling(now);
                let data =
                    Payload::new(&Slot { v: znode::VERSION, holder: None, host: String::new(), ceiling, fence: 0 });
                SlotNode { version: 0, modified_ms: now.0, data, owner: None }
            });
        }
        if done != Initialised::default() {
            znodes.zxid += 1;
        }
        Ok((znodes, done))
    }

    /// How this tree differs from what a node expects; `None` if it is the one.
    pub fn mismatch(&self, expected: &Expected) -> Option<String> {
        let Tree { fleet, datacenter, epoch, layout, .. } = self.tree();
        let number = [datacenter.to_string(), expected.datacenter.to_string()];
        let differences: Vec<String> = [
            ("fleet", fleet, &expected.fleet),
            ("datacenter", &number[0], &number[1]),
            ("epoch", epoch, &expected.epoch),
            ("layout", layout, &expected.layout),
        ]
        .iter()
        .filter(|(_, is, wanted)| is != wanted)
        .map(|(key, is, wanted)| format!("its {key} is {is}, the manifest says {wanted}"))
        .collect();
        (!differences.is_empty()).then(|| format!("the tree is another one: {}", differences.join("; ")))
    }

    /// How the whole is written down today; a reader checks it before it trusts the rest.
    pub fn v(&self) -> u32 {
        self.v
    }

    /// How many transactions have changed anything. Two trees of one genesis with the same count are equal.
    pub fn zxid(&self) -> u64 {
        self.zxid
    }

    pub fn tree(&self) -> &Tree {
        &self.tree.value
    }

    /// Everything a decision needs, of one instant.
    pub fn look(&self, session: SessionId) -> View {
        let mut registrations: Vec<RegistrationRead> = self
            .workers
            .iter()
            .map(|(name, node)| RegistrationRead {
                name: name.clone(),
                sequence: Registration::sequence_of(name).unwrap_or(u64::MAX),
                session: SessionId(node.session),
                created: ServerTime(node.created_ms),
                value: node.data.value.clone(),
            })
            .collect();
        registrations.sort_by_key(|registration| registration.sequence);
        View {
            session,
            admission: self.admission(),
            registrations,
            slots: self.slots.iter().map(|(slot, node)| node.read(*slot)).collect(),
            drain: self.drain.as_ref().map(|drain| drain.value.clone()),
        }
    }

    pub fn admission(&self) -> AdmissionRead {
        AdmissionRead {
            version: Version(self.admission.version),
            value: self.admission.data.value.clone(),
            raw: serde_json::to_vec(&self.admission.data).expect("JSON that was read can be written"),
        }
    }

    pub fn survey(&self) -> Survey {
        Survey {
            admission: self.admission(),
            live: self.slots.values().filter(|slot| slot.owner.is_some()).count() as u16,
            drain: self.drain.as_ref().map(|drain| drain.value.clone()),
        }
    }

    pub fn read_slot(&self, slot: u16) -> Result<SlotRead, Refusal> {
        self.slots.get(&slot).map(|node| node.read(slot)).ok_or(Refusal::NoNode)
    }

    /// `create(workers/<node>-, ephemeral, sequential)`
    pub fn register(&mut self, value: &Registration, session: SessionId, now: ServerTime) -> Registered {
        let name = format!("{}-{:010}", value.node, self.registered);
        self.zxid += 1;
        self.registered += 1;
        self.workers.insert(name.clone(), Ephemeral::new(session, self.zxid, now, value));
        Registered { name, at: now }
    }

    /// `setData(workers/<name>)`, of any version.
    pub fn update_registration(
        &mut self,
        name: &str,
        value: &Registration,
        now: ServerTime,
    ) -> Result<ServerTime, Refusal> {
        let node = self.workers.get_mut(name).ok_or(Refusal::NoNode)?;
        node.version = next(node.version);
        node.data = Payload::new(value);
        self.zxid += 1;
        Ok(now)
    }

    /// `delete(workers/<name>)`, of any version.
    pub fn unregister(&mut self, name: &str) -> Result<(), Refusal> {
        self.workers.remove(name).ok_or(Refusal::NoNode)?;
        self.zxid += 1;
        Ok(())
    }

    /// Drains the region, or ends its drain.
    pub fn set_drain(&mut self, drain: Option<&Drain>) {
        let drain = drain.map(Payload::new);
        if self.drain != drain {
            self.drain = drain;
            self.zxid += 1;
        }
    }

    /// `setData(admission, same but the surge, version)`
    pub fn set_surge(&mut self, Version(version): Version, surge: &Surge) -> Result<(), Refusal> {
        if self.admission.version != version {
            return Err(Refusal::BadVersion);
        }
        let Payload { value, stored } = &mut self.admission.data;
        stored["surge_until"] = surge.until.clone().into();
        stored["surge_for"] = surge.causes.clone().into();
        (value.surge_until, value.surge_for) = (Some(surge.until.clone()), surge.causes.clone());
        self.admission.version = next(version);
        self.zxid += 1;
        Ok(())
    }

    /// The sessions that own an ephemeral here.
    pub fn sessions(&self) -> BTreeSet<i64> {
        let owners = self.slots.values().filter_map(|slot| Some(slot.owner.as_ref()?.session));
        self.workers.values().map(|worker| worker.session).chain(owners).collect()
    }

    /// Removes the ephemerals of a session, in one transaction. Says whether there was one.
    pub fn end_session(&mut self, session: SessionId) -> bool {
        if !self.sessions().contains(&session.0) {
            return false;
        }
        self.workers.retain(|_, worker| worker.session != session.0);
        for slot in self.slots.values_mut() {
            slot.owner.take_if(|owner| owner.session == session.0);
        }
        self.zxid += 1;
        true
    }
}

impl SlotNode {
    fn read(&self, slot: u16) -> SlotRead {
        SlotRead {
            slot,
            version: Version(self.version),
            value: self.data.value.clone(),
            modified: ServerTime(self.modified_ms),
            owner: self.owner.as_ref().map(|owner| OwnerRead {
                value: owner.data.value.clone(),
                session: SessionId(owner.session),
                created: ServerTime(owner.created_ms),
            }),
        }
    }
}

/// The version after a write. ZooKeeper's is a Java `int`, and wraps.
fn next(version: i32) -> i32 {
    version.wrapping_add(1)
}

#[cfg(test)]
pub(super) mod tests;
