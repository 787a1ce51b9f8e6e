//! Folding answers in: what each outcome of each request means for the lease.

use super::*;
use crate::id::Origin;
use crate::lease::line;

impl State {
    pub(super) fn answered(&mut self, at: At, answer: Answer, notices: &mut Vec<Notice>) {
        let Some(sent) = self.sent.take() else {
            unreachable!("an answer without a request: {answer:?}");
        };
        match (sent, answer) {
            (Sent::Open, Answer::Opened(opened)) => self.opened(at, opened, notices),
            (Sent::Register { eligible }, Answer::Registered(result)) => {
                self.registered_answer(at, eligible, result, notices)
            }
            (Sent::Update { eligible }, Answer::Updated(result)) => match result {
                Ok(server) => {
                    self.observe_server(at, server);
                    self.look |= self.hold.is_none() && eligible && !self.told_eligible;
                    self.told_eligible = eligible;
                    self.touch = false;
                    self.failures = 0;
                }
                Err(failure) => {
                    // The registration is gone (or may be): a look tells. A touch that is merely lost is made again, or
                    // the one behind would not be woken.
                    self.touch &= !matches!(failure, Failure::Refused(_));
                    self.look = true;
                    self.trouble(at, "updating the registration", failure, notices);
                }
            },
            (Sent::Unregister, Answer::Unregistered(result)) => {
                if self.stopping {
                    self.registered = None; // the end of the session removes it in any case
                }
                if let Err(failure) = result {
                    self.trouble(at, "leaving the line", failure, notices);
                }
                self.look = true;
            }
            (Sent::Look, Answer::Looked(result)) => match result {
                Ok(view) => {
                    self.failures = 0;
                    self.looked(at, view, notices);
                }
                Err(failure) => {
                    self.look = true;
                    self.trouble(at, "looking", failure, notices);
                }
            },
            (Sent::Admission, Answer::Admission(result)) => self.admission_answer(at, result, notices),
            (Sent::ReadSlot, Answer::SlotRead(result)) => match result {
                Ok(read) => self.settle(at, read, notices),
                Err(failure) => self.trouble(at, "reading the slot", failure, notices),
            },
            (Sent::Watch(interest), Answer::Watching(result)) => {
                match result {
                    Ok(()) => self.interest = Some(interest),
                    Err(failure) => self.trouble(at, "watching", failure, notices),
                }
                self.look |= self.hold.is_none(); // what happened before the watch is told to nobody
            }
            (Sent::Claim(attempt), Answer::Written(result)) => self.claimed(at, attempt, result, notices),
            (Sent::Extend { ceiling }, Answer::Written(result)) => match result {
                Ok(written) => self.extended(at, written, ceiling, notices),
                Err(failure) => self.in_doubt(at, "extending", failure, notices),
            },
            (Sent::Reattach { ceiling }, Answer::Written(result)) => match result {
                Ok(written) => {
                    let session = self.session;
                    if let Some(hold) = &mut self.hold {
                        hold.attached = session;
                        notices.push(Notice::Reattached { slot: hold.slot });
                    }
                    self.extended(at, written, ceiling, notices);
                }
                Err(failure) => {
                    self.conflicts += u32::from(matches!(failure, Failure::Refused(_)));
                    self.in_doubt(at, "re-attaching", failure, notices)
                }
            },
            (Sent::Release, Answer::Written(result)) => match result {
                Ok(_) => self.released(notices),
                Err(failure) => self.in_doubt(at, "releasing", failure, notices),
            },
            (Sent::Evict { slot }, Answer::Written(result)) => {
                self.look = true;
                match result {
                    Ok(_) => notices.push(Notice::Evicted { slot }),
                    Err(failure) => self.trouble(at, "removing an orphan", failure, notices),
                }
            }
            (sent, answer) => unreachable!("{answer:?} does not answer {sent:?}"),
        }
    }

    fn opened(&mut self, at: At, opened: Result<Opened, Unopened>, notices: &mut Vec<Notice>) {
        match opened {
            Ok(Opened { session, high_water }) => {
                self.session_over(); // an answer of the old one may have come after its end
                if self.lost_session {
                    self.claim_from = at.boot_ms + ATTACH_MS;
                }
                self.failures = 0;
                self.session = Some(session);
                self.link = Link::Connected;
                for (slot, ceiling) in high_water {
                    // What this process knows of a slot is newer than what the disk does.
                    self.high_water.entry(slot).or_insert(ceiling);
                }
                self.look = true;
                notices.push(Notice::Opened(session));
            }
            Err(Unopened(why)) => {
                self.back_off(at);
                notices.push(Notice::Unreachable(why));
            }
        }
    }

