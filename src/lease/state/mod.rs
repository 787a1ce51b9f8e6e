//! The lease as a state machine: events in, at most one request out at a time. No I/O, no clock, no randomness.
//!
//! Invariants:
//! * one request in flight, and after a write with an unknown outcome nothing but the read that settles it;
//! * a grant is made, raised or adopted only from what the coordination service says is ours;
//! * a ceiling is never lowered but by a release, and a release is sent only after the seal;
//! * session loss is not slot loss: issuing goes on below the ceiling whatever happens here.

mod answer;
mod event;
#[cfg(feature = "broken")]
pub mod flaw;
mod look;
#[cfg(test)]
mod tests;

pub use event::*;

use super::coordination::*;
use super::grant::Grant;
use super::znode::{Guid, Registration, Slot, VERSION};
use crate::id::Millis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A slot held.
#[derive(Debug)]
struct Hold {
    guid: Guid,
    slot: u16,
    version: Version,
    ceiling: Millis,
    fence: u64,
    /// The session its owner node belongs to, as last read or written.
    attached: Option<SessionId>,
    grant: Arc<Grant>,
    extend_at: u64,
    /// With less than this below the ceiling, extend at once.
    low_ms: u64,
    /// How often in a row the service has shown an older version than it acknowledged.
    falls: u32,
    /// Sealed for good; the mark to release at.
    sealed: Option<Millis>,
    /// The admission last seen while holding, to notice a quota that shrank.
    admission: Option<(Version, u16)>,
    check_admission: bool,
    /// It gives the slot back at this moment, if the quota has no room for it then either.
    leave_at: Option<u64>,
    /// Until then it asks for the admission at this moment: a quota that grows again keeps it.
    stay_at: u64,
}

/// One attempt to claim.
#[derive(Clone, Debug, PartialEq)]
struct Attempt {
    guid: Guid,
    slot: u16,
    floor: Millis,
    ceiling: Millis,
    fence: u64,
}

/// The one request in flight.
#[derive(Clone, Debug, PartialEq)]
enum Sent {
    Open,
    Register { eligible: bool },
    Update { eligible: bool },
    Unregister,
    Look,
    Admission,
    ReadSlot,
    Claim(Attempt),
    Extend { ceiling: Millis },
    Reattach { ceiling: Millis },
    Release,
    Evict { slot: u16 },
    Watch(Interest),
}

/// A write whose outcome a read must tell.
#[derive(Clone, Debug, PartialEq)]
enum Doubt {
    Claim(Attempt),
    /// Of the slot held: extend, re-attach or release.
    Held,
}

/// The machine.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    /// What this node says of itself in the line.
    card: Registration,
    session: Option<SessionId>,
    link: Link,
    registered: Option<String>,
    /// The answer to a registration is lost: it may be there.
    seek_registration: bool,
    /// The highest ceiling known to be given away, by slot: from this machine's disk, and by this process.
    high_water: BTreeMap<u16, Millis>,
    hold: Option<Hold>,
    sent: Option<Sent>,
    doubt: Option<Doubt>,
    /// What the last look decided; sent next, on the same session.
    plan: Option<(Sent, Request)>,
    interest: Option<Interest>,
    look: bool,
    look_at: Option<u64>,
    touch: bool,
    may_claim: bool,
    told_eligible: bool,
    rank: usize,
    /// Since when the looks have shown room for us, with others in front.
    room_since: Option<u64>,
    clock_behind: bool,
    stopping: bool,
    attempts: u64,
    failures: u32,
    /// Claims and re-attachments that others were quicker than, in a row. A look in between does not end the row: the
    /// crowd is still there.
    conflicts: u32,
    retry_at: u64,
    lost_session: bool,
    /// No dynamic slot is claimed before.
    claim_from: u64,
    jitter: u64,
    /// The service's clock (since 1970) minus the time since boot, in milliseconds.
    server_lead_ms: Option<i64>,
    last_view: Option<Overview>,
}

/// A service that stood still for longer than a session ends all sessions at once. Whoever held a slot attaches to it anew,
/// and issues all the while: standbys, which lost their sessions with the others, leave them so much time.
const ATTACH_MS: u64 = 2_000;

/// How often a holder that is about to leave asks whether it must: when a region surges, those that still leave since the
/// last surge are as quick as standbys.
const STAY_MS: u64 = 200;

/// How often a holder compares its ceiling with the clock, between extends.
const LOOK_AT_CEILING_MS: u64 = 1_000;

/// The last look, as far as health and metrics care.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    pub boot_ms: u64,
    /// Owners alive, static ones included.
    pub owners: u16,
    pub standbys: u16,
    pub quota: u16,
    pub drained: bool,
}

