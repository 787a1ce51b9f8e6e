//! How many retries may follow: a tenth of the requests, and a floor that a crash does not use up.
//!
//! RetryBudget must not multiply the load of a fleet that is failing already, so each request deposits a tenth of a retry
//! (as in Finagle and gRPC). A client of few requests could then never retry, and a crash catches all that are in
//! flight at one moment: so there is a reserve for these, filled again at a floor a second. Ejection is what keeps the
//! reserve from being used up: after the first failure nobody else asks the dead.
//!
//! Pure: the time is an argument.

use std::time::{Duration, Instant};

/// The numbers of the retry budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudget {
    /// Of the requests.
    pub ratio: f64,
    /// Always allowed.
    pub min_per_second: f64,
    /// Allowed at once, after a time without. Is to cover all in flight, once for each region that may fail with them.
    pub reserve: f64,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget { ratio: 0.1, min_per_second: 10.0, reserve: 100.0 }
    }
}

#[derive(Clone, Debug)]
pub struct Budget {
    rules: RetryBudget,
    tokens: f64,
    at: Instant,
}

impl Budget {
    pub fn new(rules: RetryBudget, now: Instant) -> Budget {
        Budget { rules, tokens: rules.reserve, at: now }
    }

    /// A request is made.
    pub fn deposit(&mut self, now: Instant) {
        self.flow(now);
        self.tokens = (self.tokens + self.rules.ratio).min(self.rules.reserve);
    }

    /// Takes leave for one retry, or says after which time to ask again.
    pub fn withdraw(&mut self, now: Instant) -> Result<(), Duration> {
        self.flow(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.rules.min_per_second.max(1e-3);
        Err(Duration::from_secs_f64(wait).max(Duration::from_millis(1)))
    }

    fn flow(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + seconds * self.rules.min_per_second).min(self.rules.reserve);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_crash_of_all_regions_but_one_under_full_load_is_within_the_reserve() {
        let now = Instant::now();
        let mut budget = Budget::new(RetryBudget::default(), now);
        let in_flight = 10;
        for _ in 0..in_flight * 3 {
            assert_eq!(budget.withdraw(now), Ok(()));
        }
    }

    #[test]
    fn an_empty_budget_says_when_to_come_again() {
        let now = Instant::now();
        let mut budget = Budget::new(RetryBudget { ratio: 0.1, min_per_second: 10.0, reserve: 1.0 }, now);
        assert_eq!(budget.withdraw(now), Ok(()));
        let wait = budget.withdraw(now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(budget.withdraw(now + wait), Ok(()));
        for _ in 0..11 {
            budget.deposit(now + wait); // ten of them, and one for rounding
        }
        assert_eq!(budget.withdraw(now + wait), Ok(()), "a tenth of the requests");
    }

    proptest! {
        /// Over any time, retries are at most the reserve, the floor and a tenth of the requests.
        #[test]
        fn never_more_than_promised(steps in prop::collection::vec((any::<bool>(), 0u64..50), 0..2_000)) {
            let rules = RetryBudget::default();
            let start = Instant::now();
            let mut now = start;
            let mut budget = Budget::new(rules, now);
            let (mut requests, mut retries) = (0.0, 0.0);
            for (retry, pause) in steps {
                now += Duration::from_millis(pause);
                if retry {
                    retries += f64::from(u8::from(budget.withdraw(now).is_ok()));
                } else {
                    budget.deposit(now);
                    requests += 1.0;
                }
            }
            let floor = (now - start).as_secs_f64() * rules.min_per_second;
            prop_assert!(retries <= rules.reserve + floor + requests * rules.ratio + 1e-6);
        }
    }
}