    fn registered_answer(
        &mut self,
        at: At,
        eligible: bool,
        result: Result<Registered, Failure>,
        notices: &mut Vec<Notice>,
    ) {
        match result {
            Ok(Registered { name, at: server }) => {
                self.failures = 0;
                self.observe_server(at, server);
                self.told_eligible = eligible;
                notices.push(Notice::Registered(name.clone()));
                self.registered = Some(name);
                self.look = true;
            }
            Err(failure) => {
                self.seek_registration = true;
                self.trouble(at, "registering", failure, notices);
            }
        }
    }

    /// While holding: has the quota shrunk, or may it have?
    fn admission_answer(&mut self, at: At, result: Result<AdmissionRead, Failure>, notices: &mut Vec<Notice>) {
        let now = self.server_now(at);
        match result {
            Ok(read) => {
                let seen = (read.version, line::dynamic_quota(&read.value, now));
                if let Some(hold) = &mut self.hold {
                    hold.check_admission = false;
                    hold.stay_at = at.boot_ms + STAY_MS;
                    // Our own bump changes the version too: that look is the price of counting right.
                    if hold.admission.replace(seen) != Some(seen) {
                        self.look = true;
                    }
                }
            }
            Err(failure) => self.trouble(at, "reading the admission", failure, notices),
        }
    }

    fn claimed(&mut self, at: At, attempt: Attempt, result: Result<Written, Failure>, notices: &mut Vec<Notice>) {
        match result {
            Ok(Written { version, at: server }) => {
                if let Some(server) = server {
                    self.observe_server(at, server);
                }
                let session = self.session;
                self.hold(at, attempt, version, session, notices);
            }
            Err(Failure::Refused(Refusal::BadVersion | Refusal::NodeExists | Refusal::NoNode)) => {
                // Somebody was quicker: the guid is given up, the next look decides.
                self.look = true;
                self.conflicts += 1;
                self.back_off(at);
            }
            Err(failure @ Failure::Refused(_)) => {
                self.look_at = Some(at.boot_ms + self.settings.session_ms);
                self.trouble(at, "claiming", failure, notices);
            }
            Err(failure) => {
                self.doubt = Some(Doubt::Claim(attempt));
                self.trouble(at, "claiming", failure, notices);
            }
        }
    }

    /// The claim is ours: `[floor, ceiling)` is granted.
    fn hold(
        &mut self,
        at: At,
        attempt: Attempt,
        version: Version,
        attached: Option<SessionId>,
        notices: &mut Vec<Notice>,
    ) {
        let Attempt { guid, slot, floor, ceiling, fence } = attempt;
        let origin = Origin { datacenter: self.settings.datacenter, worker: slot };
        let grant = Arc::new(Grant::new(self.settings.layout, origin, floor, ceiling));
        let borrowed_ms = floor.saturating_sub(at.credible);
        notices.push(Notice::Granted { slot, floor, ceiling, borrowed_ms });
        self.high_water.insert(slot, ceiling);
        let hold = Hold {
            guid,
            slot,
            version,
            ceiling,
            fence,
            attached,
            grant,
            extend_at: at.boot_ms + extend_after(self.settings.first_window_ms),
            low_ms: low(self.settings.first_window_ms),
            falls: 0,
            sealed: None,
            admission: None,
            check_admission: false,
            leave_at: None,
            stay_at: 0,
        };
        #[cfg(feature = "broken")]
        self.flawed_granted(&hold);
        self.hold = Some(hold);
        (self.failures, self.conflicts, self.room_since) = (0, 0, None);
        self.look = false;
        self.look_at = None;
        self.touch = true; // wakes the one behind us in the line
        if self.interest.take().is_some() {
            self.plan = Some((Sent::Watch(Interest::Nothing), Request::Watch(Interest::Nothing)));
        }
        if self.stopping {
            self.seal_held();
        }
    }

    fn extended(&mut self, at: At, written: Written, ceiling: Millis, notices: &mut Vec<Notice>) {
        if let Some(server) = written.at {
            self.observe_server(at, server);
        }
        (self.failures, self.conflicts) = (0, 0);
        let window_ms = self.settings.window_ms;
        if let Some(hold) = &mut self.hold {
            hold.version = written.version;
            hold.adopt(ceiling, notices);
            self.high_water.insert(hold.slot, hold.ceiling);
            hold.extend_at = at.boot_ms + extend_after(window_ms);
            hold.low_ms = low(window_ms);
            hold.check_admission = self.settings.dynamic.contains(&hold.slot);
        }
    }

