//! The public port's calls: from a request to the answer.

use super::answer::{Answer, Body, Ids, length};
use super::body;
use super::metrics::Metrics;
use super::openapi;
use super::piece::Line;
use super::problem::{Code, Problem};
use super::query;
use super::representation::{Representation, choose};
use super::route::{self, Call, Found, Route};
use crate::clock::{Clock, rfc3339};
use crate::desk::{Desk, LONG_BYTES, Refused};
use crate::grpc::{self, Grpc};
use crate::health::region::RegionReport;
use crate::health::report::{Report, Status};
use crate::id::Layout;
use crate::issuer::Issued;
use crate::load::Stream;
use crate::topology::Limits;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPECT, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How this node is, as of now.
pub type Judge = Arc<dyn Fn() -> Report + Send + Sync>;

/// How this node's region is, as of now.
pub type RegionJudge = Arc<dyn Fn() -> RegionReport + Send + Sync>;

/// What the public port needs.
pub struct Parts {
    pub desk: Arc<Desk>,
    pub grpc: Arc<Grpc>,
    pub clock: Arc<Clock>,
    pub metrics: Arc<Metrics>,
    pub health: Judge,
    pub region_health: RegionJudge,
    /// Names by datacenter.
    pub regions: BTreeMap<u16, String>,
    pub layout: Layout,
    pub limits: Limits,
}

/// Room for more headers than this is not kept for a connection's next request.
const MOST_KEPT: usize = 64;

const NO_STORE: &str = "no-store";

/// The public port's calls.
pub struct Api {
    parts: Parts,
    /// Made when somebody asks for it: it took a third of all instructions of a start.
    openapi: OnceLock<Bytes>,
    index: Bytes,
    /// What the headers of one id say: to copy it costs less than to make it.
    json: HeaderValue,
    text: HeaderValue,
    no_store: HeaderValue,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("limits", &self.parts.limits).finish_non_exhaustive()
    }
}

