//! The body of an answer: its messages, then the status, by the deadline.

use super::metrics::Tally;
use super::packed::Packed;
use super::status;
use super::stream::Batches;
use crate::issuer::Issued;
use crate::load::Stream;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::codegen::http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

/// One of our own answers.
pub struct Reply(Messages);

enum Messages {
    Framed(Option<Bytes>),
    Packed {
        packed: Packed,
        memory: BytesMut,
        /// Held until the last byte is on its way.
        _stream: Option<Stream>,
    },
    Stream(Box<Batches>),
}

impl Reply {
    pub fn framed(message: Bytes) -> Reply {
        Reply(Messages::Framed(Some(message)))
    }

    pub fn packed(issued: &Issued, stream: Option<Stream>) -> Reply {
        Reply(Messages::Packed { packed: Packed::new(issued), memory: BytesMut::new(), _stream: stream })
    }

    pub fn stream(batches: Batches) -> Reply {
        Reply(Messages::Stream(Box::new(batches)))
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        match &mut self.0 {
            Messages::Framed(message) => Poll::Ready(message.take().map(Ok)),
            Messages::Packed { packed, memory, .. } => Poll::Ready(packed.chunk(memory).map(Ok)),
            Messages::Stream(batches) => batches.poll_chunk(cx),
        }
    }
}

/// What is sent of an answer after its head.
pub struct Body {
    content: Content,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Until it is told how the answer ended.
    tally: Option<Tally>,
    /// The answer may go on for as long as the caller reads it.
    endless: bool,
}

enum Content {
    Done,
    Own(Reply),
    Foreign(tonic::body::Body),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").field("tally", &self.tally).finish_non_exhaustive()
    }
}

impl Body {
    /// Of an answer that is all head.
    pub fn empty() -> Body {
        Body { content: Content::Done, deadline: None, tally: None, endless: false }
    }

    pub(super) fn of(reply: Reply, by: Option<Instant>, tally: Tally) -> Body {
        let endless = matches!(reply.0, Messages::Stream(_));
        Body {
            content: Content::Own(reply),
            deadline: by.map(|by| Box::pin(sleep_until(by))),
            tally: Some(tally),
            endless,
        }
    }

    /// Of somebody else's answer; `told` if its head says already how it ended.
    pub(super) fn foreign(body: tonic::body::Body, by: Option<Instant>, tally: Tally, told: Option<Code>) -> Body {
        let endless = tally.streams();
        let tally = match told {
            Some(code) => {
                tally.told(code);
                None
            }
            None => Some(tally),
        };
        Body { content: Content::Foreign(body), deadline: by.map(|by| Box::pin(sleep_until(by))), tally, endless }
    }

    /// Whether this may go on for as long as the caller reads it.
    pub fn is_endless(&self) -> bool {
        self.endless
    }

    /// The last frame: how it ended.
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.content = Content::Done;
        if let Some(tally) = self.tally.take() {
            tally.told(status.code());
        }
        let mut trailers = HeaderMap::with_capacity(1);
        if status.code() == Code::Ok {
            trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        } else if status.add_header(&mut trailers).is_err() {
            trailers.insert(Status::GRPC_STATUS, (Code::Internal as i32).into());
        }
        Frame::trailers(trailers)
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        match &mut self.content {
            Content::Done => Poll::Ready(None),
            Content::Own(reply) => Poll::Ready(Some(match ready!(reply.poll_chunk(cx)) {
                Some(Ok(chunk)) => Frame::data(chunk),
                Some(Err(status)) => self.end(&status),
                None => self.end(&Status::ok("")),
            })),
            Content::Foreign(body) => Poll::Ready(match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref()
                        && let Some(tally) = self.tally.take()
                    {
                        tally.told(Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code()));
                    }
                    Some(frame)
                }
                Some(Err(status)) => Some(self.end(&status)),
                None => None,
            }),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !matches!(self.content, Content::Done)
            && let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Ok(self.end(&status::late()))));
        }
        self.poll_content(cx).map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Done)
    }
}
