//! The words in and out of the state machine.

use crate::id::{Layout, Millis};
use crate::lease::coordination::*;
use crate::lease::znode::Registration;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What the machine needs to know of the manifest. Milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    pub layout: Layout,
    pub datacenter: u16,
    pub dynamic: RangeInclusive<u16>,
    pub session_ms: u64,
    pub window_ms: u64,
    pub first_window_ms: u64,
    pub max_borrow_ms: u64,
    /// How long a node goes on issuing, unready, before it gives its slot back because the quota shrank.
    pub lame_duck_ms: u64,
    /// What is broken on purpose.
    #[cfg(feature = "broken")]
    pub flaw: Option<super::flaw::Flaw>,
}

/// When an event happens or a question is asked.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Milliseconds since boot: for timers.
    pub boot_ms: u64,
    /// `V`: for ceilings and floors.
    pub credible: Millis,
}

/// What the machine wants done. One at a time; its answer comes back as `Event::Answered`.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Open,
    Register(Registration),
    Update { name: String, value: Registration },
    Unregister(String),
    Look,
    Admission,
    ReadSlot(u16),
    Write(Write),
    Watch(Interest),
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// A session, and what this machine remembers of the tree's slots.
    Opened(Result<Opened, Unopened>),
    Registered(Result<Registered, Failure>),
    Updated(Result<ServerTime, Failure>),
    Unregistered(Result<(), Failure>),
    Looked(Result<View, Failure>),
    Admission(Result<AdmissionRead, Failure>),
    SlotRead(Result<SlotRead, Failure>),
    Written(Result<Written, Failure>),
    Watching(Result<(), Failure>),
}

#[derive(Clone, Debug)]
pub struct Opened {
    pub session: SessionId,
    pub high_water: BTreeMap<u16, Millis>,
}

/// Why no session could be opened; for people.
#[derive(Clone, Debug)]
pub struct Unopened(pub String);

/// One at a time goes by value; a box would only move it elsewhere.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug)]
pub enum Event {
    Answered(Answer),
    Link(Link),
    /// Something of the interest happened.
    Woken,
    /// Whether the clock may be trusted with a claim.
    MayClaim(bool),
    /// Give the slot back and leave.
    Stop,
}

/// What the world should hear of.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Opened(SessionId),
    SessionOver,
    Unreachable(String),
    Registered(String),
    /// A slot is ours; `borrowed_ms` is how far its floor is ahead of the clock.
    Granted {
        slot: u16,
        floor: Millis,
        ceiling: Millis,
        borrowed_ms: u64,
    },
    Extended {
        slot: u16,
        ceiling: Millis,
    },
    Reattached {
        slot: u16,
    },
    /// Another holder has the slot: what we had is sealed.
    Fenced {
        slot: u16,
    },
    Released {
        slot: u16,
        mark: Millis,
    },
    /// The quota was given to others while we were away, or shrank: going back to the line, after the lame duck if it may.
    GivingBack {
        slot: u16,
    },
    Evicted {
        slot: u16,
    },
    /// The clock is further behind every free slot than may be borrowed.
    ClockBehind {
        slot: u16,
        gap_ms: u64,
    },
    /// The service shows an older version than it acknowledged: it has lost writes.
    VersionFell {
        slot: u16,
        known: Version,
        read: Version,
    },
    Trouble {
        doing: &'static str,
        failure: String,
    },
}

/// What to do next.
#[allow(clippy::large_enum_variant)] // as above
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Send(Request),
    /// Nothing before this moment (`None`: before the next event).
    Wait(Option<u64>),
    /// Stopped, everything given back that could be.
    Done,
}

/// Where a node stands, for people, health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No session yet.
    Connecting,
    /// In the line; `rank` others in front.
    Standby {
        rank: usize,
    },
    /// Not allowed to claim: its clock is wrong, or too far behind.
    Ineligible,
    Holding,
    /// Holding, and about to give the slot back: the quota shrank. Issues meanwhile, until load balancers have noticed.
    Leaving,
    /// Holding, but out of touch with the coordination service: issues to its ceiling.
    Detached,
    Stopping,
}