impl Api {
    pub fn new(parts: Parts) -> Api {
        let index = index(route::PUBLIC);
        let [json, text, no_store] = [Representation::Json.media_type(), Representation::Text.media_type(), NO_STORE]
            .map(HeaderValue::from_static);
        Api { parts, openapi: OnceLock::new(), index, json, text, no_store }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// While this is so, each answer on HTTP/1.1 is its connection's last, so that clients with a pool move away while they are
    /// still served. An idle connection stays: to close it could cross a request. HTTP/2 needs none of this, its goodbye
    /// at the end says which requests were taken. Streams of gRPC that began before end when it begins.
    pub fn lame_duck(&self, leaving: bool) {
        self.parts.desk.lame_duck(leaving);
    }

    /// From now on, having no lease is because of the shutdown.
    pub(super) fn stop(&self) {
        self.parts.desk.stop();
    }

    pub(super) fn grpc(&self) -> &Grpc {
        &self.parts.grpc
    }

    /// Whether a request is one for gRPC. That needs HTTP/2; on HTTP/1.1 the answer says so.
    pub(super) fn takes_grpc<B>(&self, request: &Request<B>) -> bool {
        request.version() == Version::HTTP_2 && grpc::speaks(request.method(), request.headers())
    }

    /// The answer to the commonest request, if nothing stands in its way: one id, which is there now. What is less plain
    /// gets its answer from [`Api::answer`].
    pub(super) fn at_once(&self, request: &mut Request<Incoming>) -> Option<Response<Body>> {
        let asks = request.method() == Method::GET
            && request.uri().path_and_query().is_some_and(|path| path == route::ONE.path)
            && request.body().is_end_stream();
        if !asks || self.parts.desk.is_leaving() {
            return None;
        }
        let representation = choose(request.headers(), route::ONE.offered)?;
        let mut response = Response::new(one(self.parts.desk.draw_now()?, representation));
        // On HTTP/1 hyper reads the next request's headers into the map of this answer's: with the same one all the time,
        // nothing is allocated.
        let mut headers = std::mem::take(request.headers_mut());
        match headers.len().max(headers.capacity()) {
            ..=MOST_KEPT => headers.clear(),
            _ => headers = HeaderMap::new(),
        }
        let media_type = if representation == Representation::Text { &self.text } else { &self.json };
        headers.insert(CONTENT_TYPE, media_type.clone());
        headers.insert(CACHE_CONTROL, self.no_store.clone());
        *response.headers_mut() = headers;
        self.parts.metrics.answered(Route::Id, &Method::GET, StatusCode::OK, None);
        Some(response)
    }

    pub(super) async fn answer(&self, request: Request<Incoming>, turned_away: bool) -> Answer {
        let method = request.method().clone();
        let last = turned_away || (self.parts.desk.is_leaving() && request.version() < Version::HTTP_2);
        let (route, result) = if grpc::speaks(&method, request.headers()) {
            let detail = "gRPC is spoken here on HTTP/2 only, with prior knowledge";
            (Route::Unknown, self.read(request).await.and(Err(Problem::new(Code::RequestInvalid, detail))))
        } else {
            match route::find(route::PUBLIC, request.uri().path()) {
                Ok(Found { call, parameter }) => {
                    let parameter = parameter.into_owned();
                    (call.route, self.call(call, &parameter, request, turned_away).await)
                }
                Err(problem) => (Route::Unknown, self.read(request).await.and(Err(problem))),
            }
        };
        let mut answer = result.unwrap_or_else(Problem::into_answer);
        if last {
            answer.response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.parts.metrics.answered(route, &method, answer.response.status(), answer.code);
        answer
    }

    /// Reads the request to its end; what is left is its head.
    async fn read(&self, request: Request<Incoming>) -> Result<hyper::http::request::Parts, Problem> {
        let (head, incoming) = request.into_parts();
        let limits = &self.parts.limits;
        body::discard(incoming, limits.body_bytes, limits.header_time, head.headers.contains_key(EXPECT)).await?;
        Ok(head)
    }

    async fn call(
        &self,
        call: &'static Call,
        parameter: &str,
        request: Request<Incoming>,
        turned_away: bool,
    ) -> Result<Answer, Problem> {
        let head = self.read(request).await?;
        call.allows(&head.method)?;
        if turned_away && !call.route.is_health() {
            return Err(Problem::shed(self.parts.desk.turn_away()).close());
        }
        let query = head.uri.query();
        let limit = self.parts.limits.ids_per_request;
        match call.route {
            Route::Id => {
                let representation = representation(&head.headers, call)?;
                query::none(query, "; for several ids ask /api/v1/ids?count=N")?;
                self.id(representation).await
            }
            Route::Ids => {
                let representation = representation(&head.headers, call)?;
                self.ids(query::count(query, limit)?, representation).await
            }
            Route::Ranges => {
                representation(&head.headers, call)?;
                self.ranges(query::count(query, limit)?).await
            }
            Route::Decode => {
                representation(&head.headers, call)?;
                query::none(query, "")?;
                self.decode(parameter)
            }
            Route::Health => {
                let report = (self.parts.health)();
                Ok(verdict(report.status, &report))
            }
            Route::RegionHealth => {
                let report = (self.parts.region_health)();
                Ok(verdict(report.node.status, &report))
            }
            Route::OpenApi => {
                let document = || Bytes::from(openapi::document(self.parts.limits.ids_per_request).to_string());
                Ok(fixed("application/json", self.openapi.get_or_init(document).clone()))
            }
            Route::Index => Ok(fixed("application/json", self.index.clone())),
            Route::Metrics | Route::Live | Route::Ready | Route::Drain | Route::Undrain | Route::Unknown => {
                Err(Problem::new(Code::Internal, "this call belongs to the other port"))
            }
        }
    }

    async fn id(&self, representation: Representation) -> Result<Answer, Problem> {
        let issued = self.draw(1, |_| 0).await?.0;
        let body = one(issued.ids().next().unwrap_or_default(), representation);
        Ok(fresh(representation.media_type(), body))
    }

    async fn ids(&self, count: u32, representation: Representation) -> Result<Answer, Problem> {
        let (issued, stream) = self.draw(count, |issued| length(issued, representation)).await?;
        Ok(fresh(representation.media_type(), Body::ids(Ids::new(issued, representation, stream))))
    }

    async fn ranges(&self, count: u32) -> Result<Answer, Problem> {
        // As many ranges as milliseconds, and the longest wait allowed bounds those.
        let (issued, _stream) = self.draw(count, |_| 0).await?;
        let mut text = format!(r#"{{"layout":"{}","ranges":["#, issued.layout().name);
        for (n, range) in issued.ranges().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let _ = write!(text, r#"{comma}{{"first":"{}","count":{}}}"#, range.first, range.count);
        }
        text.push_str("]}");
        Ok(fresh("application/json", Body::full(Bytes::from(text))))
    }

    fn decode(&self, text: &str) -> Result<Answer, Problem> {
        let invalid = |why: &str| {
            let detail =
                format!("{:?} {why}; ids are decimal numbers as /api/v1/id gives them", query::shortened(text));
            Problem::new(Code::IdInvalid, detail)
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid("is not a decimal number"));
        }
        let id: u64 = text.parse().map_err(|_| invalid("has more than 64 bits"))?;
        let layout = self.parts.layout;
        let parts = layout.decode(id).ok_or_else(|| invalid("has bits the layout does not have"))?;
        let document = json!({
            "id": id.to_string(),
            "time": rfc3339(self.parts.clock.unix_ms_of(parts.timestamp)),
            "region": self.parts.regions.get(&parts.origin.datacenter),
            "datacenter": parts.origin.datacenter,
            "worker": parts.origin.worker,
            "sequence": parts.sequence,
        });
        Ok(fixed("application/json", Bytes::from(document.to_string())))
    }

    /// Ids, and the right to send them if their text (`length`) is a long one.
    async fn draw(&self, count: u32, length: impl Fn(&Issued) -> u64) -> Result<(Issued, Option<Stream>), Problem> {
        let long = |issued: &Issued| length(issued) > LONG_BYTES;
        self.parts.desk.draw(count, Duration::MAX, long).await.map_err(|refused| match refused {
            Refused::Shed(shed) => Problem::shed(shed),
            Refused::Issuer(refused) => Problem::refused(refused, self.parts.desk.is_stopping()),
        })
    }
}

fn representation(headers: &HeaderMap, call: &Call) -> Result<Representation, Problem> {
    choose(headers, call.offered).ok_or_else(|| {
        let offered: Vec<&str> = call.offered.iter().map(|offered| offered.essence()).collect();
        Problem::new(Code::NotAcceptable, format!("accept one of {}", offered.join(", ")))
    })
}

/// Health: the status code says it to those who read no further.
fn verdict(status: Status, report: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(report).unwrap_or_default();
    let mut answer = fresh("application/health+json", Body::full(Bytes::from(text)));
    if status == Status::Fail {
        *answer.response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

/// One id, spelt out.
fn one(id: u64, representation: Representation) -> Body {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(id).as_bytes();
    let (open, close): (&[u8], &[u8]) = match representation {
        Representation::Text => (b"", b""),
        Representation::Json | Representation::Lines | Representation::Bytes => (br#"{"id":""#, br#""}"#),
    };
    Body::line(Line::of([open, digits, close]))
}

/// An answer nobody may keep.
fn fresh(media_type: &'static str, body: Body) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    Answer { response, code: None }
}

/// An answer that is the same each time.
pub(super) fn fixed(media_type: &'static str, text: Bytes) -> Answer {
    let mut response = Response::new(Body::full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Answer { response, code: None }
}

/// What is here, for people and programs that ask `/`.
pub(super) fn index(calls: &[Call]) -> Bytes {
    let calls: Vec<Value> = calls
        .iter()
        .map(|call| json!({ "path": call.path, "methods": call.methods, "summary": call.summary }))
        .collect();
    Bytes::from(json!({ "service": "meridian", "version": crate::VERSION, "calls": calls }).to_string())
}
