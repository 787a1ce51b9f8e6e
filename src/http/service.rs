//! From a request to its response, whoever answers it.
//!
//! The commonest requests are answered while hyper hands them over: there is nothing to wait for, so there is no future to
//! carry about, and what the request was read into is free again before the next read. All others get a future of
//! their own.

use super::answer::{Answer, Body};
use super::api::Api;
use super::ops::Ops;
use super::problem::{Code, Problem};
use super::pulse::Pulse;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Who answers.
#[derive(Clone, Debug)]
pub enum Site {
    Public(Arc<Api>),
    Operations(Arc<Ops>),
}

/// Answers the requests of one connection.
#[derive(Debug)]
pub struct Service {
    pub site: Site,
    /// The most bytes of a request's head.
    pub header_bytes: usize,
    /// The connection is over the limit: all but health is refused.
    pub turned_away: bool,
    pub pulse: Arc<Pulse>,
}

/// A response, there or on its way.
pub enum Answering {
    Now(Option<Response<Body>>),
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        let size = head_bytes(request.method(), request.uri(), request.headers());
        if size > self.header_bytes {
            let limit = self.header_bytes;
            let detail = format!("path and headers are {size} bytes; send at most {limit}");
            let answer = Problem::new(Code::HeadersTooLarge, detail).close().into_answer();
            self.pulse.answered();
            return Answering::Now(Some(finished(answer, request.method() == Method::HEAD)));
        }
        if !self.turned_away
            && let Site::Public(api) = &self.site
            && let Some(response) = api.at_once(&mut request)
        {
            self.pulse.answered();
            return Answering::Now(Some(response));
        }
        let (turned_away, beat) = (self.turned_away, self.pulse.begin());
        let is_head = request.method() == Method::HEAD;
        match self.site.clone() {
            Site::Public(api) if api.takes_grpc(&request) => Answering::Later(Box::pin(async move {
                api.grpc().answer(request, turned_away).await.map(|body| Body::grpc(body).with_beat(beat))
            })),
            Site::Public(api) => Answering::Later(Box::pin(async move {
                finished(api.answer(request, turned_away).await, is_head).map(|body| body.with_beat(beat))
            })),
            Site::Operations(ops) => Answering::Later(Box::pin(async move {
                finished(ops.answer(request, turned_away).await, is_head).map(|body| body.with_beat(beat))
            })),
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Infallible>> {
        match &mut *self {
            Answering::Now(response) => Poll::Ready(Ok(response.take().expect("nobody polls what is done"))),
            Answering::Later(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

fn finished(Answer { mut response, .. }: Answer, is_head: bool) -> Response<Body> {
    if is_head {
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        *response.body_mut() = Body::empty();
    }
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!("an answer was a bug");
    }
    response
}

/// The size of a request's head, as HTTP/1.1 would send it.
fn head_bytes(method: &Method, uri: &Uri, headers: &HeaderMap) -> usize {
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = method.as_str().len() + path + " HTTP/1.1\r\n ".len();
    headers.iter().fold(line, |sum, (name, value)| sum + name.as_str().len() + value.len() + ": \r\n".len())
}
