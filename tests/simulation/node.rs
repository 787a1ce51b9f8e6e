//! A simulated process: the real state machine, and what a keeper would hold for it.

use meridian::lease::coordination::Interest;
use meridian::lease::grant::Grant;
use meridian::lease::state::{Request, Settings, State};
use meridian::lease::tree::Glance;
use meridian::lease::znode::{Class, NodeId, Registration};
use std::sync::Arc;

pub struct Node {
    pub state: State,
    pub session: Option<i64>,
    /// The request whose answer is out.
    pub asked: Option<Request>,
    /// What it watches, and what it saw there last.
    pub watched: Option<(Interest, Glance)>,
    /// A watch has fired and is on its way.
    pub beat: bool,
    pub connected: bool,
    /// How far its clock is off.
    pub skew_ms: i64,
    /// Not scheduled until then: a paused process. Its grants may be used all the same, by a thread that had begun.
    pub paused_until: u64,
    /// The oldest state of the tree its session may still be shown.
    pub seen: usize,
    /// Every grant its process ever had.
    pub grants: Vec<Arc<Grant>>,
    pub wanted: Option<u16>,
}

impl Node {
    /// `made` counts the processes of the run: identities are never used twice.
    pub fn new(settings: Settings, made: u64, wanted: Option<u16>, skew_ms: i64) -> Node {
        let card = Registration {
            v: 1,
            node: NodeId(format!("n{made}")),
            class: if wanted.is_some() { Class::Fixed } else { Class::Dynamic },
            wanted_slot: wanted,
            eligible: true,
            host: "host".into(),
            zone: String::new(),
            http: String::new(),
            ops: String::new(),
            version: String::new(),
            started: String::new(),
        };
        Node {
            state: State::new(settings, card),
            session: None,
            asked: None,
            watched: None,
            beat: false,
            connected: true,
            skew_ms,
            paused_until: 0,
            seen: 0,
            grants: Vec::new(),
            wanted,
        }
    }

    pub fn forget_session(&mut self) {
        (self.session, self.watched, self.beat, self.connected) = (None, None, false, true);
    }
}
