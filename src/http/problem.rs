//! What went wrong, as problem details (RFC 9457) with a stable code. The detail says what to do about it.

use super::answer::{Answer, Body};
use crate::issuer::Refused;
use crate::load::Shed;
use crate::peers::Declined;
use bytes::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use std::time::Duration;

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Stable names of everything that can go wrong on the wire. `type` of the document is `urn:meridian:problem:` + code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// 400: `count` is a number outside 1 ..= the limit of ids per request.
    CountOutOfRange,
    /// 400: `count` is missing its value, or is no whole number.
    CountInvalid,
    /// 400: the query has a key this call does not know, has one twice, or is no query at all.
    QueryInvalid,
    /// 400: the id to decode is not a decimal number of the layout.
    IdInvalid,
    /// 400: what came is not HTTP. The connection ends.
    RequestInvalid,
    /// 400: the body stopped or broke before its end.
    BodyInvalid,
    /// 404: there is nothing at this path; the detail names the nearest one.
    UnknownPath,
    /// 405: the path is there, the method is not; `Allow` lists those that are.
    MethodNotAllowed,
    /// 406: no representation of the answer matches `Accept`; the detail lists them.
    NotAcceptable,
    /// 408: the request's headers or body did not arrive in time. The connection ends.
    RequestTimeout,
    /// 403: the nodes of this region have no right to do this.
    NotAuthorised,
    /// 409: no other region is well, so that this one is not drained without force.
    LastHealthyRegion,
    /// 413: the request's body is larger than the limit.
    BodyTooLarge,
    /// 429: this worker has given out ids so far ahead of the clock that the wait would be too long. Shedding.
    AheadOfClock,
    /// 431: request line and headers are larger than the limit.
    HeadersTooLarge,
    /// 503: this node holds no slot now.
    NoLease,
    /// 503: this node's lease has run out and could not be extended in time.
    LeaseSpent,
    /// 503: this node serves as much as it may. Shedding.
    Shed,
    /// 503: this node is shutting down.
    Stopping,
    /// 503: the coordination service does not answer.
    CoordinationUnavailable,
    /// 500: a bug.
    Internal,
}

impl Code {
    pub const ALL: &[Code] = &[
        Code::CountOutOfRange,
        Code::CountInvalid,
        Code::QueryInvalid,
        Code::IdInvalid,
        Code::RequestInvalid,
        Code::BodyInvalid,
        Code::UnknownPath,
        Code::MethodNotAllowed,
        Code::NotAcceptable,
        Code::RequestTimeout,
        Code::NotAuthorised,
        Code::LastHealthyRegion,
        Code::BodyTooLarge,
        Code::AheadOfClock,
        Code::HeadersTooLarge,
        Code::NoLease,
        Code::LeaseSpent,
        Code::Shed,
        Code::Stopping,
        Code::CoordinationUnavailable,
        Code::Internal,
    ];

