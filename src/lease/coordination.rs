//! The narrow interface between the keeper and whatever coordinates the nodes: one session, one look, one write.
//!
//! The keeper speaks these words and no others; `zookeeper.rs` and `file.rs` translate them. A backend must give:
//! conditional writes that are linearisable, reads of one session that never go back, ephemerals that vanish with their
//! session. It need not deliver every answer, nor in time.

use super::znode::{Admission, Drain, Guid, NodeId, Owner, Registration, Slot, Tree};
use super::{file, zookeeper};
use crate::id::Millis;
use std::fmt;
use std::time::Duration;

/// The data version of a znode. Never -1, which means "any" to ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i32);

/// A session with the coordination service; ephemerals belong to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub i64);

/// The coordination service's own wall clock, in milliseconds since 1970, as it stamped a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerTime(pub i64);

/// Why a request did not succeed, as far as the protocol cares.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The service answered, and refused: nothing of this request was applied. (It may still be refused *because* an
    /// earlier request of ours was.)
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The answer is lost, late or not one we know: it may have been applied, or may be later.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// The session is over for this process. What it sent may have been applied.
    #[error("session over: {0}")]
    SessionOver(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("bad version")]
    BadVersion,
    #[error("node exists")]
    NodeExists,
    #[error("no node")]
    NoNode,
    #[error("not authorised")]
    NoAuth,
    #[error("not empty")]
    NotEmpty,
}

/// Everything a decision needs, read on one session: admission first, then the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub session: SessionId,
    pub admission: AdmissionRead,
    /// By place in line.
    pub registrations: Vec<RegistrationRead>,
    /// By slot number; every slot of the tree.
    pub slots: Vec<SlotRead>,
    pub drain: Option<Drain>,
}

/// How a region is, in as few and as cheap reads as possible: each of its nodes asks once a second.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    pub admission: AdmissionRead,
    /// Slots whose owner is alive.
    pub live: u16,
    pub drain: Option<Drain>,
}

/// Why the surge quota replaces the quota, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surge {
    /// RFC 3339 on the service's clock.
    pub until: String,
    /// The regions whose load comes here.
    pub causes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionRead {
    pub version: Version,
    pub value: Admission,
    /// The bytes as read: a bump writes them back untouched.
    pub raw: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RegistrationRead {
    pub name: String,
    pub sequence: u64,
    pub session: SessionId,
    pub created: ServerTime,
    pub value: Registration,
}

/// One slot: record and version come from one read.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotRead {
    pub slot: u16,
    pub version: Version,
    pub value: Slot,
    pub modified: ServerTime,
    pub owner: Option<OwnerRead>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OwnerRead {
    pub value: Owner,
    /// The `ephemeralOwner`: read, never inferred.
    pub session: SessionId,
    pub created: ServerTime,
}

/// A registration just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    pub name: String,
    /// The service's clock when it was made.
    pub at: ServerTime,
}

/// A change of one slot, applied whole or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// `multi[setData(slot, record, version), create(owner), setData(admission, same bytes, its version)]`
    Claim { slot: u16, version: Version, record: Slot, owner: Owner, admission: AdmissionRead },
    /// `setData(slot, record, version)`
    Extend { slot: u16, version: Version, record: Slot },
    /// `multi[delete(old owner)?, delete(old registration)?, create(owner), setData(slot), setData(admission)]`
    Reattach {
        slot: u16,
        version: Version,
        record: Slot,
        owner: Owner,
        admission: AdmissionRead,
        delete_owner: bool,
        delete_registration: Option<String>,
    },
    /// `multi[setData(slot, record, version), delete(owner)?]`
    Release { slot: u16, version: Version, record: Slot, delete_owner: bool },
    /// `multi[check(slot, version), delete(owner)]`: removes an owner of ours that came from a claim we gave up.
    Evict { slot: u16, version: Version },
}

