//! Answers and their bodies. A long list of ids is written chunk by chunk while it is sent: an answer of a million ids
//! never takes more memory than one chunk.

use super::digits::{self, Digits};
use super::piece::{Line, Piece};
use super::problem::Code;
use super::progress;
use super::pulse::Beat;
use super::representation::Representation;
use crate::grpc;
use crate::id::IdRange;
use crate::issuer::{Issued, Ranges};
use crate::load::Stream;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A response, and what went wrong if it says so.
#[derive(Debug)]
pub struct Answer {
    pub response: Response<Body>,
    pub code: Option<Code>,
}

/// The most one frame of a body holds: the ids of a millisecond as JSON, so that a list of those is sent at once.
const CHUNK_BYTES: usize = 96 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// Says that the connection is at work until this body is sent or dropped.
    beat: Option<Beat>,
}

#[derive(Debug)]
enum Content {
    Full(Option<Piece>),
    Ids(Box<Ids>),
    Grpc(Box<grpc::Body>),
}

impl Body {
    pub fn full(bytes: Bytes) -> Body {
        Body { content: Content::Full(Some(bytes).filter(|bytes| !bytes.is_empty()).map(Piece::Bytes)), beat: None }
    }

    pub fn line(line: Line) -> Body {
        Body { content: Content::Full(Some(Piece::Line(line))), beat: None }
    }

    pub fn empty() -> Body {
        Body { content: Content::Full(None), beat: None }
    }

    pub fn ids(ids: Ids) -> Body {
        Body { content: Content::Ids(Box::new(ids)), beat: None }
    }

    pub fn grpc(body: grpc::Body) -> Body {
        Body { content: Content::Grpc(Box::new(body)), beat: None }
    }

    pub fn with_beat(mut self, beat: Beat) -> Body {
        self.beat = Some(beat);
        self
    }
}

impl hyper::body::Body for Body {
    type Data = Piece;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, Infallible>>> {
        let piece = match &mut self.content {
            Content::Full(piece) => piece.take(),
            Content::Ids(ids) => ids.chunk().map(Piece::Bytes),
            Content::Grpc(body) => {
                let endless = body.is_endless();
                if endless {
                    progress::asked();
                }
                let frame = ready!(Pin::new(body).poll_frame(cx));
                if endless {
                    progress::gave();
                }
                return Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(Piece::Bytes))));
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Full(piece) => piece.is_none(),
            Content::Ids(ids) => ids.is_done(),
            Content::Grpc(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Full(piece) => SizeHint::with_exact(piece.as_ref().map_or(0, |piece| piece.len() as u64)),
            Content::Ids(ids) => ids.left.map_or_else(SizeHint::default, SizeHint::with_exact),
            Content::Grpc(_) => SizeHint::default(),
        }
    }
}

/// Ids of one request, being spelt out.
#[derive(Debug)]
pub struct Ids {
    representation: Representation,
    ids: Run,
    digits: Digits,
    state: State,
    /// Bytes still to come; unknown for what is meant to be read as a stream.
    left: Option<u64>,
    /// Held until the last byte is on its way.
    _stream: Option<Stream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Listing,
    Done,
}

/// The ids of some ranges, one by one.
#[derive(Debug)]
struct Run {
    ranges: Ranges,
    range: std::ops::Range<u64>,
}

impl Run {
    fn next(&mut self) -> Option<u64> {
        if let Some(id) = self.range.next() {
            return Some(id);
        }
        self.range = self.ranges.next()?.ids();
        self.range.next()
    }
}

/// The exact length of ids in a representation.
pub fn length(issued: &Issued, representation: Representation) -> u64 {
    let digits = || issued.ranges().map(|IdRange { first, count }| digits::total(first, u64::from(count))).sum::<u64>();
    match representation {
        Representation::Bytes => issued.count() * 8,
        Representation::Text => digits() + issued.count(),
        Representation::Lines => digits() + issued.count() * 3,
        Representation::Json => digits() + issued.count() * 3 + 1,
    }
}

