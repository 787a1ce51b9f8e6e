//! The faults are over: whoever can must come to hold a slot, and nothing may be left behind.

use crate::world::World;
use meridian::lease::coordination::{Link, SessionId};
use meridian::lease::state::{Event, Phase};

/// Simulated time in which all must be well again.
const WITHIN_MS: u64 = 60_000;

/// Clocks that were an hour ahead have burnt an hour of their slots, which nobody can use before it has passed.
const BURNT_MS: u64 = 2 * 3_600_000;

impl World {
    pub fn settle(&mut self) {
        self.faults = false;
        self.late.clear();
        self.boot_ms += BURNT_MS;
        let kept: Vec<i64> = self.nodes.iter().filter_map(|node| node.session).collect();
        for session in self.alive.clone() {
            if !kept.contains(&session) {
                self.expire(session);
            }
        }
        for i in 0..self.nodes.len() {
            (self.nodes[i].skew_ms, self.nodes[i].paused_until) = (0, 0);
            self.event(i, Event::MayClaim(true));
            if !std::mem::replace(&mut self.nodes[i].connected, true) {
                self.event(i, Event::Link(Link::Connected));
                self.event(i, Event::Woken);
            }
        }
        let end = self.boot_ms + WITHIN_MS;
        while self.boot_ms < end && !self.settled() {
            self.boot_ms += 10;
            for i in 0..self.nodes.len() {
                self.beat(i);
                self.ask(i);
                self.answer(i);
            }
            let i = self.dice.index(self.nodes.len());
            self.issue(i);
        }
        self.exhaust();
        assert!(self.settled(), "not settled {WITHIN_MS} ms after the last fault: {}", self.describe());
    }

    /// As many hold as may, each attached, and every owner is one of them.
    fn settled(&self) -> bool {
        let holding = |wanted: Option<u16>| {
            self.nodes.iter().filter(|n| n.wanted == wanted && n.state.phase() == Phase::Holding).count()
        };
        let dynamic = self.nodes.iter().filter(|node| node.wanted.is_none()).count();
        let expected = dynamic.min(usize::from(self.dynamic_quota()));
        let owners = self.znodes.look(SessionId(0)).slots.iter().filter(|slot| slot.owner.is_some()).count();
        let well = holding(None) == expected && holding(Some(2)) == 1 && holding(Some(3)) == 1;
        well && owners == expected + 2
    }

    fn describe(&self) -> String {
        let view = self.znodes.look(SessionId(0));
        let nodes: Vec<_> =
            self.nodes.iter().map(|node| format!("{:?} {:?}", node.state.phase(), node.state.registered())).collect();
        let owners: Vec<_> =
            view.slots.iter().filter_map(|s| Some((s.slot, s.owner.as_ref()?.value.worker.clone()))).collect();
        let line: Vec<_> = view.registrations.iter().map(|r| &r.name).collect();
        format!("quota {}, owners {owners:?}, line {line:?}, nodes {nodes:?}", self.dynamic_quota())
    }
}