impl Write {
    pub fn slot(&self) -> u16 {
        match self {
            Write::Claim { slot, .. }
            | Write::Extend { slot, .. }
            | Write::Reattach { slot, .. }
            | Write::Release { slot, .. }
            | Write::Evict { slot, .. } => *slot,
        }
    }
}

/// What a successful write tells: the slot's version after it, and the service's clock when it was applied.
/// `Evict` changes no slot: the version is the one checked, the time absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub version: Version,
    pub at: Option<ServerTime>,
}

/// What a waiting node wants to be woken for. Small on purpose: a departure must wake O(1) nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// A holder: nothing at all.
    Nothing,
    /// The head of the line: an owner of any slot goes, or the admission changes.
    Vacancy,
    /// Everybody behind: this registration (the predecessor's) goes or changes.
    Predecessor(String),
    /// A static node: the owner of its slot goes.
    SlotOwner(u16),
}

/// The latest a session knows of itself, for the keeper to wait on (`tokio::sync::watch`: never a queue).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Counts the times something of the interest happened, or may have (across a reconnection): look again.
    pub wakes: u64,
    pub link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Connected,
    Disconnected,
    /// The session is over; open another. Says nothing about the slot.
    Over,
}

/// How a fleet's region is set up in a tree by `init`.
#[derive(Clone, Debug, PartialEq)]
pub struct Blueprint {
    pub tree: Tree,
    pub admission: Admission,
    /// How many slots: all of the layout's.
    pub slots: u16,
    /// A *new* slot starts with the ceiling `now + window`, so that a wiped tree cannot overlap sane holders.
    pub window_ms: u64,
    pub epoch_unix_ms: i64,
}

impl Blueprint {
    /// Where a new slot starts. `now` is the service's clock: an hour wrong on the host of one `init` must not put a
    /// region's slots out of reach for an hour.
    pub fn first_ceiling(&self, now: ServerTime) -> Millis {
        Millis(now.0.saturating_sub(self.epoch_unix_ms).max(0) as u64) + self.window_ms
    }
}

/// What `init` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initialised {
    pub tree_created: bool,
    pub slots_created: u16,
    /// The quota or its digest differed from the manifest's and was rewritten.
    pub admission_changed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody there, or nobody in time: worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// The tree of this datacenter does not exist yet.
    #[error("no tree at {path}: run `meridian init` first, or start with --init")]
    NoTree { path: String },
    /// The tree belongs to another fleet, epoch, layout or datacenter: no retry will help.
    #[error("{0}")]
    Mismatch(String),
}

/// Where the nodes of a region meet.
#[derive(Clone, Debug)]
pub enum Coordination {
    Zookeeper(zookeeper::Ensemble),
    File(file::Directory),
}

/// One session; clones are the same session. When the last is dropped it ends, at once or by expiry.
#[derive(Clone)]
pub enum Session {
    Zookeeper(zookeeper::Session),
    File(file::Session),
}

/// Who is asking, and what the tree must say of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub fleet: String,
    pub datacenter: u16,
    pub epoch: String,
    pub layout: String,
}

impl Coordination {
    /// One bounded attempt to open a session on the tree of a datacenter.
    pub async fn open(&self, expected: &Expected, session_timeout: Duration) -> Result<Session, OpenError> {
        match self {
            Coordination::Zookeeper(ensemble) => ensemble.open(expected, session_timeout).await.map(Session::Zookeeper),
            Coordination::File(directory) => directory.open(expected).await.map(Session::File),
        }
    }

    /// The same place with the rights of `init`, where those are others than a node's.
    pub fn as_operator(self) -> Coordination {
        match self {
            Coordination::Zookeeper(ensemble) => Coordination::Zookeeper(ensemble.as_operator()),
            file => file,
        }
    }

    /// Whether its stamps are those of another clock than this machine's, so that comparing them tells something.
    pub fn is_second_clock(&self) -> bool {
        match self {
            Coordination::Zookeeper(_) => true,
            Coordination::File(_) => false,
        }
    }