impl Ids {
    pub fn new(issued: Issued, representation: Representation, stream: Option<Stream>) -> Ids {
        let left = (representation != Representation::Lines).then(|| length(&issued, representation));
        Ids {
            representation,
            ids: Run { ranges: issued.ranges(), range: 0..0 },
            digits: Digits::of(0),
            state: State::Opening,
            left,
            _stream: stream,
        }
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn chunk(&mut self) -> Option<Bytes> {
        /// The longest one id gets: 20 digits, two quotes, one separator, and the bracket that ends the list.
        const ONE: usize = 24;
        if self.is_done() {
            return None;
        }
        let room = self.left.map_or(CHUNK_BYTES, |left| CHUNK_BYTES.min(left as usize + ONE));
        let mut chunk = BytesMut::with_capacity(room);
        while chunk.len() + ONE <= CHUNK_BYTES {
            let Some(id) = self.ids.next() else {
                if self.representation == Representation::Json {
                    chunk.put_u8(b']');
                }
                self.state = State::Done;
                break;
            };
            self.put(&mut chunk, id);
            self.state = State::Listing;
        }
        if let Some(left) = &mut self.left {
            *left -= chunk.len() as u64;
            if *left == 0 {
                self.state = State::Done;
            }
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    fn put(&mut self, chunk: &mut BytesMut, id: u64) {
        if self.representation == Representation::Bytes {
            chunk.put_u64(id);
            return;
        }
        self.digits.advance(id);
        match self.representation {
            Representation::Bytes => {}
            Representation::Text => {
                chunk.put_slice(self.digits.as_bytes());
                chunk.put_u8(b'\n');
            }
            Representation::Lines => {
                chunk.put_u8(b'"');
                chunk.put_slice(self.digits.as_bytes());
                chunk.put_slice(b"\"\n");
            }
            Representation::Json => {
                chunk.put_slice(if self.state == State::Opening { b"[\"" } else { b",\"" });
                chunk.put_slice(self.digits.as_bytes());
                chunk.put_u8(b'"');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Millis, Origin, SNOWFLAKE64, Tick};
    use crate::issuer::Claim;
    use crate::lease::grant::Ticks;
    use bytes::Buf;
    use hyper::body::Body as _;
    use proptest::prelude::*;

    const ALL: [Representation; 4] =
        [Representation::Json, Representation::Lines, Representation::Text, Representation::Bytes];

    fn issued(from: u64, count: u64) -> Issued {
        let ticks = Ticks { from: Tick(from), to: Tick(from + count) };
        Issued::from(Claim { layout: SNOWFLAKE64, origin: Origin { datacenter: 1, worker: 2 }, ticks })
    }

    fn spelt(issued: Issued, representation: Representation) -> Vec<u8> {
        let mut body = Body::ids(Ids::new(issued.clone(), representation, None));
        let told = body.size_hint().exact();
        let mut bytes = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) =
            Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
        {
            let piece = frame.into_data().unwrap();
            assert!(piece.len() <= CHUNK_BYTES && piece.has_remaining());
            bytes.extend_from_slice(piece.chunk());
        }
        assert!(body.is_end_stream());
        assert_eq!(told.unwrap_or(bytes.len() as u64), bytes.len() as u64);
        assert_eq!(length(&issued, representation), bytes.len() as u64);
        bytes
    }

    fn read(bytes: &[u8], representation: Representation) -> Vec<u64> {
        let number = |text: &str| text.parse().unwrap();
        let text = || std::str::from_utf8(bytes).unwrap();
        match representation {
            Representation::Json => {
                serde_json::from_slice::<Vec<String>>(bytes).unwrap().iter().map(|id| number(id)).collect()
            }
            Representation::Lines => {
                text().lines().map(|line| number(&serde_json::from_str::<String>(line).unwrap())).collect()
            }
            Representation::Text => text().lines().map(number).collect(),
            Representation::Bytes => {
                bytes.chunks_exact(8).map(|id| u64::from_be_bytes(id.try_into().unwrap())).collect()
            }
        }
    }

    #[test]
    fn one_id() {
        let at = SNOWFLAKE64.tick(Millis(1)).0;
        assert_eq!(spelt(issued(at, 1), Representation::Json), br#"["4333568"]"#);
        assert_eq!(spelt(issued(at, 2), Representation::Text), b"4333568\n4333569\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_representation_says_the_same(from in 0u64..1 << 53, small in 0u64..1 << 14, n in 1u64..10_000) {
            for from in [from, small] {
                let issued = issued(from, n);
                let ids: Vec<u64> = issued.ids().collect();
                for representation in ALL {
                    prop_assert_eq!(&read(&spelt(issued.clone(), representation), representation), &ids);
                }
            }
        }
    }
}
