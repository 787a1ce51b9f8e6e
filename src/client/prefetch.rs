//! How many ids to hold: what was used lately, for a while ahead, within limits.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

/// Ids used within this are taken to be a rate.
const WINDOW: Duration = Duration::from_millis(10);

/// After so long a measured rate counts a third (1/e).
const MEMORY_S: f64 = 1.0;

/// How ids are fetched before they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefetch {
    /// Held at least, while ids are used at all.
    pub min: u32,
    /// Held at most, whatever the rate.
    pub max: u32,
    /// Drawn with one request at most. Nodes allow 1,000,000.
    pub per_request: u32,
    /// How long the ids held last at the present rate. Longer than a failover, so that nobody waits for one.
    pub horizon: Duration,
    /// Older ids are dropped: how far behind the clock an id may be when it is given.
    pub max_age: Duration,
}

impl Default for Prefetch {
    fn default() -> Prefetch {
        Prefetch {
            min: 64,
            max: 1 << 18,
            per_request: 1 << 16,
            horizon: Duration::from_secs(1),
            max_age: Duration::from_secs(5),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Prefetcher {
    rules: Prefetch,
    /// Ids a second.
    rate: f64,
    seen: u64,
    at: Instant,
    used: Option<Instant>,
}

impl Prefetcher {
    pub fn new(rules: Prefetch, now: Instant) -> Prefetcher {
        Prefetcher { rules, rate: 0.0, seen: 0, at: now, used: None }
    }

    /// Somebody came for ids, whether or not there were any.
    pub fn touch(&mut self, now: Instant) {
        self.used = Some(now);
    }

    /// How many ids to hold, after `consumed` in all were used. 0 for a client that nobody uses.
    pub fn target(&mut self, consumed: u64, now: Instant) -> u64 {
        let more = consumed.saturating_sub(self.seen);
        if more > 0 {
            self.used = Some(now);
        }
        let passed = now.saturating_duration_since(self.at);
        let recent = more as f64 / passed.max(WINDOW).as_secs_f64();
        let faded = self.rate * (-passed.as_secs_f64() / MEMORY_S).exp();
        let rate = recent.max(faded);
        if passed >= WINDOW {
            (self.rate, self.seen, self.at) = (rate, consumed, now);
        }
        let Prefetch { min, max, horizon, .. } = self.rules;
        if self.idle_at().is_none_or(|idle| idle <= now) {
            return 0;
        }
        ((rate * horizon.as_secs_f64()) as u64).clamp(min.into(), max.into())
    }

    /// From when on a client that nobody uses draws no more. Before what it holds is too old, so that this is not drawn
    /// once again for nobody.
    fn idle_at(&self) -> Option<Instant> {
        self.used.map(|used| used + self.rules.max_age / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn prefetcher() -> (Prefetcher, Instant) {
        let now = Instant::now();
        (Prefetcher::new(Prefetch::default(), now), now)
    }

    #[test]
    fn an_unused_client_wants_nothing() {
        let (mut one, now) = prefetcher();
        assert_eq!(one.target(0, now + 5 * MS), 0);
        one.touch(now);
        assert_eq!(one.target(0, now), 64);
        assert_eq!(one.target(0, now + 2_499 * MS), 64);
        assert_eq!(one.target(0, now + 2_500 * MS), 0);
    }

    #[test]
    fn holds_a_second_of_a_steady_rate() {
        let (mut one, now) = prefetcher();
        let mut target = 0;
        for ms in 1..=2_000 {
            target = one.target(ms * 20, now + MS * ms as u32); // 20,000 a second
        }
        assert!((20_000..=22_000).contains(&target), "{target}");
    }

    #[test]
    fn a_flood_reaches_the_limit_in_a_few_steps_and_is_forgotten() {
        let (mut one, now) = prefetcher();
        let (mut used, mut steps, mut at) = (0, 0, now);
        one.touch(now);
        loop {
            at += MS * 10;
            let target = one.target(used, at);
            used += target; // all of it at once
            steps += 1;
            if target == 1 << 18 {
                break;
            }
        }
        assert!(steps <= 5, "{steps}");
        let mut target = 0;
        for _ in 0..12 {
            at += MS * 1_000;
            one.touch(at);
            target = one.target(used, at);
        }
        assert!(target < 500, "{target}");
    }
}
