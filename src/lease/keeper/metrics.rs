//! What is measured of leases, of all keepers of a process together.

use crate::lease::coordination::Write;
use crate::lease::state::Request;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

#[derive(Clone)]
pub struct Metrics {
    events: Family<EventLabel, Counter>,
    requests: Family<RequestLabel, Histogram, fn() -> Histogram>,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let events = Family::default();
        registry.register("lease_events", "What happened to the lease", events.clone());
        let requests = Family::new_with_constructor(request_buckets as fn() -> Histogram);
        registry.register_with_unit(
            "lease_request",
            "Time requests to the coordination service took, refused and lost ones included",
            Unit::Seconds,
            requests.clone(),
        );
        Metrics { events, requests }
    }

    pub fn count(&self, event: Kind) {
        self.events.get_or_create(&EventLabel { event }).inc();
    }

    pub fn took(&self, request: Asked, time: Duration) {
        self.requests.get_or_create(&RequestLabel { request }).observe(time.as_secs_f64());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabel {
    event: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    request: Asked,
}

/// What is counted of a lease's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum Kind {
    session_opened,
    session_over,
    unreachable,
    registered,
    granted,
    extended,
    reattached,
    fenced,
    released,
    giving_back,
    evicted,
    clock_behind,
    version_fell,
    trouble,
    high_water_failed,
    /// A watch told of something while waiting in the line (or the link came back). Many for one departure: a herd.
    woken,
}

/// What the coordination service was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
pub enum Asked {
    open,
    register,
    update,
    unregister,
    look,
    admission,
    read_slot,
    claim,
    extend,
    reattach,
    release,
    evict,
    watch,
}

impl Asked {
    pub fn of(request: &Request) -> Asked {
        match request {
            Request::Open => Asked::open,
            Request::Register(_) => Asked::register,
            Request::Update { .. } => Asked::update,
            Request::Unregister(_) => Asked::unregister,
            Request::Look => Asked::look,
            Request::Admission => Asked::admission,
            Request::ReadSlot(_) => Asked::read_slot,
            Request::Write(Write::Claim { .. }) => Asked::claim,
            Request::Write(Write::Extend { .. }) => Asked::extend,
            Request::Write(Write::Reattach { .. }) => Asked::reattach,
            Request::Write(Write::Release { .. }) => Asked::release,
            Request::Write(Write::Evict { .. }) => Asked::evict,
            Request::Watch(_) => Asked::watch,
        }
    }
}

/// From half a millisecond to eight seconds.
fn request_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_5, 2.0, 15))
}
