//! A client's connection that draws ids from one node: HTTP/1.1, kept alive, one request at a time.
//!
//! Whatever the other side does ends in ids or in a [`Miss`] with a short stable name, within the time given.

use super::ejection::Outcome;
use super::harvest;
use crate::id::{IdRange, Layout};
use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{ACCEPT, HOST, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::borrow::Cow;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The most bytes a problem may have, and an answer beyond its ids.
const FRAME_BYTES: usize = 1 << 16;

/// The most bytes any representation takes for an id: 20 digits, quotes, a comma; or a range of one.
const ID_BYTES: usize = 64;

/// The most of a foreign error code that is kept.
const CODE_BYTES: usize = 40;

/// How long an endpoint is left alone that says it is busy, and not for how long.
const BUSY: Duration = Duration::from_millis(100);

/// Which call draws, and how its ids are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `/api/v1/id`: one.
    Id,
    /// `/api/v1/ids` as a JSON array.
    Ids,
    /// `/api/v1/ranges`: first id and count.
    Ranges,
    /// `/api/v1/ids` as eight bytes an id.
    Bytes,
}

/// Where ids are drawn: a node, or whatever stands in front of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// As given.
    pub url: String,
    pub(super) host: String,
    pub(super) port: u16,
    authority: String,
    prefix: String,
}

impl Source {
    pub fn parse(url: &str) -> anyhow::Result<Source> {
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is no URL; write http://host:port"))?;
        ensure!(uri.scheme_str() == Some("http"), "{url:?}: write http://host:port, nodes speak plain HTTP");
        let authority = uri.authority().with_context(|| format!("{url:?} names no host"))?;
        ensure!(!authority.as_str().contains('@'), "{url:?}: a user has no meaning here");
        ensure!(uri.query().is_none(), "{url:?}: leave the query away, it is made from the count");
        Ok(Source {
            url: url.to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.as_str().to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// Why a request gave no ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The problem's code, or one of ours; short, and of few kinds.
    pub kind: Cow<'static, str>,
    /// For people: what it was exactly.
    pub detail: String,
    /// The node said no (429 or 503), in good order.
    pub refused: bool,
    /// How long the node asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Nothing more comes over this connection.
    pub broken: bool,
}

impl Miss {
    fn broken(kind: &'static str, detail: impl ToString) -> Miss {
        Miss { kind: kind.into(), detail: detail.to_string(), refused: false, retry_after: None, broken: true }
    }

    fn timeout(kind: &'static str) -> Miss {
        Miss::broken(kind, "no answer in time")
    }

    /// Nothing was asked.
    pub(super) fn local(detail: &str) -> Miss {
        Miss { broken: false, ..Miss::broken("local", detail) }
    }

    /// The connection ended under the request.
    pub(super) fn is_lost(&self) -> bool {
        matches!(&*self.kind, "connection_closed" | "connection_reset")
    }

    /// What it says of an endpoint, if anything. `spoke`: others heard from it meanwhile, so that a request that was not
    /// answered in time was slow, and no sign of a hang.
    pub(super) fn outcome(&self, spoke: bool) -> Option<Outcome> {
        Some(match &*self.kind {
            "local" => return None,
            "shed" | "ahead_of_clock" | "http_429" => Outcome::Busy(self.retry_after.unwrap_or(BUSY)),
            "connection_refused" | "connect_timeout" | "unreachable" => Outcome::Hard,
            "timeout" if !spoke => Outcome::Hard,
            _ => Outcome::Soft(self.retry_after),
        })
    }
}

/// What we read of a problem.
#[derive(Deserialize)]
struct Document {
    code: String,
    #[serde(default)]
    detail: String,
    retry_after_ms: Option<u64>,
}

/// One connection.
#[derive(Debug)]
pub struct Line {
    sender: SendRequest<Empty<Bytes>>,
    driver: Driver,
    authority: String,
    prefix: String,
}

/// The connection itself, moved on by whoever waits for it: no task is left behind, and none is woken for each request.
#[derive(Debug)]
struct Driver(Option<Pin<Box<Wire>>>);

type Wire = Connection<TokioIo<TcpStream>, Empty<Bytes>>;

impl Driver {
    async fn during<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Some(connection) = &mut self.0
                && connection.as_mut().poll(context).is_ready()
            {
                self.0 = None; // the request that suffers from it says why
            }
            future.as_mut().poll(context)
        })
        .await
    }
}

impl Line {
    /// Connects to whatever the system's resolver gives for the name.
    pub async fn connect(source: &Source, until: Instant) -> Result<Line, Miss> {
        Line::open(TcpStream::connect((source.host.as_str(), source.port)), source, until).await
    }

    /// Connects to one of the addresses the name stands for.
    pub async fn connect_to(address: SocketAddr, source: &Source, until: Instant) -> Result<Line, Miss> {
        Line::open(TcpStream::connect(address), source, until).await
    }