    fn released(&mut self, notices: &mut Vec<Notice>) {
        if let Some(hold) = self.hold.take() {
            #[cfg(feature = "broken")]
            self.flawed_released(&hold);
            let mark = hold.sealed.unwrap_or(hold.ceiling);
            notices.push(Notice::Released { slot: hold.slot, mark });
            self.high_water.insert(hold.slot, mark); // what lies above was given up before the release was sent
        }
        self.failures = 0;
        self.look = true;
    }

    /// Another holder has the slot. What we had stays ours, but nothing can be added: start over.
    fn fenced(&mut self, notices: &mut Vec<Notice>) {
        self.seal_held();
        if let Some(hold) = self.hold.take() {
            notices.push(Notice::Fenced { slot: hold.slot });
        }
        self.look = true;
    }

    /// A read after an unknown outcome. Whose record it is decides, never what we hoped for.
    pub(super) fn settle(&mut self, at: At, read: SlotRead, notices: &mut Vec<Notice>) {
        match self.doubt.take() {
            Some(Doubt::Claim(attempt)) => {
                let mine = read.value.holder.as_ref() == Some(&attempt.guid);
                #[cfg(feature = "broken")]
                let mine = self.flawed_recognition(&read, mine);
                if mine {
                    let attached = read.owner.filter(|owner| owner.value.guid == attempt.guid).map(|o| o.session);
                    let attempt = Attempt { ceiling: read.value.ceiling, ..attempt };
                    self.hold(at, attempt, read.version, attached, notices);
                } else {
                    // Given up. If it is applied after all, it is an orphan, and a later look removes it.
                    self.look = true;
                }
            }
            Some(Doubt::Held) => self.adopt_read(at, &read, notices),
            None => {}
        }
    }

    /// Compares what we hold with what a read shows.
    pub(super) fn adopt_read(&mut self, at: At, read: &SlotRead, notices: &mut Vec<Notice>) {
        let Some(hold) = &mut self.hold else { return };
        if read.version < hold.version {
            // Once may be a server that was slow to follow. Twice, and the service has lost what it acknowledged: nothing
            // can be built on this hold any more.
            notices.push(Notice::VersionFell { slot: hold.slot, known: hold.version, read: read.version });
            hold.falls += 1;
            if hold.falls >= FALLS {
                self.fenced(notices);
            } else {
                self.doubt = Some(Doubt::Held);
                self.back_off(at);
            }
        } else if read.value.holder.as_ref() == Some(&hold.guid) {
            (hold.version, hold.falls) = (read.version, 0);
            hold.attached =
                read.owner.as_ref().filter(|owner| owner.value.guid == hold.guid).map(|owner| owner.session);
            hold.adopt(read.value.ceiling, notices);
            self.high_water.insert(hold.slot, hold.ceiling);
        } else if read.value.holder.is_none() && hold.sealed.is_some() && read.version > hold.version {
            self.released(notices);
        } else {
            #[cfg(feature = "broken")]
            if self.flawed_fence(read) {
                return;
            }
            self.fenced(notices);
        }
    }

    fn in_doubt(&mut self, at: At, doing: &'static str, failure: Failure, notices: &mut Vec<Notice>) {
        self.doubt = Some(Doubt::Held);
        self.trouble(at, doing, failure, notices);
    }

    pub(super) fn trouble(&mut self, at: At, doing: &'static str, failure: Failure, notices: &mut Vec<Notice>) {
        if let Failure::SessionOver(_) = failure
            && self.session.is_some()
        {
            self.session_over();
            notices.push(Notice::SessionOver);
        }
        self.back_off(at);
        notices.push(Notice::Trouble { doing, failure: failure.to_string() });
    }
}

impl Hold {
    /// A ceiling that stands in our record is granted, and is published unless the grant is sealed.
    fn adopt(&mut self, ceiling: Millis, notices: &mut Vec<Notice>) {
        if self.sealed.is_none() && ceiling > self.ceiling {
            self.ceiling = ceiling;
            self.grant.raise(ceiling);
            notices.push(Notice::Extended { slot: self.slot, ceiling });
        }
    }
}

/// Versions that fall this often in a row are no lagging server.
const FALLS: u32 = 3;

/// What is left of a window when it is renewed.
fn low(window_ms: u64) -> u64 {
    window_ms / 2
}

/// A window is renewed when 0.4 of it has passed: two more tries fit before it ends.
fn extend_after(window_ms: u64) -> u64 {
    window_ms * 2 / 5
}
