//! Whether an endpoint may be asked: ejected after failures for a growing time, back after a trial.
//!
//! Pure: the time and the jitter are arguments.
//!
//! ```text
//!            hard failure, or soft ones in a row
//!   ┌──────┐ ─────────────────────────────────► ┌─────────┐
//!   │ well │                                    │ ejected │ ◄─┐
//!   └──────┘ ◄── an answer ── ┌───────┐ ◄─ due ─└─────────┘   │ longer
//!                             │ trial │ ── any failure ───────┘
//!                             └───────┘
//! ```

use std::time::{Duration, Instant};

/// An endpoint that was well for this long is ejected for as short a time as a new one.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// No wish of an endpoint to be left alone is heeded for longer.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// The numbers of ejection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ejection {
    /// How long the first time; each further one in a row is twice as long.
    pub base_time: Duration,
    pub max_time: Duration,
    /// So many soft failures in a row eject.
    pub consecutive_failures: u32,
}

impl Default for Ejection {
    fn default() -> Ejection {
        Ejection { base_time: Duration::from_millis(500), max_time: Duration::from_secs(30), consecutive_failures: 3 }
    }
}

/// What became of one attempt, as far as the endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// 429, or 503 `shed`: well, and asks to be left alone for so long.
    Busy(Duration),
    /// It said something, but no ids: another 503, nonsense, a connection cut in the middle. Behind a load balancer the
    /// next one may be answered well. With the wish of a 503.
    Soft(Option<Duration>),
    /// Nobody listens, or nobody answers: the next one would fare no better.
    Hard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well { failures: u32 },
    Ejected { until: Instant },
    Trial,
}

/// Where one endpoint stands.
#[derive(Clone, Debug)]
pub struct Standing {
    rules: Ejection,
    state: State,
    /// Ejections in a row.
    times: u32,
    well_since: Option<Instant>,
    rests_until: Option<Instant>,
}

impl Standing {
    pub fn new(rules: Ejection) -> Standing {
        Standing { rules, state: State::Well { failures: 0 }, times: 0, well_since: None, rests_until: None }
    }

    pub fn is_well(&self) -> bool {
        matches!(self.state, State::Well { .. })
    }

    /// Until when it asked to be left alone.
    pub fn rests(&self, now: Instant) -> Option<Instant> {
        self.rests_until.filter(|until| *until > now)
    }

    /// When a trial is due; in the past while one is under way. `None`: it is well.
    pub fn ejected_until(&self) -> Option<Instant> {
        match self.state {
            State::Ejected { until } => Some(until),
            State::Well { .. } | State::Trial => None,
        }
    }

    /// Whether a trial is due; the caller makes it, and nobody else until its outcome is known.
    pub fn begin_trial(&mut self, now: Instant) -> bool {
        let due = matches!(self.state, State::Ejected { until } if until <= now);
        if due {
            self.state = State::Trial;
        }
        due
    }

    /// Takes in an outcome and says whether it ejected the endpoint (again). `jitter` is about 1 and stretches the time,
    /// so that many clients do not come back at one moment.
    pub fn step(&mut self, outcome: Outcome, now: Instant, jitter: f64) -> bool {
        match (outcome, self.state) {
            (Outcome::Answered, State::Well { .. }) => {
                self.well(now);
                false
            }
            // Also the late answer of a request that was under way when others failed.
            (Outcome::Answered, State::Ejected { .. } | State::Trial) => {
                self.well_since = None;
                self.well(now);
                false
            }
            (Outcome::Busy(wish), _) => {
                self.rests_until = Some(now + wish.min(LONGEST_REST));
                self.well(now); // who sheds in good order works
                false
            }
            (Outcome::Soft(_), State::Well { failures }) if failures + 1 < self.rules.consecutive_failures => {
                self.state = State::Well { failures: failures + 1 };
                false
            }
            (Outcome::Soft(wish), State::Well { .. } | State::Trial) => {
                self.eject(wish, now, jitter);
                true
            }
            (Outcome::Hard, State::Well { .. } | State::Trial) => {
                self.eject(None, now, jitter);
                true
            }
            // Those that were under way as well: one failure, many witnesses.
            (Outcome::Soft(_) | Outcome::Hard, State::Ejected { .. }) => false,
        }
    }

    fn well(&mut self, now: Instant) {
        self.state = State::Well { failures: 0 };
        self.well_since.get_or_insert(now);
    }

