//! What gRPC counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use tonic::Code;

/// The calls there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Next,
    Ranges,
    Stream,
    Check,
    Watch,
    Reflection,
    ReflectionAlpha,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Told(Code);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: Method,
    code: Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    method: Method,
}

/// The metrics of gRPC.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    streams: Family<StreamLabels, Gauge>,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Arc<Metrics> {
        let metrics = Metrics { requests: Family::default(), streams: Family::default() };
        let grpc = registry.sub_registry_with_prefix("grpc");
        grpc.register("requests", "Requests, by method and by the code of their end", metrics.requests.clone());
        grpc.register("streams", "Open streams of answers", metrics.streams.clone());
        Arc::new(metrics)
    }

    /// Counts a request from now on, until it is told how it ended.
    pub(super) fn begin(self: &Arc<Metrics>, method: Method) -> Tally {
        let open = method.streams().then(|| self.streams.get_or_create(&StreamLabels { method }).clone());
        open.iter().for_each(|open| {
            open.inc();
        });
        Tally { metrics: self.clone(), method, code: Code::Cancelled, open }
    }
}

/// A request under way; counted when it is dropped, as cancelled unless told.
#[derive(Debug)]
pub struct Tally {
    metrics: Arc<Metrics>,
    method: Method,
    code: Code,
    open: Option<Gauge>,
}

impl Tally {
    /// Whether the answer may go on for as long as the caller likes.
    pub fn streams(&self) -> bool {
        self.open.is_some()
    }

    pub fn told(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(open) = &self.open {
            open.dec();
        }
        let labels = RequestLabels { method: self.method, code: Told(self.code) };
        self.metrics.requests.get_or_create(&labels).inc();
    }
}

impl Method {
    pub fn of(path: &str) -> Method {
        match path {
            "/meridian.v1.IdService/Next" => Method::Next,
            "/meridian.v1.IdService/Ranges" => Method::Ranges,
            "/meridian.v1.IdService/Stream" => Method::Stream,
            "/grpc.health.v1.Health/Check" => Method::Check,
            "/grpc.health.v1.Health/Watch" => Method::Watch,
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => Method::Reflection,
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => Method::ReflectionAlpha,
            _ => Method::Unknown,
        }
    }

    fn streams(self) -> bool {
        matches!(self, Method::Stream | Method::Watch)
    }
}

impl EncodeLabelValue for Method {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self {
            Method::Next => "Next",
            Method::Ranges => "Ranges",
            Method::Stream => "Stream",
            Method::Check => "Check",
            Method::Watch => "Watch",
            Method::Reflection | Method::ReflectionAlpha => "ServerReflectionInfo",
            Method::Unknown => "unknown",
        };
        name.encode(encoder)
    }
}

impl EncodeLabelValue for Told {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self.0 {
            Code::Ok => "ok",
            Code::Cancelled => "cancelled",
            Code::Unknown => "unknown",
            Code::InvalidArgument => "invalid_argument",
            Code::DeadlineExceeded => "deadline_exceeded",
            Code::NotFound => "not_found",
            Code::AlreadyExists => "already_exists",
            Code::PermissionDenied => "permission_denied",
            Code::ResourceExhausted => "resource_exhausted",
            Code::FailedPrecondition => "failed_precondition",
            Code::Aborted => "aborted",
            Code::OutOfRange => "out_of_range",
            Code::Unimplemented => "unimplemented",
            Code::Internal => "internal",
            Code::Unavailable => "unavailable",
            Code::DataLoss => "data_loss",
            Code::Unauthenticated => "unauthenticated",
        };
        name.encode(encoder)
    }
}
