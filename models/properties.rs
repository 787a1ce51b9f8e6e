//! What must hold in every state, and what must be seen somewhere lest the rest be true of nothing.

use crate::lease::{Lease, Step};
use crate::state::{Broken, State};
use crate::world::Snapshot;
use stateright::{Model, Property};

pub const UNIQUE: &str = "no timestamp of a slot is granted twice";
pub const QUOTA: &str = "no claim or re-attach exceeds the quota";
pub const FOREIGN: &str = "nobody deletes an owner that is in use by another";
pub const IN_LINE: &str = "no claim overtakes an older waiting node";
pub const RAISED: &str = "a ceiling falls by a release only";
pub const SETTLES: &str = "a fair schedule leaves nobody stuck";

pub const TAKE_OVER: &str = "a slot is taken from a holder that never released it";
pub const EXACT_REUSE: &str = "a released slot goes on at exactly its mark";
pub const REATTACHED: &str = "a new session re-attaches under the same guid";
pub const STANDBY: &str = "a standby succeeds a holder whose session ended";

impl Model for Lease {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.scope)]
    }

    fn actions(&self, state: &State, out: &mut Vec<Step>) {
        // The protocol has nothing to show after its first failure; a mutant is run until its own property breaks.
        if self.mutant.is_some() || state.broken == Broken::default() {
            self.steps(state, out);
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        self.take(&mut state, step).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always(UNIQUE, |_, state| !state.broken.duplicate),
            Property::<Self>::always(RAISED, |_, state| !state.broken.lowered),
            Property::<Self>::always(FOREIGN, |_, state| !state.broken.foreign_delete),
            Property::<Self>::sometimes(TAKE_OVER, |_, state| last_two(state).is_some_and(|(a, b)| takes_over(a, b))),
        ];
        // A claim, its release, the next claim.
        if self.scope.releases && self.scope.attempts > 0 && self.scope.versions > 2 {
            properties.push(Property::<Self>::sometimes(EXACT_REUSE, |_, state| {
                last_two(state).is_some_and(|(before, after)| reuses(state, before, after))
            }));
        }
        if self.scope.admission {
            properties.push(Property::<Self>::always(QUOTA, |_, state| !state.broken.over_quota));
            properties.push(Property::<Self>::always(IN_LINE, |_, state| !state.broken.overtaken));
            if self.scope.faults > 0 {
                properties.push(Property::<Self>::sometimes(REATTACHED, |_, state| {
                    last_two(state).is_some_and(|(before, after)| reattaches(before, after))
                }));
            }
            let dynamic_nodes = self.scope.nodes - if self.scope.twins { 2 } else { 0 };
            if dynamic_nodes > self.scope.quota {
                properties.push(Property::<Self>::sometimes(STANDBY, standby_succeeds));
            }
        }
        if self.scope.settles {
            let unstuck = |model: &Lease, state: &State| model.stuck(state).is_none();
            properties.push(Property::<Self>::always(SETTLES, unstuck));
        }
        properties
    }
}

fn last_two(state: &State) -> Option<(&Snapshot, &Snapshot)> {
    let [.., before, after] = state.history.as_slice() else { return None };
    Some((before, after))
}

fn pairs<'a>(before: &'a Snapshot, after: &'a Snapshot) -> impl Iterator<Item = usize> + 'a {
    (0..before.slots.len()).filter(|slot| before.slots[*slot].version != after.slots[*slot].version)
}

fn takes_over(before: &Snapshot, after: &Snapshot) -> bool {
    pairs(before, after).any(|slot| match (before.slots[slot].holder, after.slots[slot].holder) {
        (Some(old), Some(new)) => old.node != new.node,
        _ => false,
    })
}

/// The timestamp before the mark is somebody's, the mark is now the claimer's.
fn reuses(state: &State, before: &Snapshot, after: &Snapshot) -> bool {
    pairs(before, after).any(|slot| {
        let released = before.slots[slot];
        let mark = released.ceiling;
        let granted = |timestamp: u8| state.ledger[slot] >> timestamp & 1 == 1;
        released.holder.is_none()
            && mark > 0
            && after.slots[slot].holder.is_some()
            && granted(mark - 1)
            && granted(mark)
    })
}

fn reattaches(before: &Snapshot, after: &Snapshot) -> bool {
    pairs(before, after).any(|slot| {
        let session = |snapshot: &Snapshot| snapshot.owners[slot].map(|owner| owner.session);
        let same_holder = before.slots[slot].holder == after.slots[slot].holder;
        same_holder && session(after).is_some() && session(before) != session(after)
    })
}

/// The quota was full, an owner went with its session, and one that had waited claims that very slot.
fn standby_succeeds(model: &Lease, state: &State) -> bool {
    let [.., full, expired, claimed] = state.history.as_slice() else { return false };
    pairs(expired, claimed).any(|slot| {
        let was_full = full.owners[slot].is_some() && model.dynamic_owners(&full.owners) == full.quota;
        let went = expired.owners[slot].is_none() && full.slots[slot] == expired.slots[slot];
        let waited = |names| full.line.iter().any(|place| place.registration == names);
        was_full && went && takes_over(expired, claimed) && claimed.owners[slot].is_some_and(|o| waited(o.names))
    })
}
