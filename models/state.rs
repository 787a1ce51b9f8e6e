//! What a run knows: the servers' snapshots, the wire, the nodes' memories, and the ledger that judges them.

use crate::scope::Scope;
use crate::world::{Guid, Owner, Place, Registration, Request, SLOTS, Snapshot};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hold {
    /// Has no grant; in the line, or about to be.
    Waiting,
    /// May issue [floor, ceiling). `attached` is the session whose owner node it believes to have.
    Holding { slot: u8, version: u8, floor: u8, ceiling: u8, attached: Option<u8> },
    /// Will never issue again under this guid, and writes `mark` until it is written or another holds the slot.
    Sealed { slot: u8, version: u8, mark: u8, owned: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    Nothing,
    Answer(Request),
    /// Refused, timed out or lost: only a read tells.
    Doubt(Request),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub attempt: u8,
    pub session: u8,
    /// First session of this process; what is older belongs to a process that died, whatever the host name says.
    pub born: u8,
    /// Bit per session that the *server* still holds.
    pub alive: u8,
    /// Oldest snapshot (index into the history) that this session may still be shown.
    pub seen: u8,
    pub held_back: bool,
    pub hold: Hold,
    pub pending: Pending,
}

/// The ways in which a run can break a promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Broken {
    pub duplicate: bool,
    pub over_quota: bool,
    pub foreign_delete: bool,
    pub overtaken: bool,
    pub lowered: bool,
}

/// A snapshot with its hash: a state is hashed far more often than a snapshot is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    hash: u64,
    snapshot: Arc<Snapshot>,
}

impl From<Snapshot> for Seen {
    fn from(snapshot: Snapshot) -> Self {
        // Fixed keys: the same state must have the same hash in every thread and every run.
        let mut hasher = DefaultHasher::new();
        snapshot.hash(&mut hasher);
        Seen { hash: hasher.finish(), snapshot: Arc::new(snapshot) }
    }
}

impl std::ops::Deref for Seen {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Hash for Seen {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash.hash(hasher);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The last snapshots, newest last.
    pub history: Vec<Seen>,
    pub wire: BTreeSet<Request>,
    pub nodes: Vec<Node>,
    /// Per slot, bit t: somebody has, or had and may have used, the right to issue timestamp t.
    pub ledger: [u64; SLOTS],
    pub faults: u8,
    pub quota_changes: u8,
    pub hold_backs: u8,
    pub copies: u8,
    pub broken: Broken,
}

impl State {
    pub fn new(scope: &Scope) -> Self {
        // Everybody has registered: the interesting part begins after that.
        let line: Vec<Place> = if scope.admission {
            let register = |node| Place { registration: Registration { node, session: 0, copy: 0 }, eligible: true };
            (0..scope.nodes).map(register).collect()
        } else {
            Vec::new()
        };
        let node = Node {
            attempt: 0,
            session: 0,
            born: 0,
            alive: 1,
            seen: 0,
            held_back: false,
            hold: Hold::Waiting,
            pending: Pending::Nothing,
        };
        State {
            history: vec![Snapshot::new(scope.quota, line).into()],
            wire: BTreeSet::new(),
            nodes: vec![node; scope.nodes as usize],
            ledger: [0; SLOTS],
            faults: 0,
            quota_changes: 0,
            hold_backs: 0,
            copies: 0,
            broken: Broken::default(),
        }
    }

    pub fn node(&self, node: u8) -> &Node {
        &self.nodes[node as usize]
    }

    pub fn node_mut(&mut self, node: u8) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    pub fn tip(&self) -> &Snapshot {
        self.history.last().expect("the history is never empty")
    }

    pub fn newest(&self) -> u8 {
        self.history.len() as u8 - 1
    }

    pub fn push(&mut self, snapshot: Snapshot, lag: usize) {
        self.history.push(snapshot.into());
        if self.history.len() > lag + 1 {
            self.history.remove(0);
            for node in &mut self.nodes {
                node.seen = node.seen.saturating_sub(1);
            }
        }
    }

    /// Every id of a grant may be issued at any later time, by a process paused for ever: so the grant itself is judged.
    pub fn grant(&mut self, slot: u8, from: u8, to: u8) {
        for timestamp in from..to {
            let bit = 1 << timestamp;
            self.broken.duplicate |= self.ledger[slot as usize] & bit != 0;
            self.ledger[slot as usize] |= bit;
        }
    }

    /// Sealed: the rights from the mark on were not used and never will be.
    pub fn give_back(&mut self, slot: u8, from: u8, to: u8) {
        for timestamp in from..to {
            self.ledger[slot as usize] &= !(1 << timestamp);
        }
    }

    pub fn lives(&self, node: u8, session: u8) -> bool {
        self.node(node).alive >> session & 1 == 1
    }
}

impl Node {
    /// Is this an owner that this very process created?
    pub fn created(&self, node: u8, owner: &Owner) -> bool {
        owner.guid.node == node && owner.session >= self.born
    }

    pub fn guid(&self, node: u8) -> Guid {
        Guid { node, attempt: self.attempt }
    }

    /// Back to the line. The guid is spent: whatever of it is still on its way can only become an orphan.
    pub fn start_over(&mut self) {
        self.attempt += 1;
        self.hold = Hold::Waiting;
        self.pending = Pending::Nothing;
    }

    pub fn open_session(&mut self) {
        self.session += 1;
        self.alive |= 1 << self.session;
        self.seen = 0;
    }
}
