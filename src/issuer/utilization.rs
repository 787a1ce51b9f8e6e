//! How much of what the format has is used.

use crate::clock::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// `meridian_sequence_utilization_ratio`: the share of the format's ids (4,096 a millisecond and slot) that was used,
/// computed at scrape from the counter of ids. It covers the time since the last look that is at least [`RECENT_US`] old, so that
/// several scrapers do not shorten each other's interval, and the hot path pays nothing.
#[derive(Debug)]
pub struct Utilization {
    clock: Arc<Clock>,
    ids: Counter,
    ids_per_ms: Arc<AtomicU64>,
    looks: Mutex<Looks>,
}

/// Two past looks: one to measure from, and a younger one that takes its place when it is old enough.
#[derive(Debug, Default)]
struct Looks {
    from: Option<Look>,
    next: Option<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    boot_us: u64,
    ids: u64,
}

/// The shortest time the utilisation is taken over, unless the process is younger.
const RECENT_US: u64 = 5_000_000;

impl Looks {
    /// Ids a millisecond, as seen from `now`.
    fn rate(&mut self, now: Look) -> f64 {
        let old_enough = |look: &Look| now.boot_us.saturating_sub(look.boot_us) >= RECENT_US;
        if let Some(next) = self.next.filter(old_enough) {
            self.from = Some(next);
            self.next = Some(now);
        }
        self.next.get_or_insert(now);
        let from = *self.from.get_or_insert(now);
        match now.boot_us.saturating_sub(from.boot_us) {
            0 => 0.0,
            us => now.ids.saturating_sub(from.ids) as f64 * 1_000.0 / us as f64,
        }
    }
}

impl Utilization {
    /// `ids_per_ms`: what all slots have for one millisecond.
    pub fn new(clock: Arc<Clock>, ids: Counter, ids_per_ms: Arc<AtomicU64>) -> Utilization {
        Utilization { clock, ids, ids_per_ms, looks: Mutex::default() }
    }
}

impl Collector for Utilization {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let now = Look { boot_us: self.clock.now().boot_us, ids: self.ids.get() };
        let rate = self.looks.lock().expect("no holder of this lock panics").rate(now);
        let share = match self.ids_per_ms.load(Relaxed) {
            0 => 0.0,
            ids_per_ms => rate / ids_per_ms as f64,
        };
        let unit = Unit::Other("ratio".to_owned());
        let encoder = encoder.encode_descriptor(
            "sequence_utilization",
            "Share of the ids the format has for this node's workers that were used recently",
            Some(&unit),
            MetricType::Gauge,
        )?;
        ConstGauge::new(share).encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utilization_covers_a_recent_interval_whoever_asks() {
        let mut looks = Looks::default();
        let mut rate = |second: u64, ids: u64| looks.rate(Look { boot_us: second * 1_000_000, ids });
        assert_eq!(rate(100, 0), 0.0);
        assert_eq!(rate(110, 20_480_000), 2_048.0);
        assert_eq!(rate(111, 20_480_000), 20_480.0 / 11.0, "a second scraper measures from the same look");
        assert_eq!(rate(125, 20_480_000), 0.0, "from 110 on nothing was issued");
    }
}
