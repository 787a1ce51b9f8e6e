//! What one connection is doing and since when: waiting, receiving a request head, or answering. From it follows when
//! the connection has taken too long.

use crate::clock::coarse_us;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// The times a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request to the end of its headers; and for the whole of its body.
    pub head: Duration,
    /// Without any request.
    pub idle: Duration,
    /// To send one answer.
    pub answer: Duration,
}

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Over {
    /// A request head that did not end in time.
    Head,
    Idle,
    /// An answer that was not taken in time.
    Answer,
}

/// The state of one connection, shared by its socket, its timer and its requests.
///
/// Times are read of the coarse clock, which costs next to nothing and is some milliseconds behind: patience is counted in
/// seconds.
#[derive(Debug)]
pub struct Pulse {
    start: Instant,
    coarse_start_us: u64,
    /// Requests being answered, until the last byte of the answer is handed to the connection.
    busy: AtomicU32,
    /// Since when `busy` is zero, or is not; milliseconds since `start`.
    since: AtomicU64,
    /// When the first byte of the request now being received came; 0: none has come.
    head: AtomicU64,
    http2: AtomicBool,
}

impl Pulse {
    pub fn start() -> Arc<Pulse> {
        Arc::new(Pulse {
            start: Instant::now(),
            coarse_start_us: coarse_us(),
            busy: AtomicU32::new(0),
            since: AtomicU64::new(0),
            head: AtomicU64::new(0),
            http2: AtomicBool::new(false),
        })
    }

    /// A request is there, and is being answered until the beat is dropped.
    pub fn begin(self: &Arc<Pulse>) -> Beat {
        if self.busy.fetch_add(1, Relaxed) == 0 {
            self.since.store(self.now(), Relaxed);
        }
        self.head.store(0, Relaxed);
        Beat(self.clone())
    }

    /// A request was there, and its answer is handed to the connection already.
    pub fn answered(&self) {
        if self.busy.load(Relaxed) == 0 {
            self.since.store(self.now(), Relaxed);
        }
        self.head.store(0, Relaxed);
    }

    /// Bytes came in.
    pub fn received(&self) {
        if self.busy.load(Relaxed) == 0 && self.head.load(Relaxed) == 0 {
            self.head.store(self.now().max(1), Relaxed);
        }
    }

    /// Frames of HTTP/2 come without any request, so a head is not timed there; the connection still is by `idle`, and
    /// each stream by `answer`.
    pub fn is_http2(&self) {
        self.http2.store(true, Relaxed);
    }

    /// When to look at this connection again.
    pub fn due(&self, patience: &Patience) -> Instant {
        self.limit(patience).map_or_else(|| Instant::now() + patience.idle, |(limit, _)| limit)
    }

    /// Whether the connection has taken too long, and for what.
    pub fn over(&self, patience: &Patience) -> Option<Over> {
        self.limit(patience).filter(|(limit, _)| *limit <= Instant::now()).map(|(_, over)| over)
    }

    fn limit(&self, patience: &Patience) -> Option<(Instant, Over)> {
        let at = |ms: u64, after: Duration| self.start + Duration::from_millis(ms) + after;
        let http2 = self.http2.load(Relaxed);
        let since = self.since.load(Relaxed);
        if self.busy.load(Relaxed) > 0 {
            return (!http2).then(|| (at(since, patience.answer), Over::Answer));
        }
        let idle = at(since, patience.idle);
        match self.head.load(Relaxed) {
            head if head > 0 && !http2 && at(head, patience.head) < idle => Some((at(head, patience.head), Over::Head)),
            _ => Some((idle, Over::Idle)),
        }
    }

    fn now(&self) -> u64 {
        (coarse_us() - self.coarse_start_us) / 1_000
    }
}

/// One request being answered.
#[derive(Debug)]
pub struct Beat(Arc<Pulse>);

impl Drop for Beat {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Relaxed) == 1 {
            self.0.since.store(self.0.now(), Relaxed);
        }
    }
}
