//! The wire, in gRPC: ids from the same desk as HTTP's, health by the same verdict, and reflection.
//!
//! This layer only translates. Messages of ids are written straight from ranges, chunk by chunk, so that none takes more
//! memory than a chunk, however many ids it has.

mod body;
mod health;
mod metrics;
mod packed;
mod request;
mod status;
mod stream;
#[cfg(test)]
mod tests;

pub use body::Body;
pub use health::Serving;
pub use metrics::Metrics;

/// Messages of `proto/meridian/v1/ids.proto`; `tests/proto.rs` holds them to it.
#[allow(clippy::all)]
pub mod proto {
    include!("meridian.v1.rs");
}

use crate::desk::{Desk, LONG_BYTES};
use crate::topology::Limits;
use body::Reply;
use bytes::Bytes;
use health::Verdict;
use metrics::{Method, Tally};
use prost::Message;
use proto::{NextRequest, Range, RangesRequest, RangesResponse, StreamRequest};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use stream::Batches;
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::http::header::{CONTENT_TYPE, HeaderValue};
use tonic::codegen::http::{self, HeaderMap};
use tonic::codegen::{BoxFuture, Service, StdError};
use tonic_health::pb::health_server::HealthServer;

/// The descriptors of `proto/meridian/v1/ids.proto`.
const DESCRIPTORS: &[u8] = include_bytes!("meridian.v1.bin");

/// What requests and answers say they are.
const MEDIA_TYPE: &str = "application/grpc";

/// What gRPC on the public port needs.
pub struct Parts {
    pub desk: Arc<Desk>,
    pub serving: Serving,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
}

/// The calls of gRPC on the public port.
pub struct Grpc {
    desk: Arc<Desk>,
    metrics: Arc<Metrics>,
    limits: Limits,
    health: Ready,
    reflection: Ready,
    reflection_alpha: Ready,
}

/// A service somebody else made.
type Ready = Box<
    dyn Fn(http::Request<tonic::body::Body>) -> BoxFuture<http::Response<tonic::body::Body>, Infallible> + Send + Sync,
>;

fn ready<S>(service: S) -> Ready
where
    S: Service<http::Request<tonic::body::Body>, Response = http::Response<tonic::body::Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    Box::new(move |request| Box::pin(service.clone().call(request)))
}

impl std::fmt::Debug for Grpc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grpc").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Whether a request is one of gRPC's. (What is called `application/grpc-web` is another protocol.)
pub fn speaks(method: &http::Method, headers: &HeaderMap) -> bool {
    let rest = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()?.strip_prefix(MEDIA_TYPE));
    *method == http::Method::POST && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

impl Grpc {
    pub fn new(parts: Parts) -> Grpc {
        let Parts { desk, serving, metrics, limits } = parts;
        let most = limits.body_bytes;
        let described = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let whole = "the descriptors are whole: a test reads them";
        let verdict = Verdict { serving, desk: desk.clone() };
        Grpc {
            health: ready(HealthServer::new(verdict).max_decoding_message_size(most)),
            reflection: ready(described().build_v1().expect(whole).max_decoding_message_size(most)),
            reflection_alpha: ready(described().build_v1alpha().expect(whole).max_decoding_message_size(most)),
            desk,
            metrics,
            limits,
        }
    }

