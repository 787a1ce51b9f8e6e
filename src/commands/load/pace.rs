//! Who may ask when, and for how many: one schedule and one allotment for all connections.
//!
//! Due times are fixed beforehand and do not wait for answers. Any free connection takes the next one, so that a
//! target that hangs slows down nobody else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug)]
pub struct Pace {
    start: Instant,
    /// Seconds between two requests; none: as fast as they are answered.
    every: Option<f64>,
    next: AtomicU64,
    /// Ids not yet asked for, those of failed requests again among them.
    left: AtomicU64,
    wanted: u64,
    drawn: AtomicU64,
    reached: AtomicBool,
    stopped: watch::Sender<bool>,
}

impl Pace {
    /// `rate`: ids a second, in requests of `count`. `ids`: stop after so many.
    pub fn new(start: Instant, rate: Option<u64>, count: u32, ids: Option<u64>) -> Pace {
        let wanted = ids.unwrap_or(u64::MAX);
        Pace {
            start,
            every: rate.map(|rate| f64::from(count) / rate as f64),
            next: AtomicU64::new(0),
            left: AtomicU64::new(wanted),
            wanted,
            drawn: AtomicU64::new(0),
            reached: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
        }
    }

    /// When the next request is due; each call gives the next one.
    pub fn due(&self) -> Option<Instant> {
        let every = self.every?;
        let number = self.next.fetch_add(1, Relaxed);
        Some(self.start + Duration::from_secs_f64(number as f64 * every))
    }

    /// How many of `count` ids may be asked for. 0: all are asked for, but some may be given back.
    pub fn reserve(&self, count: u32) -> u32 {
        let take = |left: u64| Some(left - left.min(u64::from(count)));
        let left = self.left.fetch_update(Relaxed, Relaxed, take).expect("take always gives a value");
        left.min(u64::from(count)) as u32
    }

    /// A request failed: its ids are still wanted.
    pub fn give_back(&self, count: u32) {
        self.left.fetch_add(u64::from(count), Relaxed);
    }

    pub fn drew(&self, count: u32) {
        if self.drawn.fetch_add(u64::from(count), Relaxed) + u64::from(count) >= self.wanted {
            self.stop();
        }
    }

    /// All that were wanted have been drawn.
    pub fn is_done(&self) -> bool {
        self.drawn.load(Relaxed) >= self.wanted
    }

    pub fn reach(&self) {
        self.reached.store(true, Relaxed);
    }

    /// Some target has taken a connection.
    pub fn reached(&self) -> bool {
        self.reached.load(Relaxed)
    }

    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Waits for the end, whoever called it.
    ///
    /// # Cancel safety
    /// Nothing is lost with the future.
    pub async fn done(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn due_times_are_as_far_apart_as_the_rate_says() {
        let start = Instant::now();
        let pace = Pace::new(start, Some(2_000), 500, None);
        let due: Vec<Duration> = (0..4).map(|_| pace.due().unwrap() - start).collect();
        assert_eq!(due, [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(Pace::new(start, None, 1, None).due(), None);
    }

    #[test]
    fn the_last_request_is_smaller_and_failed_ones_are_wanted_again() {
        let pace = Pace::new(Instant::now(), None, 10, Some(25));
        assert_eq!([pace.reserve(10), pace.reserve(10), pace.reserve(10), pace.reserve(10)], [10, 10, 5, 0]);
        pace.give_back(10);
        pace.drew(10);
        assert!(!pace.is_done());
        assert_eq!(pace.reserve(10), 10);
        pace.drew(10);
        pace.drew(5);
        assert!(pace.is_done());
    }
}
