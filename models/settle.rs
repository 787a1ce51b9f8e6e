//! Nobody stays out for ever. From a state the faults end and a fair schedule runs: everything in flight arrives (or
//! none of it does), sessions that nobody uses expire, every node reads fresh answers and takes its next step. Where
//! that comes to rest, nobody may be stuck.

use crate::admission::Look;
use crate::lease::{Lease, Step};
use crate::state::{Hold, Pending, State};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Room, a free slot and a willing node that does not take it.
    Idle,
    /// An owner whose node does not hold the slot: it fills the quota for nothing.
    Leak,
    /// A node that believes to be attached and is not: its slot looks free and uncounted.
    Phantom,
    /// A node that never gets rid of the slot it has sealed.
    Unreleased,
    /// Still moving after far more rounds than anything needs.
    Restless,
}

const ROUNDS: usize = 40;

impl Lease {
    pub fn stuck(&self, state: &State) -> Option<Stuck> {
        self.stuck_after(state, true).or_else(|| self.stuck_after(state, false))
    }

    fn stuck_after(&self, state: &State, in_flight_arrives: bool) -> Option<Stuck> {
        let mut state = state.clone();
        if !in_flight_arrives {
            state.wire.clear();
        }
        self.deliver_all(&mut state);
        for id in 0..self.scope.nodes {
            for session in 0..state.node(id).session {
                if state.lives(id, session) {
                    self.take(&mut state, Step::Expire(id, session));
                }
            }
        }
        for _ in 0..ROUNDS {
            let before = state.clone();
            for id in 0..self.scope.nodes {
                self.fair_turn(&mut state, id);
            }
            if state.nodes == before.nodes && state.tip() == before.tip() {
                return self.judge_rest(&state);
            }
        }
        Some(Stuck::Restless)
    }

    fn deliver_all(&self, state: &mut State) {
        while let Some(request) = state.wire.first().copied() {
            self.take(state, Step::Deliver(request));
        }
    }

    fn fair_turn(&self, state: &mut State, id: u8) {
        if let Pending::Answer(_) = state.node(id).pending {
            let node = state.node_mut(id);
            let Pending::Answer(request) = node.pending else { return };
            node.pending = Pending::Doubt(request.as_doubt());
        }
        if let Pending::Doubt(_) = state.node(id).pending {
            let at = state.newest();
            self.read_back(state, id, at, at);
            self.deliver_all(state);
        }
        if !state.lives(id, state.node(id).session) {
            state.node_mut(id).open_session();
        }
        let node = *state.node(id);
        let registered = |session: u8| {
            let mut line = state.tip().line.iter().map(|place| place.registration);
            line.any(|registration| (registration.node, registration.session) == (id, session))
        };
        if !registered(node.session) {
            self.register(state, id, 0);
        }
        if let Some(surplus) = self.surplus(state, id) {
            self.take(state, Step::Withdraw(surplus));
        }
        if state.node(id).pending != Pending::Nothing || self.attached(state, id) {
            return;
        }
        let tip = state.history.last().expect("the history is never empty").clone();
        let mut steps = Vec::new();
        self.conclude(state, id, &Look::fresh(&tip, state.newest()), &mut steps);
        if let Some(step) = steps.first() {
            self.take(state, *step);
            self.deliver_all(state);
        }
    }

    fn attached(&self, state: &State, id: u8) -> bool {
        let node = state.node(id);
        matches!(node.hold, Hold::Holding { attached, .. } if attached == Some(node.session))
    }

    fn judge_rest(&self, state: &State) -> Option<Stuck> {
        let tip = state.tip();
        let holds =
            |id: u8, at: usize| matches!(state.node(id).hold, Hold::Holding { slot, .. } if slot as usize == at);
        let owned = || tip.owners.iter().enumerate().filter_map(|(slot, owner)| Some((slot, (*owner)?)));
        if (0..self.scope.nodes).any(|id| matches!(state.node(id).hold, Hold::Sealed { .. })) {
            return Some(Stuck::Unreleased);
        }
        if owned().any(|(slot, owner)| !holds(owner.guid.node, slot)) {
            return Some(Stuck::Leak);
        }
        let has_owner = |id: u8| owned().any(|(slot, owner)| owner.guid.node == id && holds(id, slot));
        if (0..self.scope.nodes).any(|id| self.attached(state, id) && !has_owner(id)) {
            return Some(Stuck::Phantom);
        }
        let free = |slot: usize| tip.owners[slot].is_none();
        let dynamic_room = self.dynamic_owners(&tip.owners) < tip.quota && self.dynamic_slots().any(free);
        let room = |id: u8| if self.is_static(id) { free(0) } else { dynamic_room };
        let willing = |id: u8| !state.node(id).held_back && !self.attached(state, id);
        (0..self.scope.nodes).any(|id| willing(id) && room(id)).then_some(Stuck::Idle)
    }
}