impl State {
    /// `card.node` must be random: attempts are told apart by it.
    pub fn new(settings: Settings, card: Registration) -> State {
        let jitter = card.node.0.bytes().fold(0xcbf2_9ce4_8422_2325, |h: u64, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3) // FNV-1a
        });
        State {
            settings,
            told_eligible: card.eligible,
            card,
            session: None,
            link: Link::Disconnected,
            registered: None,
            seek_registration: false,
            high_water: BTreeMap::new(),
            hold: None,
            sent: None,
            doubt: None,
            plan: None,
            interest: None,
            look: true,
            look_at: None,
            touch: false,
            may_claim: true,
            rank: 0,
            room_since: None,
            clock_behind: false,
            stopping: false,
            attempts: 0,
            failures: 0,
            conflicts: 0,
            retry_at: 0,
            lost_session: false,
            claim_from: 0,
            jitter,
            server_lead_ms: None,
            last_view: None,
        }
    }

    /// The grant to issue from, if any.
    pub fn grant(&self) -> Option<&Arc<Grant>> {
        let usable = |hold: &Hold| hold.sealed.is_none();
        #[cfg(feature = "broken")]
        let usable = |hold: &Hold| self.flawed_use(usable(hold));
        self.hold.as_ref().filter(|hold| usable(hold)).map(|hold| &hold.grant)
    }

    pub fn phase(&self) -> Phase {
        let attached = |hold: &Hold| self.session.is_some() && hold.attached == self.session;
        match &self.hold {
            _ if self.stopping => Phase::Stopping,
            Some(hold) if hold.sealed.is_none() => match attached(hold) && self.link == Link::Connected {
                true if hold.leave_at.is_some() => Phase::Leaving,
                true => Phase::Holding,
                false => Phase::Detached,
            },
            _ if self.session.is_none() => Phase::Connecting,
            _ if !self.may_claim || self.clock_behind => Phase::Ineligible,
            _ => Phase::Standby { rank: self.rank },
        }
    }

    pub fn overview(&self) -> Option<&Overview> {
        self.last_view.as_ref()
    }

    pub fn registered(&self) -> Option<&str> {
        self.registered.as_deref()
    }

    /// Takes an event in.
    pub fn step(&mut self, at: At, event: Event) -> Vec<Notice> {
        let mut notices = Vec::new();
        match event {
            Event::Answered(answer) => self.answered(at, answer, &mut notices),
            Event::Link(Link::Over) => {
                if self.session.is_some() {
                    self.session_over();
                    notices.push(Notice::SessionOver);
                }
            }
            Event::Link(link) => self.link = link,
            Event::Woken => self.look |= self.hold.is_none(),
            Event::MayClaim(may) => {
                self.look |= may && !self.may_claim;
                self.may_claim = may;
            }
            Event::Stop => {
                self.stopping = true;
                self.retry_at = 0;
                self.seal_held();
            }
        }
        notices
    }

    /// Says what to do now. Sends nothing while an answer is out.
    pub fn next(&mut self, at: At) -> Next {
        if self.sent.is_some() {
            return Next::Wait(None);
        }
        if self.stopping && self.hold.is_none() && self.doubt.is_none() && self.registered.is_none() {
            return Next::Done;
        }
        if at.boot_ms < self.retry_at {
            return Next::Wait(Some(self.retry_at));
        }
        let Some(session) = self.session else {
            return self.send(Sent::Open, Request::Open);
        };
        if self.link != Link::Connected {
            // Nothing to give back but the place in line, which goes with the session.
            let nothing_held = self.stopping && self.hold.is_none() && self.doubt.is_none();
            return if nothing_held { Next::Done } else { Next::Wait(None) };
        }
        match &self.doubt {
            Some(Doubt::Claim(attempt)) => return self.send(Sent::ReadSlot, Request::ReadSlot(attempt.slot)),
            Some(Doubt::Held) => match &self.hold {
                Some(hold) => return self.send(Sent::ReadSlot, Request::ReadSlot(hold.slot)),
                None => self.doubt = None,
            },
            None => {}
        }
        if self.stopping
            && let Some(name) = self.registered.clone()
        {
            // Out of the line before the slot is free: else whoever is woken by the release finds this node in front, and
            // has to wait for it once more.
            return self.send(Sent::Unregister, Request::Unregister(name));
        }
        if let Some(hold) = &self.hold
            && let Some(mark) = hold.sealed
        {
            let record = Slot { holder: None, ..self.record(hold, mark) };
            let delete_owner = hold.attached.is_some();
            let write = Write::Release { slot: hold.slot, version: hold.version, record, delete_owner };
            return self.send(Sent::Release, Request::Write(write));
        }
        if self.stopping {
            return Next::Done;
        }
        let Some(name) = self.registered.clone() else {
            if self.seek_registration {
                return self.send(Sent::Look, Request::Look);
            }
            let eligible = self.may_claim && !self.clock_behind;
            let card = Registration { eligible, ..self.card.clone() };
            return self.send(Sent::Register { eligible }, Request::Register(card));
        };
        if let Some((sent, request)) = self.plan.take() {
            return self.send(sent, request);
        }
        let eligible = self.may_claim && !self.clock_behind;
        if self.touch || (self.hold.is_none() && self.told_eligible != eligible) {
            let value = Registration { eligible, ..self.card.clone() };
            return self.send(Sent::Update { eligible }, Request::Update { name, value });
        }
        if let Some(hold) = &self.hold {
            let leaves = hold.leave_at.is_some_and(|leave_at| at.boot_ms >= leave_at);
            if hold.attached != Some(session) || self.look || leaves {
                return self.send(Sent::Look, Request::Look);
            }
            let due = at.boot_ms >= hold.extend_at || self.runs_low(at, hold);
            #[cfg(feature = "broken")]
            let due = self.flawed_extend_is_due(at, hold, due);
            if due {
                let ceiling = self.higher_ceiling(at, hold);
                #[cfg(feature = "broken")]
                self.flawed_extend(hold, ceiling);
                let record = self.record(hold, ceiling);
                let write = Write::Extend { slot: hold.slot, version: hold.version, record };
                return self.send(Sent::Extend { ceiling }, Request::Write(write));
            }
            let leaving = hold.leave_at.map(|leave_at| leave_at.min(hold.stay_at));
            if hold.check_admission || leaving.is_some_and(|due| at.boot_ms >= due) {
                return self.send(Sent::Admission, Request::Admission);
            }
            let look_at_ceiling = hold.extend_at.min(at.boot_ms + LOOK_AT_CEILING_MS);
            return Next::Wait(Some(leaving.map_or(look_at_ceiling, |due| due.min(look_at_ceiling))));
        }
        if self.look || self.look_at.is_some_and(|due| at.boot_ms >= due) {
            return self.send(Sent::Look, Request::Look);
        }
        Next::Wait(self.look_at)
    }

    fn send(&mut self, sent: Sent, request: Request) -> Next {
        if sent == Sent::Look {
            self.look = false;
            self.look_at = None;
        }
        self.sent = Some(sent);
        Next::Send(request)
    }

    /// What we would write into our slot with this ceiling.
    fn record(&self, hold: &Hold, ceiling: Millis) -> Slot {
        Slot { v: VERSION, holder: Some(hold.guid.clone()), host: self.card.host.clone(), ceiling, fence: hold.fence }
    }

    /// A window above the clock and above what is issued. Never below the ceiling that stands: an idle borrower would
    /// give timestamps away twice.
    fn higher_ceiling(&self, at: At, hold: &Hold) -> Millis {
        let layout = self.settings.layout;
        let issued = layout.millis_rounded_up(hold.grant.position());
        let wanted = at.credible.max(issued) + self.settings.window_ms;
        let ceiling = hold.ceiling.max(wanted.min(layout.last_timestamp()));
        #[cfg(feature = "broken")]
        let ceiling = self.flawed_ceiling(hold, wanted, ceiling);
        ceiling
    }

    /// Whether less is left below the ceiling than the timer reckons with: the clock made a step, or issuing ran ahead.
    fn runs_low(&self, at: At, hold: &Hold) -> bool {
        let issued = self.settings.layout.millis(hold.grant.position());
        let left = hold.ceiling.saturating_sub(at.credible.max(issued));
        left < hold.low_ms && self.higher_ceiling(at, hold) > hold.ceiling
    }

    /// Ends the grant for good, before anything is sent. From here only the release is left.
    fn seal_held(&mut self) {
        #[cfg(feature = "broken")]
        if self.flawed_seal() {
            return;
        }
        if let Some(hold) = &mut self.hold
            && hold.sealed.is_none()
        {
            hold.sealed = Some(hold.grant.seal());
        }
    }

    fn session_over(&mut self) {
        #[cfg(feature = "broken")]
        self.flawed_session_over();
        self.lost_session |= self.session.is_some();
        self.session = None;
        self.link = Link::Over;
        self.registered = None;
        self.seek_registration = false;
        self.plan = None;
        self.interest = None;
        self.room_since = None;
        self.look = true;
    }

    /// A short pause before the next try, longer each time, spread out so that a thousand nodes do not come at once.
    fn back_off(&mut self, at: At) {
        let longest = (50u64 << self.failures.max(self.conflicts).min(5)).min(1_000);
        self.failures += 1;
        self.retry_at = at.boot_ms + longest / 2 + self.random() % (longest / 2);
    }

    /// xorshift64: spread, not secrecy.
    fn random(&mut self) -> u64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        self.jitter
    }

    /// The service's clock now, in milliseconds since 1970: its last stamp and the time since boot that passed, whatever
    /// our own wall clock did meanwhile. Before the first stamp: the end of time, when no surge is in force.
    fn server_now(&self, at: At) -> i64 {
        self.server_lead_ms.map_or(i64::MAX, |lead_ms| at.boot_ms as i64 + lead_ms)
    }

    fn observe_server(&mut self, at: At, server: ServerTime) {
        self.server_lead_ms = Some(server.0 - at.boot_ms as i64);
    }
}
