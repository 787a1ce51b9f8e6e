//! The shape of a verdict: every criterion with its value, its limit and whether it holds.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Pass,
    Fail,
    /// Switched off by name; never decides.
    Off,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub observed: Value,
    pub limit: Value,
    pub status: Status,
    /// What to know or do when it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The body of `/api/v1/health`, also when it is a 503.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub status: Status,
    pub region: String,
    pub datacenter: u16,
    /// The lowest of its slots.
    pub worker: Option<u16>,
    /// All slots it holds: one, unless the manifest gives a node several.
    pub slots: Vec<u16>,
    pub checks: BTreeMap<&'static str, Check>,
}
