//! The messages of `Stream`: each is drawn when the caller has taken the one before, and never more than one ahead.

use super::packed::Packed;
use super::proto::StreamRequest;
use super::status;
use crate::desk::{Desk, Refused};
use crate::issuer::Issued;
use crate::load::{self, Shed};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tonic::Status;
use tonic::codegen::BoxFuture;

/// Ids a message unless the request says: one slice, so one claim.
pub const BATCH: u32 = 16_384;

/// The most ids a message has.
pub const MOST: u32 = 65_536;

/// A stream of ids, being drawn.
pub struct Batches {
    desk: Arc<Desk>,
    /// Ids still to draw; `None` for without end.
    left: Option<u64>,
    batch: u32,
    by: Option<Instant>,
    /// The node was leaving already when this began, so that it lasts until the node stops.
    opened_late: bool,
    state: State,
    memory: BytesMut,
    _held: load::Stream,
}

enum State {
    Idle,
    Drawing(BoxFuture<Issued, Refused>),
    Sending(Packed),
}

impl Batches {
    pub fn open(desk: &Arc<Desk>, request: &StreamRequest, most: u32, by: Option<Instant>) -> Result<Batches, Shed> {
        let batch = if request.batch == 0 { BATCH } else { request.batch };
        Ok(Batches {
            left: Some(request.count).filter(|count| *count > 0),
            batch: batch.min(MOST).min(most),
            by,
            opened_late: desk.is_leaving(),
            state: State::Idle,
            memory: BytesMut::new(),
            _held: desk.stream()?,
            desk: desk.clone(),
        })
    }

    /// The next bytes, or why there are none any more.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match &mut self.state {
                State::Idle => {
                    let n = self.left.map_or(self.batch, |left| u64::from(self.batch).min(left) as u32);
                    if n == 0 {
                        return Poll::Ready(None);
                    }
                    if self.desk.is_stopping() || (self.desk.is_leaving() && !self.opened_late) {
                        return Poll::Ready(Some(Err(status::leaving())));
                    }
                    self.left = self.left.map(|left| left - u64::from(n));
                    let (desk, by) = (self.desk.clone(), self.by);
                    self.state = State::Drawing(Box::pin(async move { desk.batch(n, || super::left(by)).await }));
                }
                State::Drawing(drawing) => match ready!(drawing.as_mut().poll(cx)) {
                    Ok(issued) => self.state = State::Sending(Packed::new(&issued)),
                    Err(refused) => {
                        let status = status::refused(refused, self.desk.is_stopping());
                        return Poll::Ready(Some(Err(status)));
                    }
                },
                State::Sending(packed) => match packed.chunk(&mut self.memory) {
                    Some(chunk) => return Poll::Ready(Some(Ok(chunk))),
                    None => self.state = State::Idle,
                },
            }
        }
    }
}
