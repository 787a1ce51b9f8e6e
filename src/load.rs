//! How much is served at once: permits for requests, a short queue before them, and permits for long answers.
//!
//! Nothing here waits without a bound. What does not fit is shed at once with a hint when to come back, so that an
//! overloaded node answers quickly and stays well, instead of answering everybody late.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError};

/// The longest a request stands in the queue: half of what health allows an answer to take, so that overload turns
/// into shedding before it turns into a node that looks ill.
pub const QUEUE_WAIT: Duration = Duration::from_millis(50);

/// When to come back after having been shed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The queue is full.
    QueueFull,
    /// The queue did not move in time.
    QueueWait,
    /// Too many long answers are being sent.
    Streams,
    /// The worker is ahead of the clock by the longest wait allowed.
    AheadOfClock,
    /// Too many connections.
    Connections,
}

impl EncodeLabelValue for Why {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> std::fmt::Result {
        let name = match self {
            Why::QueueFull => "queue_full",
            Why::QueueWait => "queue_wait",
            Why::Streams => "streams",
            Why::AheadOfClock => "ahead_of_clock",
            Why::Connections => "connections",
        };
        name.encode(encoder)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node is serving as much as it may; try again in {retry_after:?}")]
pub struct Shed {
    pub why: Why,
    pub retry_after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShedLabels {
    why: Why,
}

/// The permits of one node.
#[derive(Debug)]
pub struct Load {
    in_flight: usize,
    requests: Semaphore,
    streams: Arc<Semaphore>,
    queued: AtomicUsize,
    queued_gauge: Gauge,
    in_flight_gauge: Gauge,
    shed: Family<ShedLabels, Counter>,
}

/// The right to work on one request; given back when dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    _permit: SemaphorePermit<'a>,
    gauge: &'a Gauge,
}

/// The right to send one long answer; given back when dropped.
#[derive(Debug)]
pub struct Stream {
    _permit: OwnedSemaphorePermit,
}

impl Load {
    /// `in_flight`: how many requests are worked on at once; as many again may queue, and as many long answers may be
    /// on their way out.
    pub fn new(in_flight: usize, registry: &mut Registry) -> Load {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let load = Load {
            in_flight,
            requests: Semaphore::new(in_flight),
            streams: Arc::new(Semaphore::new(in_flight)),
            queued: AtomicUsize::new(0),
            queued_gauge: Gauge::default(),
            in_flight_gauge: Gauge::default(),
            shed: Family::default(),
        };
        registry.register("requests_in_flight", "Id requests being worked on", load.in_flight_gauge.clone());
        registry.register(
            "requests_admission_queued",
            "Id requests waiting for a permit to be worked on",
            load.queued_gauge.clone(),
        );
        registry.register("requests_shed", "Requests turned away because of load, by reason", load.shed.clone());
        load
    }

    /// A permit to work on a request, now or after a short wait in a queue that is bounded in length and time.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue.
    pub async fn enter(&self) -> Result<Permit<'_>, Shed> {
        match self.requests.try_acquire() {
            Ok(permit) => return Ok(self.permit(permit)),
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => unreachable!("nobody closes this semaphore"),
        }
        let _place = self.queue()?;
        match tokio::time::timeout(QUEUE_WAIT, self.requests.acquire()).await {
            Ok(permit) => Ok(self.permit(permit.expect("nobody closes this semaphore"))),
            Err(_) => Err(self.shed(Why::QueueWait)),
        }
    }

    /// Whether there is no permit left, so that who asks for one would queue.
    pub fn is_full(&self) -> bool {
        self.requests.available_permits() == 0
    }

    /// A permit to send an answer of more than one chunk; never waits.
    pub fn stream(&self) -> Result<Stream, Shed> {
        match self.streams.clone().try_acquire_owned() {
            Ok(permit) => Ok(Stream { _permit: permit }),
            Err(_) => Err(self.shed(Why::Streams)),
        }
    }

    /// Counts a request as shed for a reason found elsewhere.
    pub fn shed(&self, why: Why) -> Shed {
        self.shed.get_or_create(&ShedLabels { why }).inc();
        Shed { why, retry_after: RETRY_AFTER }
    }

    /// How many requests are worked on now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.saturating_sub(self.requests.available_permits())
    }

    /// How many long answers are on their way out now.
    pub fn stream_count(&self) -> usize {
        self.in_flight.saturating_sub(self.streams.available_permits())
    }

    /// How many requests wait for a permit now.
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    fn permit<'a>(&'a self, permit: SemaphorePermit<'a>) -> Permit<'a> {
        self.in_flight_gauge.inc();
        Permit { _permit: permit, gauge: &self.in_flight_gauge }
    }

    fn queue(&self) -> Result<Place<'_>, Shed> {
        if self.queued.fetch_add(1, Relaxed) >= self.in_flight {
            self.queued.fetch_sub(1, Relaxed);
            return Err(self.shed(Why::QueueFull));
        }
        self.queued_gauge.inc();
        Ok(Place(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// A place in the queue; left when dropped, also by a client that has gone.
struct Place<'a>(&'a Load);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
        self.0.queued_gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_moves() {
        let load = Load::new(2, &mut Registry::default());
        let (first, second) = (load.enter().await.unwrap(), load.enter().await.unwrap());
        assert_eq!(load.in_flight(), 2);
        let mut third = pin!(load.enter());
        let mut fourth = Box::pin(load.enter());
        assert!(poll_once(third.as_mut()).is_pending());
        assert!(poll_once(fourth.as_mut()).is_pending());
        assert_eq!(load.queued(), 2);
        assert_eq!(load.enter().await.unwrap_err().why, Why::QueueFull, "at once");
        drop(fourth);
        assert_eq!(load.queued(), 1, "a client that goes leaves the queue");
        drop(first);
        let third = third.await.unwrap();
        assert_eq!((load.in_flight(), load.queued()), (2, 0));
        drop((second, third));
        assert_eq!(load.in_flight(), 0);
    }

    #[tokio::test]
    async fn nobody_queues_for_ever() {
        let load = Load::new(1, &mut Registry::default());
        let _held = load.enter().await.unwrap();
        let shed = load.enter().await.unwrap_err();
        assert_eq!((shed.why, load.queued()), (Why::QueueWait, 0));
        assert!(shed.retry_after >= Duration::from_secs(1));
    }

    #[test]
    fn long_answers_have_their_own_bound() {
        let load = Load::new(1, &mut Registry::default());
        let held = load.stream().unwrap();
        assert_eq!(load.stream().unwrap_err().why, Why::Streams);
        drop(held);
        assert!(load.stream().is_ok());
    }
}
