//! Deciding on a look: claim, re-attach, give back, clear away, or wait and for what.

use super::*;
use crate::lease::line::{self, Candidate, Fit, Turn};
use crate::lease::znode::{Class, Owner};

/// How long a node with room lets each of those in front of it go ahead: longer than a claim takes, and so short that the
/// second in line takes over within a second whatever became of the first.
const AHEAD_MS: u64 = 200;

/// How often a node that is held back compares its clock anew.
const MEASURE_AGAIN_MS: u64 = 5_000;

impl State {
    pub(super) fn looked(&mut self, at: At, view: View, notices: &mut Vec<Notice>) {
        if self.session != Some(view.session) {
            self.look = true; // a new session voids a look
            return;
        }
        self.remember(at, &view);
        if let Some(slot) = self.hold.as_ref().map(|hold| hold.slot) {
            return self.looked_holding(at, &view, slot, notices);
        }
        if self.adopt_registration(&view) {
            self.look = true;
            return;
        }
        let Some(name) = self.registered.clone() else { return };
        if self.clear_away(at, &view, &name) || self.stopping {
            return;
        }
        if !self.may_claim {
            // Each write is stamped by the ensemble's clock: rewriting the registration measures ours again.
            self.touch = true;
            self.look_at = Some(at.boot_ms + MEASURE_AGAIN_MS);
            return;
        }
        match self.card.class {
            Class::Fixed => self.looked_fixed(at, &view, &name, notices),
            Class::Dynamic => self.looked_dynamic(at, &view, &name, notices),
        }
    }

    fn remember(&mut self, at: At, view: &View) {
        let now = self.server_now(at);
        let admission = &view.admission.value;
        let quota = if line::surging(admission, now) { admission.surge } else { admission.quota };
        let owners = view.slots.iter().filter(|slot| slot.owner.is_some()).count() as u16;
        let standbys = line::waiting(view).len() as u16;
        self.last_view = Some(Overview { boot_ms: at.boot_ms, owners, standbys, quota, drained: view.drain.is_some() });
    }

    /// Settles which registration of this session is ours. True: look again.
    fn adopt_registration(&mut self, view: &View) -> bool {
        let known = self.registered.as_deref();
        if known.is_some_and(|known| view.registrations.iter().any(|r| r.name == known)) {
            return false;
        }
        self.registered = None;
        let found = line::registered_by(view, &self.card.node).find(|r| r.session == view.session);
        if let Some(found) = found {
            self.told_eligible = found.value.eligible;
            self.registered = Some(found.name.clone());
        }
        self.seek_registration = false;
        self.registered.is_some()
    }

    /// Removes what a lost answer or an older session of ours left behind. True: something was found.
    fn clear_away(&mut self, at: At, view: &View, name: &str) -> bool {
        let orphan = line::owned_by(view, &self.card.node).next().cloned();
        if let Some(slot) = orphan {
            // An owner of ours without a grant. The version must come from a read that shows the owner's guid, or the
            // delete could hit a successor's.
            let guid = slot.owner.as_ref().map(|owner| &owner.value.guid);
            if slot.value.holder.as_ref() == guid {
                let write = Write::Evict { slot: slot.slot, version: slot.version };
                self.plan = Some((Sent::Evict { slot: slot.slot }, Request::Write(write)));
            } else {
                self.look = true; // record and owner are of two moments
                self.back_off(at);
            }
            return true;
        }
        if let Some(extra) = line::registered_by(view, &self.card.node).find(|r| r.name != name) {
            self.plan = Some((Sent::Unregister, Request::Unregister(extra.name.clone())));
            return true;
        }
        false
    }

    fn looked_dynamic(&mut self, at: At, view: &View, name: &str, notices: &mut Vec<Notice>) {
        let candidate = line::coldest(view, &self.settings.dynamic, &self.high_water);
        match candidate {
            Some(candidate) if self.is_out_of_reach(at, candidate, notices) => return,
            Some(_) => {}
            None => self.clock_behind = false,
        }
        if at.boot_ms < self.claim_from {
            self.look_at = Some(self.claim_from);
            return;
        }
        let quota = line::dynamic_quota(&view.admission.value, self.server_now(at));
        match line::turn(view, &self.settings.dynamic, quota, name) {
            Turn::Later { rank, interest } => {
                (self.rank, self.room_since) = (rank, None);
                self.wait_for(at, interest);
            }
            Turn::Soon { rank, interest } => {
                self.rank = rank;
                let due = *self.room_since.get_or_insert(at.boot_ms) + rank as u64 * AHEAD_MS;
                match candidate {
                    Some(candidate) if at.boot_ms >= due => self.claim(at, view, name, candidate),
                    _ => {
                        self.wait_for(at, interest);
                        self.look_at = Some(due.max(at.boot_ms + 1));
                    }
                }
            }
            Turn::Now => {
                (self.rank, self.room_since) = (0, None);
                match candidate {
                    Some(candidate) => self.claim(at, view, name, candidate),
                    None => self.wait_for(at, Interest::Vacancy),
                }
            }
        }
    }

    fn looked_fixed(&mut self, at: At, view: &View, name: &str, notices: &mut Vec<Notice>) {
        let wanted = self.card.wanted_slot.expect("a static node names its slot");
        let Some(slot) = view.slots.iter().find(|slot| slot.slot == wanted) else {
            self.look_at = Some(at.boot_ms + self.settings.session_ms * 10);
            let failure = format!("slot {wanted} is not in the tree: run `meridian init`");
            notices.push(Notice::Trouble { doing: "claiming", failure });
            return;
        };
        if slot.owner.is_some() {
            // A twin with the same slot lives: wait for it to go.
            (self.rank, self.clock_behind) = (1, false);
            return self.wait_for(at, Interest::SlotOwner(wanted));
        }
        let candidate = line::candidate(slot, &self.high_water);
        if !self.is_out_of_reach(at, candidate, notices) {
            self.claim(at, view, name, candidate);
        }
    }