    /// Answers a request. One on a connection over the limit is turned away, unless it asks how this node is.
    pub async fn answer<B>(&self, request: http::Request<B>, turned_away: bool) -> http::Response<Body>
    where
        B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let method = Method::of(request.uri().path());
        let tally = self.metrics.begin(method);
        let deadline = match request::deadline(request.headers()) {
            Ok(deadline) => deadline,
            Err(status) => return refusal(status, tally),
        };
        if deadline.is_some_and(|by| by <= Instant::now()) {
            return refusal(status::late(), tally);
        }
        if turned_away && method != Method::Check {
            return refusal(status::shed(self.desk.turn_away()), tally);
        }
        let service = match method {
            Method::Next | Method::Ranges | Method::Stream => {
                return match until(deadline, self.ids(method, request, deadline)).await {
                    Ok(reply) => http::Response::new(Body::of(reply, deadline, tally)),
                    Err(status) => return refusal(status, tally),
                }
                .with_media_type();
            }
            Method::Check | Method::Watch => &self.health,
            Method::Reflection => &self.reflection,
            Method::ReflectionAlpha => &self.reflection_alpha,
            Method::Unknown => {
                let path = request.uri().path();
                let there = "reflection lists what there is";
                return refusal(Status::unimplemented(format!("{path:.80} is not here; {there}")), tally);
            }
        };
        let answered = async { Ok(service(request.map(tonic::body::Body::new)).await) };
        match until(deadline, answered).await {
            Ok(Ok(response)) => {
                let told = Status::from_header_map(response.headers()).map(|status| status.code());
                response.map(|body| Body::foreign(body, deadline, tally, told))
            }
            Ok(Err(never)) => match never {},
            Err(status) => refusal(status, tally),
        }
    }

    async fn ids<B>(&self, method: Method, request: http::Request<B>, by: Option<Instant>) -> Result<Reply, Status>
    where
        B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<StdError>,
    {
        let (head, body) = request.into_parts();
        request::plain(&head.headers)?;
        let message = request::read(body, self.limits.body_bytes, self.limits.header_time).await?;
        match method {
            Method::Ranges => self.ranges(request::decode(message)?, by).await,
            Method::Stream => self.stream(&request::decode(message)?, by),
            _ => self.next(request::decode(message)?, by).await,
        }
    }

    async fn next(&self, request: NextRequest, by: Option<Instant>) -> Result<Reply, Status> {
        let count = self.count(request.count.into())?;
        let long = |issued: &crate::issuer::Issued| issued.count() * 8 > LONG_BYTES;
        let (issued, stream) = self.desk.draw(count, left(by), long).await.map_err(|refused| self.refused(refused))?;
        Ok(Reply::packed(&issued, stream))
    }

    async fn ranges(&self, request: RangesRequest, by: Option<Instant>) -> Result<Reply, Status> {
        let count = self.count(request.count)?;
        let drawn = self.desk.draw(count, left(by), |_| false).await;
        let (issued, _) = drawn.map_err(|refused| self.refused(refused))?;
        // About as many ranges as milliseconds, and the longest wait allowed bounds those.
        let ranges = issued.ranges().map(|range| Range { first: range.first, count: range.count }).collect();
        let response = RangesResponse { ranges, layout: issued.layout().name.to_owned() };
        Ok(Reply::framed(packed::framed(&response.encode_to_vec())))
    }

    fn stream(&self, request: &StreamRequest, by: Option<Instant>) -> Result<Reply, Status> {
        let batches = Batches::open(&self.desk, request, self.limits.ids_per_request, by);
        Ok(Reply::stream(batches.map_err(status::shed)?))
    }

    fn count(&self, count: u64) -> Result<u32, Status> {
        let limit = self.limits.ids_per_request;
        let few = u32::try_from(count.max(1)).ok().filter(|count| *count <= limit);
        few.ok_or_else(|| status::too_many(count, limit))
    }

    fn refused(&self, refused: crate::desk::Refused) -> Status {
        status::refused(refused, self.desk.is_stopping())
    }
}

/// How long there is until a deadline.
fn left(by: Option<Instant>) -> Duration {
    by.map_or(Duration::MAX, |by| by.saturating_duration_since(Instant::now()))
}

async fn until<T>(by: Option<Instant>, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match by {
        None => answer.await,
        Some(by) => tokio::time::timeout_at(by, answer).await.unwrap_or_else(|_| Err(status::late())),
    }
}

/// An answer that is a status and nothing else.
fn refusal(status: Status, tally: Tally) -> http::Response<Body> {
    tally.told(status.code());
    status.into_http::<()>().map(|()| Body::empty())
}

trait WithMediaType {
    fn with_media_type(self) -> Self;
}

impl WithMediaType for http::Response<Body> {
    fn with_media_type(mut self) -> Self {
        self.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        self
    }
}