    /// Makes the persistent znodes of a datacenter that are not there yet, and brings the quota up to date. Idempotent.
    pub async fn init(&self, blueprint: &Blueprint) -> Result<Initialised, OpenError> {
        match self {
            Coordination::Zookeeper(ensemble) => ensemble.init(blueprint).await,
            Coordination::File(directory) => directory.init(blueprint).await,
        }
    }
}

macro_rules! delegate {
    ($self:ident, $session:ident => $call:expr) => {
        match $self {
            Session::Zookeeper($session) => $call,
            Session::File($session) => $call,
        }
    };
}

impl Session {
    pub fn id(&self) -> SessionId {
        delegate!(self, s => s.id())
    }

    /// The tree as it was read when the session was opened.
    pub fn tree(&self) -> &Tree {
        delegate!(self, s => s.tree())
    }

    /// Joins the line (ephemeral, sequential).
    pub async fn register(&self, value: &Registration) -> Result<Registered, Failure> {
        delegate!(self, s => s.register(value).await)
    }

    /// Replaces the data of a registration of this session.
    pub async fn update_registration(&self, name: &str, value: &Registration) -> Result<ServerTime, Failure> {
        delegate!(self, s => s.update_registration(name, value).await)
    }

    /// Leaves the line. `NoNode` counts as done.
    pub async fn unregister(&self, name: &str) -> Result<(), Failure> {
        delegate!(self, s => s.unregister(name).await)
    }

    /// Reads everything a decision needs, admission first, on this session.
    pub async fn look(&self) -> Result<View, Failure> {
        delegate!(self, s => s.look().await)
    }

    /// Reads the admission alone (cheap).
    pub async fn admission(&self) -> Result<AdmissionRead, Failure> {
        delegate!(self, s => s.admission().await)
    }

    /// Reads how the region is. Not of one instant, and for no decision on a slot.
    pub async fn survey(&self) -> Result<Survey, Failure> {
        delegate!(self, s => s.survey().await)
    }

    /// Drains the region (in place of an earlier drain), or ends its drain.
    pub async fn set_drain(&self, drain: Option<&Drain>) -> Result<(), Failure> {
        delegate!(self, s => s.set_drain(drain).await)
    }

    /// Declares a surge in the admission as it was read; everything else in it stays, also what only newer versions know.
    pub async fn set_surge(&self, admission: &AdmissionRead, surge: &Surge) -> Result<(), Failure> {
        delegate!(self, s => s.set_surge(admission, surge).await)
    }

    /// Reads one slot after a `sync`, so that the answer is at least as new as this call.
    pub async fn read_slot(&self, slot: u16) -> Result<SlotRead, Failure> {
        delegate!(self, s => s.read_slot(slot).await)
    }

    /// Sends one write. Never dropped half-way by the keeper: an unpolled write may still be applied.
    pub async fn write(&self, write: &Write) -> Result<Written, Failure> {
        delegate!(self, s => s.write(write).await)
    }

    /// From now on the pulse beats for this interest (and no longer for an earlier one). Look *after* it: what happened
    /// before is not told.
    pub async fn watch(&self, interest: &Interest) -> Result<(), Failure> {
        delegate!(self, s => s.watch(interest).await)
    }

    /// Where changes of the session and of the interest show.
    pub fn pulse(&self) -> tokio::sync::watch::Receiver<Pulse> {
        delegate!(self, s => s.pulse())
    }

    /// Ends the session now, so that its ephemerals go at once instead of at expiry.
    pub async fn close(self) {
        delegate!(self, s => s.close().await)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl NodeId {
    /// A fresh random identity, 16 hex digits.
    pub fn random() -> NodeId {
        NodeId(random_hex(8))
    }
}

impl Guid {
    /// A fresh random identity, 32 hex digits.
    pub fn random() -> Guid {
        Guid(random_hex(16))
    }
}

fn random_hex(bytes: usize) -> String {
    let mut buffer = [0u8; 16];
    getrandom::fill(&mut buffer[..bytes]).expect("the operating system gives random bytes");
    buffer[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}