    fn eject(&mut self, wish: Option<Duration>, now: Instant, jitter: f64) {
        let forgiven = self.well_since.is_some_and(|since| now.saturating_duration_since(since) >= FORGIVEN_AFTER);
        self.times = if forgiven { 0 } else { self.times };
        let growing = self.rules.base_time.saturating_mul(1 << self.times.min(16)).min(self.rules.max_time);
        let time = growing.mul_f64(jitter).max(wish.unwrap_or_default().min(LONGEST_REST));
        self.times += 1;
        self.well_since = None;
        self.state = State::Ejected { until: now + time };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn standing() -> (Standing, Instant) {
        (Standing::new(Ejection::default()), Instant::now())
    }

    #[test]
    fn a_hang_ejects_at_once_and_an_answer_brings_back() {
        let (mut one, now) = standing();
        assert!(one.step(Outcome::Hard, now, 1.0));
        assert!(!one.step(Outcome::Hard, now, 1.0), "the others that were under way");
        assert_eq!(one.ejected_until(), Some(now + 500 * MS));
        assert!(!one.begin_trial(now + 499 * MS));
        assert!(one.begin_trial(now + 500 * MS));
        assert!(!one.begin_trial(now + 500 * MS), "one trial at a time");
        assert!(!one.is_well());
        one.step(Outcome::Answered, now + 501 * MS, 1.0);
        assert!(one.is_well());
    }

    #[test]
    fn ejections_in_a_row_grow_up_to_the_longest_and_are_forgiven() {
        let (mut one, mut now) = standing();
        let mut times = Vec::new();
        for _ in 0..9 {
            one.step(Outcome::Hard, now, 1.0);
            let until = one.ejected_until().unwrap();
            times.push((until - now).as_millis());
            now = until;
            assert!(one.begin_trial(now));
        }
        assert_eq!(times, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        one.step(Outcome::Answered, now, 1.0);
        one.step(Outcome::Hard, now + 30_000 * MS, 1.0);
        assert_eq!(one.ejected_until(), Some(now + 60_000 * MS), "well for too short a time");
        one.begin_trial(now + 60_000 * MS);
        one.step(Outcome::Answered, now + 60_000 * MS, 1.0);
        one.step(Outcome::Hard, now + 120_000 * MS, 1.0);
        assert_eq!(one.ejected_until(), Some(now + 120_500 * MS));
    }

    #[test]
    fn soft_failures_eject_only_in_a_row_and_heed_the_wish() {
        let (mut one, now) = standing();
        let soft = Outcome::Soft(Some(1_000 * MS));
        assert!(!one.step(soft, now, 1.0) && !one.step(soft, now, 1.0));
        one.step(Outcome::Answered, now, 1.0);
        assert!(!one.step(soft, now, 1.0) && !one.step(soft, now, 1.0));
        assert!(one.step(soft, now, 1.0));
        assert_eq!(one.ejected_until(), Some(now + 1_000 * MS));
    }

    #[test]
    fn who_sheds_rests_and_is_not_ejected() {
        let (mut one, now) = standing();
        for _ in 0..100 {
            assert!(!one.step(Outcome::Busy(300 * MS), now, 1.0));
        }
        assert!(one.is_well());
        assert_eq!(one.rests(now), Some(now + 300 * MS));
        assert_eq!(one.rests(now + 300 * MS), None);
        one.step(Outcome::Busy(Duration::from_secs(3_600)), now, 1.0);
        assert_eq!(one.rests(now), Some(now + LONGEST_REST), "nobody is sent away for an hour");
    }

    proptest! {
        /// Whatever comes, in whatever order: an ejection is bounded, and one answer ends it.
        #[test]
        fn always_comes_back(steps in prop::collection::vec((0u8..4, 0u64..5_000, 0.75f64..1.25), 0..60)) {
            let (mut one, mut now) = standing();
            for (what, pause, jitter) in steps {
                now += MS * pause as u32;
                one.begin_trial(now);
                let outcome = match what {
                    0 => Outcome::Answered,
                    1 => Outcome::Busy(MS * pause as u32),
                    2 => Outcome::Soft(Some(MS * pause as u32)),
                    _ => Outcome::Hard,
                };
                one.step(outcome, now, jitter);
                if let Some(until) = one.ejected_until() {
                    prop_assert!(until - now <= Duration::from_secs(30).mul_f64(1.25));
                }
            }
            one.step(Outcome::Answered, now, 1.0);
            prop_assert!(one.is_well());
        }
    }
}
