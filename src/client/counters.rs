//! What a client did, as plain numbers.

use super::line::Miss;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A snapshot: [`Client::counters`](super::Client::counters).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Ids given to callers.
    pub ids: u64,
    /// Ids drawn and dropped: too old, too late, or there already. Gaps.
    pub dropped: u64,
    /// Ids at hand now.
    pub held: u64,
    /// Requests for ids, each with all its attempts.
    pub requests: u64,
    /// Requests that ended without ids.
    pub failed: u64,
    /// Attempts after the first one of a request.
    pub retries: u64,
    /// Those of them that went to another region.
    pub failovers: u64,
    /// Times that a retry had to wait for the budget.
    pub budget_waits: u64,
    /// Trials of ejected endpoints.
    pub trials: u64,
    pub ejections: u64,
    pub endpoints: Vec<EndpointCounters>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointCounters {
    pub region: String,
    pub address: SocketAddr,
    /// Attempts and trials.
    pub requests: u64,
    /// Those of them without ids.
    pub failures: u64,
    /// Those of them that took too long.
    pub timeouts: u64,
    pub ejections: u64,
    pub ejected: bool,
    pub idle_connections: usize,
}

/// What is counted of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub requests: AtomicU64,
    pub failures: AtomicU64,
    pub timeouts: AtomicU64,
    pub ejections: AtomicU64,
}

impl Tally {
    pub fn failed(&self, miss: &Miss) {
        self.failures.fetch_add(1, Relaxed);
        if matches!(&*miss.kind, "timeout" | "connect_timeout") {
            self.timeouts.fetch_add(1, Relaxed);
        }
    }
}

/// What is counted of the client as a whole.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub requests: AtomicU64,
    pub failed: AtomicU64,
    pub retries: AtomicU64,
    pub failovers: AtomicU64,
    pub budget_waits: AtomicU64,
    pub trials: AtomicU64,
}
