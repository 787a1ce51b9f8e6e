//! What stands in the znodes of a datacenter's tree, and where. The names and shapes are contracts (docs/PROTOCOL.md).
//!
//! Readers ignore fields they do not know, so that a newer version may add some; writers of `admission` copy its bytes.

use crate::id::Millis;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The shape of every payload written today.
pub const VERSION: u32 = 1;

/// A process: random, made at its start. It stands first in the name of a registration, so that the process finds its
/// own after a lost answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

/// One attempt to hold a slot. Fresh for every claim, never reused: it is what the fence recognises a holder by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Guid(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `/meridian/v1/dc/<d>`: which fleet the tree belongs to. Nodes refuse a tree that differs from their manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    pub v: u32,
    pub fleet: String,
    pub datacenter: u16,
    pub epoch: String,
    pub layout: String,
    /// Made once by `init`: tells a tree from one that was wiped and made again.
    pub genesis: Guid,
}

/// `…/admission`: how many may hold a slot. Its data version serialises admissions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub v: u32,
    pub quota: u16,
    #[serde(rename = "static")]
    pub fixed: u16,
    pub surge: u16,
    /// RFC 3339 on the ensemble's clock: until then `surge` replaces `quota`.
    pub surge_until: Option<String>,
    /// The regions for which the surge was declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub surge_for: Vec<String>,
    /// SHA-256 of the manifest that wrote this.
    pub digest: String,
}

/// How a node asks for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A slot of the static pool, by number.
    #[serde(rename = "static")]
    Fixed,
    /// Any slot of the dynamic pool, inside the quota.
    Dynamic,
}

/// `…/workers/<node>-<seq>`, ephemeral: a live node, and its place in the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    pub v: u32,
    pub node: NodeId,
    pub class: Class,
    pub wanted_slot: Option<u16>,
    /// False while the node may not claim (clock, stop): it does not block the line.
    pub eligible: bool,
    pub host: String,
    pub zone: String,
    pub http: String,
    pub ops: String,
    pub version: String,
    pub started: String,
}

/// `…/slots/<w>`: its data version is the fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    pub v: u32,
    pub holder: Option<Guid>,
    pub host: String,
    /// Every timestamp below has been given to somebody.
    #[serde(rename = "ceiling_ms")]
    pub ceiling: Millis,
    /// Counts the claims.
    pub fence: u64,
}

/// `…/slots/<w>/owner`, ephemeral: the holder is alive, and which registration it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub v: u32,
    pub guid: Guid,
    /// Name of the registration in `workers`.
    pub worker: String,
}

/// `…/drain`: present while the region is drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub v: u32,
    pub by: String,
    pub reason: String,
    pub since: String,
}

impl Registration {
    /// The node a registration's name belongs to.
    pub fn node_of(name: &str) -> &str {
        name.rsplit_once('-').map_or(name, |(node, _)| node)
    }

    /// The place in line a registration's name says.
    pub fn sequence_of(name: &str) -> Option<u64> {
        name.rsplit_once('-')?.1.parse().ok()
    }
}

/// Paths of one datacenter's tree, below the chroot of the connect string.
#[derive(Clone, Debug)]
pub struct Paths {
    root: String,
}

impl Paths {
    pub fn new(datacenter: u16) -> Paths {
        Paths { root: format!("/meridian/v1/dc/{datacenter}") }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn admission(&self) -> String {
        format!("{}/admission", self.root)
    }

    pub fn workers(&self) -> String {
        format!("{}/workers", self.root)
    }

    pub fn worker(&self, name: &str) -> String {
        format!("{}/workers/{name}", self.root)
    }

    pub fn slots(&self) -> String {
        format!("{}/slots", self.root)
    }

    pub fn slot(&self, slot: u16) -> String {
        format!("{}/slots/{slot:02}", self.root)
    }

    pub fn owner(&self, slot: u16) -> String {
        format!("{}/slots/{slot:02}/owner", self.root)
    }

    pub fn drain(&self) -> String {
        format!("{}/drain", self.root)
    }
}
