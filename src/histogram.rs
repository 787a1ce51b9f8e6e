//! A histogram of durations that takes no lock: it is on the way of every request. In text it is what prometheus-client's own
//! is, whose mutex all requests would meet at.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts durations in buckets, each reaching twice as far as the one before it.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    first_us: u64,
    /// The last one has no bound.
    buckets: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Histogram {
    /// `bounds` buckets, of which the first reaches up to `first` (a microsecond or more), and one without a bound.
    pub fn new(first: Duration, bounds: usize) -> Histogram {
        let buckets = (0..=bounds).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Counts { first_us: micros(first).max(1), buckets, sum_us: AtomicU64::new(0) }))
    }

    /// Counts a duration, in whole microseconds.
    pub fn observe(&self, took: Duration) {
        let us = micros(took);
        let bucket = match us.saturating_sub(1) / self.0.first_us {
            0 => 0,
            times => times.ilog2() as usize + 1,
        };
        self.0.buckets[bucket.min(self.0.buckets.len() - 1)].fetch_add(1, Relaxed);
        self.0.sum_us.fetch_add(us, Relaxed);
    }

    /// Each bound in seconds, and how many were within it and not within the one before it.
    fn counts(&self) -> Vec<(f64, u64)> {
        let last = self.0.buckets.len() - 1;
        let bound =
            |n: usize| if n == last { f64::INFINITY } else { self.0.first_us as f64 / 1e6 * (1u64 << n) as f64 };
        self.0.buckets.iter().enumerate().map(|(n, count)| (bound(n), count.load(Relaxed))).collect()
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let sum = self.0.sum_us.load(Relaxed) as f64 / 1e6;
        let counts = self.counts();
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().map(|(_, count)| count).sum(), &counts, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::histogram::{self, exponential_buckets};
    use prometheus_client::registry::{Metric, Registry};
    use proptest::prelude::*;

    fn text(metric: impl Metric) -> String {
        let mut registry = Registry::default();
        registry.register("took", "Time", metric);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    proptest! {
        /// Bounds themselves are within.
        #[test]
        fn it_reads_as_the_one_of_the_library(us in prop::collection::vec(prop_oneof![0u64..50, 0u64..200_000], 0..50)) {
            let ours = Histogram::new(Duration::from_micros(10), 12);
            let theirs = histogram::Histogram::new(exponential_buckets(0.000_01, 2.0, 12));
            for us in us {
                ours.observe(Duration::from_micros(us));
                theirs.observe(us as f64 / 1e6);
            }
            let (ours, theirs) = (text(ours), text(theirs));
            for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                match (ours.split_once(' '), theirs.split_once(' ')) {
                    // One sums integers, the other what is nearly them.
                    (Some(("took_sum", ours)), Some(("took_sum", theirs))) => {
                        prop_assert!((ours.parse::<f64>().unwrap() - theirs.parse::<f64>().unwrap()).abs() < 1e-9);
                    }
                    _ => prop_assert_eq!(ours, theirs),
                }
            }
        }
    }

    #[test]
    fn what_is_longest_has_a_place() {
        let histogram = Histogram::new(Duration::from_micros(10), 3);
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.counts().iter().map(|(_, count)| *count).collect::<Vec<_>>(), [0, 0, 0, 1]);
    }
}
