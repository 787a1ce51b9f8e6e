//! The operations port: metrics for scrapers, liveness and readiness for the kubelet, orders of operators. Same limits as the public port.

use super::answer::{Answer, Body};
use super::api::{fixed, index};
use super::body;
use super::metrics::{Metrics, Port};
use super::problem::{Code, Problem};
use super::query;
use super::route::{self, Call, Found, Route};
use super::server::{self, Drained, Settings};
use super::service::Site;
use crate::lease::znode::Drain;
use crate::metrics::{CONTENT_TYPE as OPEN_METRICS, text};
use crate::peers::{Declined, Order};
use crate::topology::Limits;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::{Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use serde_json::json;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Whether this node can issue ids now; else why not, in a few words.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Whether the loop turns that keeps this node; else why not, in a few words.
pub type Live = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Carries out an operator's order for the region; the drain that is in force then.
pub type Operate = Arc<dyn Fn(Order) -> BoxFuture<Result<Option<Drain>, Declined>> + Send + Sync>;

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the operations port needs.
pub struct Ops {
    pub registry: Arc<Registry>,
    pub metrics: Arc<Metrics>,
    pub live: Live,
    pub ready: Ready,
    pub operate: Operate,
    pub limits: Limits,
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Serves the operations port until `shutdown`, then finishes what runs. The listener is bound by the caller.
pub async fn run(listener: TcpListener, ops: Arc<Ops>, shutdown: impl Future<Output = ()>) -> Drained {
    let settings = Settings::new(&ops.limits, Port::Operations);
    let metrics = ops.metrics.clone();
    server::run(listener, Site::Operations(ops), settings, metrics, shutdown).await
}

impl Ops {
    /// Over the limit of connections all is still answered, once a connection: the kubelet must hear from a full node.
    pub(super) async fn answer(&self, request: Request<Incoming>, turned_away: bool) -> Answer {
        let method = request.method().clone();
        let (route, result) = match route::find(route::OPERATIONS, request.uri().path()) {
            Ok(Found { call, .. }) => (call.route, self.call(call, request).await),
            Err(problem) => (Route::Unknown, Err(problem)),
        };
        let mut answer = result.unwrap_or_else(Problem::into_answer);
        if turned_away {
            answer.response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.answered(route, &method, answer.response.status(), answer.code);
        answer
    }

    async fn call(&self, call: &'static Call, request: Request<Incoming>) -> Result<Answer, Problem> {
        let (head, incoming) = request.into_parts();
        let expects = head.headers.contains_key(EXPECT);
        body::discard(incoming, self.limits.body_bytes, self.limits.header_time, expects).await?;
        call.allows(&head.method)?;
        match call.route {
            Route::Index => Ok(fixed("application/json", index(route::OPERATIONS))),
            Route::Metrics => match text(&self.registry) {
                Ok(text) => Ok(fixed(OPEN_METRICS, Bytes::from(text))),
                Err(_) => Err(Problem::new(Code::Internal, "the metrics could not be written")),
            },
            Route::Live => Ok(verdict((self.live)())),
            Route::Ready => Ok(verdict((self.ready)())),
            Route::Drain => self.operate(query::drain(head.uri.query())?).await,
            Route::Undrain => {
                query::none(head.uri.query(), "")?;
                self.operate(Order::Undrain).await
            }
            Route::OpenApi
            | Route::Health
            | Route::RegionHealth
            | Route::Id
            | Route::Ids
            | Route::Ranges
            | Route::Decode
            | Route::Unknown => Err(Problem::new(Code::Internal, "this call belongs to the other port")),
        }
    }
}

impl Ops {
    async fn operate(&self, order: Order) -> Result<Answer, Problem> {
        let drain = (self.operate)(order).await.map_err(Problem::declined)?;
        let text = json!({ "drained": drain.is_some(), "drain": drain }).to_string();
        let mut answer = fixed("application/json", Bytes::from(text));
        answer.response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

fn verdict(verdict: Result<(), String>) -> Answer {
    let (status, text) = match verdict {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    };
    let mut response = Response::new(Body::full(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Answer { response, code: None }
}