    async fn open(
        stream: impl Future<Output = io::Result<TcpStream>>,
        source: &Source,
        until: Instant,
    ) -> Result<Line, Miss> {
        let stream = timeout_at(until, stream).await;
        let stream = stream.map_err(|_| Miss::timeout("connect_timeout"))?;
        let stream = stream.map_err(|error| Miss::broken(kind_of(&error), error))?;
        let _ = stream.set_nodelay(true); // only a matter of speed
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| Miss::broken("unreachable", error))?;
        let driver = Driver(Some(Box::pin(connection)));
        let (authority, prefix) = (source.authority.clone(), source.prefix.clone());
        Ok(Line { sender, driver, authority, prefix })
    }

    /// Whether the other side has left the connection open since the last answer.
    pub async fn is_open(&mut self, until: Instant) -> bool {
        timeout_at(until, self.driver.during(self.sender.ready())).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Asks for `count` ids and reads the whole answer: as ranges, in the order in which the ids came.
    ///
    /// # Cancel safety
    /// A line whose draw was dropped is to be dropped too.
    pub async fn draw(&mut self, form: Form, count: u32, layout: Layout, until: Instant) -> Result<Vec<IdRange>, Miss> {
        let request = self.request(form, count);
        let sender = &mut self.sender;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
            if answer.status() == StatusCode::OK {
                let limit = FRAME_BYTES + count as usize * ID_BYTES;
                let body = body(answer, limit).await?;
                return harvest::read(form, &body, count, layout)
                    .map_err(|why| Miss { broken: false, ..Miss::broken("bad_answer", why) });
            }
            Err(problem(answer).await)
        };
        timeout_at(until, self.driver.during(exchange)).await.unwrap_or_else(|_| Err(Miss::timeout("timeout")))
    }

    fn request(&self, form: Form, count: u32) -> Request<Empty<Bytes>> {
        let (path, accept) = match form {
            Form::Id => ("id".to_owned(), "application/json"),
            Form::Ids => (format!("ids?count={count}"), "application/json"),
            Form::Ranges => (format!("ranges?count={count}"), "application/json"),
            Form::Bytes => (format!("ids?count={count}"), "application/octet-stream"),
        };
        Request::get(format!("{}/api/v1/{path}", self.prefix))
            .header(HOST, &self.authority)
            .header(ACCEPT, accept)
            .body(Empty::new())
            .expect("parts of a URL that was parsed make a request")
    }
}

async fn body(answer: Response<Incoming>, limit: usize) -> Result<Bytes, Miss> {
    match Limited::new(answer.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => match error.downcast_ref::<hyper::Error>() {
            Some(error) => Err(lost(error)),
            None => Err(Miss::broken("bad_answer", format!("more than {limit} bytes"))),
        },
    }
}

async fn problem(answer: Response<Incoming>) -> Miss {
    let status = answer.status();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = match body(answer, FRAME_BYTES).await {
        Ok(body) => body,
        Err(miss) => return miss,
    };
    let document = serde_json::from_slice::<Document>(&body).ok();
    let retry_after = match &document {
        Some(Document { retry_after_ms: Some(ms), .. }) => Some(Duration::from_millis(*ms)),
        _ => header.map(Duration::from_secs),
    };
    let refused = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    let (kind, detail) = match document {
        Some(document) if document.code.len() <= CODE_BYTES => (document.code, document.detail),
        _ => (format!("http_{}", status.as_u16()), format!("status {status} without a problem's code")),
    };
    Miss { kind: kind.into(), detail, refused, retry_after, broken: false }
}

/// What a request saw of a connection that ended under it.
fn lost(error: &hyper::Error) -> Miss {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() != ErrorKind::UnexpectedEof
        {
            return Miss::broken(kind_of(io), io);
        }
        cause = error.source();
    }
    if error.is_parse() {
        return Miss::broken("bad_answer", error);
    }
    Miss::broken("connection_closed", error)
}

fn kind_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection_refused",
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => "connection_reset",
        ErrorKind::TimedOut => "timeout",
        _ => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    fn check(url: &str, expect: Result<(&str, u16, &str), &str>) {
        match (Source::parse(url), expect) {
            (Ok(source), Ok(parts)) => {
                assert_eq!((source.host.as_str(), source.port, source.prefix.as_str()), parts, "{url}");
            }
            (Err(error), Err(says)) => assert!(format!("{error:#}").contains(says), "{url}: {error:#}"),
            (got, _) => panic!("{url}: {got:?}"),
        }
    }

    #[test]
    fn targets() {
        check("http://127.0.0.1:8080", Ok(("127.0.0.1", 8080, "")));
        check("http://ids.example.com/", Ok(("ids.example.com", 80, "")));
        check("http://[::1]:8080/a/b/", Ok(("::1", 8080, "/a/b")));
        check("https://127.0.0.1:8080", Err("plain HTTP"));
        check("127.0.0.1:8080", Err("write http://host:port"));
        check("/only/a/path", Err("write http://host:port"));
        check("http://a:1/?count=5", Err("query"));
        check("http://me@a:1", Err("user"));
        check("", Err("no URL"));
    }
}