    /// Whether the clock is further behind even the best free slot than may be borrowed. Such a node is not eligible, so
    /// that it does not block the line for those whose clocks are better, and looks again by itself.
    fn is_out_of_reach(&mut self, at: At, candidate: Candidate<'_>, notices: &mut Vec<Notice>) -> bool {
        let gap_ms = candidate.floor.saturating_sub(at.credible);
        let out_of_reach = gap_ms > self.settings.max_borrow_ms;
        if out_of_reach {
            self.look_at = Some(at.boot_ms + (gap_ms - self.settings.max_borrow_ms).min(MEASURE_AGAIN_MS));
            if !self.clock_behind {
                notices.push(Notice::ClockBehind { slot: candidate.read.slot, gap_ms });
            }
        }
        self.clock_behind = out_of_reach;
        out_of_reach
    }

    /// Claims. If the clock is behind the floor, the gap is borrowed: issuing begins at the floor at once. (To wait for a
    /// small gap would wait for ever while the wall clock stands.)
    fn claim(&mut self, at: At, view: &View, name: &str, candidate: Candidate<'_>) {
        let Candidate { read, floor } = candidate;
        self.attempts += 1;
        // Unique without randomness here: the node's part is random, and it counts its attempts.
        let guid = Guid(format!("{}{:016x}", self.card.node, self.attempts));
        let ceiling = floor.max(at.credible) + self.settings.first_window_ms;
        let ceiling = ceiling.min(self.settings.layout.last_timestamp());
        #[cfg(feature = "broken")]
        let (floor, ceiling) = self.flawed_claim(at, floor, ceiling);
        let fence = read.value.fence + 1;
        let record = Slot { v: VERSION, holder: Some(guid.clone()), host: self.card.host.clone(), ceiling, fence };
        let owner = Owner { v: VERSION, guid: guid.clone(), worker: name.to_owned() };
        let write =
            Write::Claim { slot: read.slot, version: read.version, record, owner, admission: view.admission.clone() };
        let attempt = Attempt { guid, slot: read.slot, floor, ceiling, fence };
        self.plan = Some((Sent::Claim(attempt), Request::Write(write)));
    }

    fn wait_for(&mut self, at: At, interest: Interest) {
        if self.interest.as_ref() == Some(&interest) {
            // Watches tell; this look, once in ten sessions, is for the watch that was lost without a trace.
            self.look_at = Some(at.boot_ms + self.settings.session_ms * 10 + self.random() % 1_000);
        } else {
            self.plan = Some((Sent::Watch(interest.clone()), Request::Watch(interest)));
        }
    }

    fn looked_holding(&mut self, at: At, view: &View, slot: u16, notices: &mut Vec<Notice>) {
        if self.adopt_registration(view) {
            self.look = true;
            return;
        }
        let Some(read) = view.slots.iter().find(|read| read.slot == slot) else {
            self.doubt = Some(Doubt::Held); // cannot be by the ACLs; the read says what is wrong
            self.back_off(at);
            return;
        };
        if self.hold.as_ref().is_some_and(|hold| read.version < hold.version) {
            self.doubt = Some(Doubt::Held); // a follower may lag behind: read again, after a sync
            return;
        }
        self.adopt_read(at, read, notices);
        let now = self.server_now(at);
        let Some(hold) = &mut self.hold else { return };
        if hold.sealed.is_some() {
            return;
        }
        let quota = line::dynamic_quota(&view.admission.value, now);
        let dynamic = self.settings.dynamic.contains(&slot);
        if hold.attached == self.session {
            hold.admission = Some((view.admission.version, quota));
            match line::fit(view, &self.settings.dynamic, quota, slot) {
                _ if !dynamic => {}
                Fit::Within => hold.leave_at = None,
                Fit::OthersLeave => {
                    hold.leave_at = None;
                    hold.admission = None; // the next extend sees whether they did
                }
                Fit::Over => {
                    let lame_duck_ms = self.settings.lame_duck_ms;
                    hold.stay_at = at.boot_ms + STAY_MS;
                    let leave_at = *hold.leave_at.get_or_insert_with(|| {
                        notices.push(Notice::GivingBack { slot });
                        at.boot_ms + lame_duck_ms
                    });
                    if at.boot_ms >= leave_at {
                        self.seal_held();
                    }
                }
            }
            return;
        }
        // A new session: attach to it, if the quota was not given to others meanwhile.
        let others = line::dynamic_owners(view, &self.settings.dynamic, Some(slot)).count();
        if dynamic && others >= usize::from(quota) {
            notices.push(Notice::GivingBack { slot });
            self.seal_held();
            self.look = true;
            return;
        }
        let Some(name) = self.registered.clone() else { return };
        let Some(hold) = &self.hold else { return };
        let owner = Owner { v: VERSION, guid: hold.guid.clone(), worker: name.clone() };
        if read.owner.is_some() && hold.attached.is_none() {
            self.look = true; // record and owner are of two moments
            self.back_off(at);
            return;
        }
        let old = line::registered_by(view, &self.card.node).find(|r| r.name != name).map(|r| r.name.clone());
        let ceiling = self.higher_ceiling(at, hold);
        let write = Write::Reattach {
            slot,
            version: hold.version,
            record: self.record(hold, ceiling),
            owner,
            admission: view.admission.clone(),
            delete_owner: hold.attached.is_some(),
            delete_registration: old,
        };
        self.plan = Some((Sent::Reattach { ceiling }, Request::Write(write)));
    }
}
