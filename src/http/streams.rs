//! The streams of one HTTP/2 connection, run by the connection's own task.
//!
//! With a task for each, the first that is answered wakes the connection, which is then run before the others are and sends
//! one answer: a system call for every request. Run by the connection, all that are answered together leave together.

use super::progress;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

/// So many answers leave together: the peer reads them while the next are made.
const ENDED_AT_ONCE: usize = 16;

struct Stream {
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
    ran: Arc<AtomicBool>,
}

impl Future for Stream {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ran.store(true, Relaxed);
        self.run.as_mut().poll(cx)
    }
}

/// Where hyper puts new streams. Each runs for a bounded time, or while its client takes what it is given. How many there
/// are at once is bounded by the connection's settings.
#[derive(Clone)]
pub struct Inlet {
    limit: Duration,
    new: Arc<Mutex<Vec<Stream>>>,
    ran: Arc<AtomicBool>,
}

/// The streams of a connection. They end with it at the latest.
pub struct Streams {
    running: FuturesUnordered<Stream>,
    new: Arc<Mutex<Vec<Stream>>>,
    /// Whether one came or ran since this was last asked.
    ran: Arc<AtomicBool>,
}

impl Streams {
    /// `limit`: how long an answer may take, or go untaken.
    pub fn new(limit: Duration) -> (Inlet, Streams) {
        let (new, ran) = (Arc::default(), Arc::default());
        let inlet = Inlet { limit, new: Arc::clone(&new), ran: Arc::clone(&ran) };
        (inlet, Streams { running: FuturesUnordered::new(), new, ran })
    }

    /// Runs what can run, and says whether anything did: then the connection may have something to send.
    pub fn run(&mut self, cx: &mut Context<'_>) -> bool {
        if self.running.is_empty() && !self.ran.load(Relaxed) {
            return false; // as always on HTTP/1.1
        }
        self.running.extend(self.new.lock().expect("no holder of this lock panics").drain(..));
        for _ in 0..ENDED_AT_ONCE {
            if !matches!(self.running.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                break;
            }
        }
        self.ran.swap(false, Relaxed)
    }
}

impl<F> hyper::rt::Executor<F> for Inlet
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let stream = Stream { run: Box::pin(progress::bounded(self.limit, stream)), ran: Arc::clone(&self.ran) };
        self.new.lock().expect("no holder of this lock panics").push(stream);
        self.ran.store(true, Relaxed);
    }
}
