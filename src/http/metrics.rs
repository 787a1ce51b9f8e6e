//! What the wire counts.

use super::problem::Code;
use super::pulse::Over;
use super::route::Route;
use hyper::{Method, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Which port a connection came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    Public,
    Operations,
}

/// Methods, as few as there are calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    Get,
    Head,
    Post,
    Other,
}

/// Why a connection ended that its client had not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    Late(Over),
    /// It was over the limit of connections.
    TurnedAway,
    /// It was still at work when the time to drain was over.
    Drain,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    method: Class,
    status: u16,
    code: Outcome,
}

/// `ok`, or what went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Outcome(Option<Code>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PortLabels {
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CutLabels {
    port: Port,
    reason: Cut,
}

/// The metrics of both ports.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    /// Those of the commonest answers, so that they are not looked up again for each.
    ids: [OnceLock<Counter>; 3],
    connections: Family<PortLabels, Gauge>,
    cut: Family<CutLabels, Counter>,
    accept_errors: Family<PortLabels, Counter>,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Arc<Metrics> {
        let metrics = Metrics {
            requests: Family::default(),
            ids: Default::default(),
            connections: Family::default(),
            cut: Family::default(),
            accept_errors: Family::default(),
        };
        let http = registry.sub_registry_with_prefix("http");
        http.register("requests", "Requests, by what was asked and what was answered", metrics.requests.clone());
        http.register("connections", "Open connections", metrics.connections.clone());
        http.register("connections_cut", "Connections this server ended, by reason", metrics.cut.clone());
        http.register("accept_errors", "Connections that could not be accepted", metrics.accept_errors.clone());
        Arc::new(metrics)
    }

    pub fn answered(&self, route: Route, method: &Method, status: StatusCode, code: Option<Code>) {
        let method = match *method {
            Method::GET => Class::Get,
            Method::HEAD => Class::Head,
            Method::POST => Class::Post,
            _ => Class::Other,
        };
        let common = match (route, method, status, code) {
            (Route::Id, Class::Get, StatusCode::OK, None) => self.ids.first(),
            (Route::Ids, Class::Get, StatusCode::OK, None) => self.ids.get(1),
            (Route::Ranges, Class::Get, StatusCode::OK, None) => self.ids.get(2),
            _ => None,
        };
        let count = || {
            let labels = RequestLabels { route, method, status: status.as_u16(), code: Outcome(code) };
            self.requests.get_or_create(&labels).clone()
        };
        match common {
            Some(kept) => kept.get_or_init(count).inc(),
            None => count().inc(),
        };
    }

    pub fn opened(&self, port: Port) -> Open {
        let gauge = self.connections.get_or_create(&PortLabels { port }).clone();
        gauge.inc();
        Open(gauge)
    }

    /// Open connections of the public port.
    pub fn open(&self) -> usize {
        let gauge = self.connections.get_or_create(&PortLabels { port: Port::Public });
        gauge.get().try_into().unwrap_or(0)
    }

    pub fn cut(&self, port: Port, reason: Cut) {
        self.cut.get_or_create(&CutLabels { port, reason }).inc();
    }

    pub fn accept_failed(&self, port: Port) {
        self.accept_errors.get_or_create(&PortLabels { port }).inc();
    }
}

/// An open connection, while it is.
#[derive(Debug)]
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl EncodeLabelValue for Port {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self {
            Port::Public => "public",
            Port::Operations => "operations",
        };
        name.encode(encoder)
    }
}

impl EncodeLabelValue for Class {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self {
            Class::Get => "GET",
            Class::Head => "HEAD",
            Class::Post => "POST",
            Class::Other => "other",
        };
        name.encode(encoder)
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        self.name().encode(encoder)
    }
}

impl EncodeLabelValue for Outcome {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        self.0.map_or("ok", Code::name).encode(encoder)
    }
}

impl EncodeLabelValue for Cut {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self {
            Cut::Late(Over::Head) => "head",
            Cut::Late(Over::Idle) => "idle",
            Cut::Late(Over::Answer) => "answer",
            Cut::TurnedAway => "turned_away",
            Cut::Drain => "drain",
        };
        name.encode(encoder)
    }
}
