//! One turn of a run: something is asked, answered, issued, or goes wrong.

use crate::world::{Late, World};
use meridian::lease::coordination::Link;
use meridian::lease::state::Event;

impl World {
    pub fn turn(&mut self) {
        let i = self.dice.index(self.nodes.len());
        self.boot_ms += self.dice.below(40);
        let paused = self.nodes[i].paused_until > self.boot_ms;
        match self.dice.below(1_000) {
            0..400 if !paused => self.ask(i),
            400..720 if !paused => self.answer(i),
            720..780 if !paused => self.beat(i),
            780..900 => self.issue(i),
            900..925 if !self.late.is_empty() => {
                let pick = self.dice.index(self.late.len());
                let (session, late) = self.late.swap_remove(pick);
                if self.alive.contains(&session) {
                    match late {
                        Late::Write(write) => drop(self.apply(session, &write)),
                        Late::Register(value) => drop(self.register(session, &value)),
                    }
                }
            }
            // The server ends a session, known to its client or not.
            925..935 => {
                let pick = self.dice.index(self.nodes.len());
                if let Some(session) = self.alive.iter().nth(pick).copied() {
                    self.expire(session);
                }
            }
            // The client gives a session up that may live on at the server.
            935..942 if self.nodes[i].session.is_some() => self.event(i, Event::Link(Link::Over)),
            942..950 => self.link(i),
            950..960 => self.nodes[i].skew_ms = self.dice.around(4_000),
            // A clock an hour off, either way; the next turn of this kind ends it.
            960..962 => self.nodes[i].skew_ms = self.dice.around(3_600_000),
            962..970 => {
                let may = self.dice.percent(70);
                self.event(i, Event::MayClaim(may));
            }
            970..973 => self.event(i, Event::Stop),
            973..976 => self.replace(i),
            976..984 => self.nodes[i].paused_until = self.boot_ms + self.dice.below(15_000),
            984..988 => self.set_quota(),
            988..1_000 => self.boot_ms += self.dice.below(2_000),
            _ => {}
        }
    }

    /// A connection breaks, or is there again: then a watch may have been lost, so it beats.
    fn link(&mut self, i: usize) {
        if self.nodes[i].session.is_none() {
            return;
        }
        let connected = !self.nodes[i].connected;
        self.nodes[i].connected = connected;
        if connected {
            self.event(i, Event::Link(Link::Connected));
            self.event(i, Event::Woken);
        } else {
            self.event(i, Event::Link(Link::Disconnected));
        }
    }
}
