//! The streams of one HTTP/2 connection, run by the connection's own task.
//!
//! With a task for each, the first that is answered wakes the connection, which is then run before the others are and sends
//! one answer: a system call for every request. Run by the connection, all that are answered together leave together.

use super::progress;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where hyper puts new streams. Each runs for a bounded time, or while its client takes what it is given. How many there
/// are at once is bounded by the connection's settings.
#[derive(Clone)]
pub struct Inlet {
    limit: Duration,
    new: Arc<Mutex<Vec<Stream>>>,
}

/// The streams of a connection. They end with it at the latest.
pub struct Streams {
    running: FuturesUnordered<Stream>,
    new: Arc<Mutex<Vec<Stream>>>,
}

impl Streams {
    /// `limit`: how long an answer may take, or go untaken.
    pub fn new(limit: Duration) -> (Inlet, Streams) {
        let new = Arc::default();
        (Inlet { limit, new: Arc::clone(&new) }, Streams { running: FuturesUnordered::new(), new })
    }

    /// Runs what can run, and says whether a stream came to its end: then the connection has something to send.
    pub fn run(&mut self, cx: &mut Context<'_>) -> bool {
        self.running.extend(self.new.lock().expect("no holder of this lock panics").drain(..));
        let mut ended = false;
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {
            ended = true;
        }
        ended
    }
}

impl<F> hyper::rt::Executor<F> for Inlet
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let stream = Box::pin(progress::bounded(self.limit, stream));
        self.new.lock().expect("no holder of this lock panics").push(stream);
    }
}