    pub fn name(self) -> &'static str {
        self.row().0
    }

    pub fn status(self) -> StatusCode {
        self.row().1
    }

    fn title(self) -> &'static str {
        self.row().2
    }

    /// Load, not illness: never counts as a failure of the node.
    pub fn is_shedding(self) -> bool {
        matches!(self, Code::Shed | Code::AheadOfClock)
    }

    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Code::CountOutOfRange => ("count_out_of_range", StatusCode::BAD_REQUEST, "count is out of range"),
            Code::CountInvalid => ("count_invalid", StatusCode::BAD_REQUEST, "count is not a whole number"),
            Code::QueryInvalid => ("query_invalid", StatusCode::BAD_REQUEST, "the query is not understood"),
            Code::IdInvalid => ("id_invalid", StatusCode::BAD_REQUEST, "this is not an id"),
            Code::RequestInvalid => ("request_invalid", StatusCode::BAD_REQUEST, "this is not a request"),
            Code::BodyInvalid => ("body_invalid", StatusCode::BAD_REQUEST, "the body broke off"),
            Code::UnknownPath => ("unknown_path", StatusCode::NOT_FOUND, "nothing is at this path"),
            Code::MethodNotAllowed => {
                ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED, "this path does not have this method")
            }
            Code::NotAcceptable => ("not_acceptable", StatusCode::NOT_ACCEPTABLE, "no representation is acceptable"),
            Code::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT, "the request took too long"),
            Code::NotAuthorised => ("not_authorised", StatusCode::FORBIDDEN, "this node may not do this"),
            Code::LastHealthyRegion => ("last_healthy_region", StatusCode::CONFLICT, "this is the last healthy region"),
            Code::BodyTooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            Code::AheadOfClock => {
                ("ahead_of_clock", StatusCode::TOO_MANY_REQUESTS, "this worker is ahead of the clock")
            }
            Code::HeadersTooLarge => {
                ("headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large")
            }
            Code::NoLease => ("no_lease", StatusCode::SERVICE_UNAVAILABLE, "this node holds no slot"),
            Code::LeaseSpent => ("lease_spent", StatusCode::SERVICE_UNAVAILABLE, "this node's lease has run out"),
            Code::Shed => ("shed", StatusCode::SERVICE_UNAVAILABLE, "this node is at its limit"),
            Code::Stopping => ("stopping", StatusCode::SERVICE_UNAVAILABLE, "this node is shutting down"),
            Code::CoordinationUnavailable => (
                "coordination_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the coordination service does not answer",
            ),
            Code::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "a bug"),
        }
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    /// For 429 and 503.
    pub retry_after: Option<Duration>,
    /// For 405: the methods the path has.
    pub allow: Option<&'static str>,
    /// The rest of what the client sends is not wanted: this connection ends after the answer.
    pub close: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), retry_after: None, allow: None, close: false }
    }

    fn retry_after(mut self, after: Duration) -> Problem {
        self.retry_after = Some(after);
        self
    }

    pub fn close(mut self) -> Problem {
        self.close = true;
        self
    }

    pub fn shed(shed: Shed) -> Problem {
        Problem::new(Code::Shed, "try again after the time in Retry-After, or ask another node")
            .retry_after(shed.retry_after)
    }

    pub fn declined(declined: Declined) -> Problem {
        let code = match declined {
            Declined::LastHealthy(_) => Code::LastHealthyRegion,
            Declined::NotAuthorised => Code::NotAuthorised,
            Declined::Unavailable(_) => Code::CoordinationUnavailable,
        };
        let problem = Problem::new(code, declined.to_string());
        match declined {
            Declined::Unavailable(_) => problem.retry_after(Duration::from_secs(1)),
            Declined::LastHealthy(_) | Declined::NotAuthorised => problem,
        }
    }

    /// `stopping`: the server is on its way out, and that is why there is no lease.
    pub fn refused(refused: Refused, stopping: bool) -> Problem {
        let (code, detail, after) = match refused {
            Refused::NoLease | Refused::Spent if stopping => {
                (Code::Stopping, "ask another node; this one does not come back", Duration::from_secs(1))
            }
            Refused::NoLease => {
                (Code::NoLease, "ask another node; this one gives ids again once it has a slot", Duration::from_secs(1))
            }
            Refused::Spent => (
                Code::LeaseSpent,
                "ask another node; this one gives ids again once its lease is extended",
                Duration::from_secs(1),
            ),
            // Callers here say no deadline; whoever does asked for more than there was time for.
            Refused::Late => (Code::AheadOfClock, "ask for fewer ids, or allow more time", Duration::from_secs(1)),
            Refused::Ahead(by) => (
                Code::AheadOfClock,
                "try again after the time in Retry-After, ask for fewer ids, or ask another node",
                by,
            ),
        };
        Problem::new(code, detail).retry_after(after)
    }

    /// The body of the answer.
    pub fn document(&self) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:meridian:problem:{}", self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.name(),
            retry_after_ms: self.retry_after.map(|after| after.as_millis().max(1) as u64),
        };
        serde_json::to_vec(&document).expect("strings and numbers are always JSON")
    }

    pub fn into_answer(self) -> Answer {
        let mut answer = Response::new(Body::full(Bytes::from(self.document())));
        *answer.status_mut() = self.code.status();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Answer { response: answer, code: Some(self.code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_complete() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert_eq!(Code::ALL.len(), Code::Internal as usize + 1, "Internal is the last one");
    }

    #[test]
    fn a_retry_hint_is_whole_seconds_and_never_zero() {
        let header = |ms| {
            let answer = Problem::refused(Refused::Ahead(Duration::from_millis(ms)), false).into_answer();
            answer.response.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
        };
        assert_eq!(
            (header(0), header(1), header(1_000), header(1_001)),
            ("1".into(), "1".into(), "1".into(), "2".into())
        );
    }
}
