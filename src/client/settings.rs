//! The numbers of a client. The defaults are for production; docs/CLIENT.md has their reasons.

use super::budget::RetryBudget;
use super::ejection::Ejection;
use super::error::Error;
use super::prefetch::Prefetch;
use crate::id::{Layout, SNOWFLAKE64};
use std::net::SocketAddr;
use std::time::Duration;

/// The most connections to one endpoint that may be asked for.
const CONNECTIONS: usize = 50;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub layout: Layout,
    /// To each endpoint at most, and requests in flight at most. They are opened when they are needed.
    pub connections: usize,
    /// A connection unused for so long is closed.
    pub idle_timeout: Duration,
    /// A connection this old is closed after its request, so that load balancers see all of them again.
    pub max_lifetime: Duration,
    /// How long one attempt may take, connecting included, besides the time that the count itself takes.
    pub attempt_timeout: Duration,
    /// How long a call may take over all attempts, besides the time that the count itself takes.
    pub deadline: Duration,
    pub ejection: Ejection,
    pub retry_budget: RetryBudget,
    pub prefetch: Prefetch,
    /// Asked for the addresses of names; the system's, if none is given.
    pub nameservers: Vec<SocketAddr>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            layout: SNOWFLAKE64,
            connections: 10,
            idle_timeout: Duration::from_secs(5 * 60),
            max_lifetime: Duration::from_secs(30 * 60),
            attempt_timeout: Duration::from_millis(300),
            deadline: Duration::from_secs(2),
            ejection: Ejection::default(),
            retry_budget: RetryBudget::default(),
            prefetch: Prefetch::default(),
            nameservers: Vec::new(),
        }
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        let Prefetch { min, max, per_request, max_age, .. } = self.prefetch;
        let RetryBudget { ratio, min_per_second, reserve } = self.retry_budget;
        let wrong = [
            (!(1..=CONNECTIONS).contains(&self.connections), "connections: 1 to 50"),
            (self.attempt_timeout.is_zero(), "attempt_timeout: more than no time"),
            (self.deadline < self.attempt_timeout, "deadline: no less than attempt_timeout"),
            (min == 0 || per_request == 0, "prefetch.min and prefetch.per_request: at least 1"),
            (max < min, "prefetch.max: no less than prefetch.min"),
            (max_age.is_zero(), "prefetch.max_age: more than no time"),
            (!(0.0..=1.0).contains(&ratio), "retry_budget.ratio: 0 to 1"),
            (!(min_per_second > 0.0 && min_per_second.is_finite()), "retry_budget.min_per_second: above 0"),
            (!(reserve >= 1.0 && reserve.is_finite()), "retry_budget.reserve: at least 1"),
            (self.ejection.consecutive_failures == 0, "ejection.consecutive_failures: at least 1"),
            (self.ejection.base_time.is_zero(), "ejection.base_time: more than no time"),
        ];
        match wrong.iter().find(|(wrong, _)| *wrong) {
            Some((_, allowed)) => Err(Error::Settings(format!("this setting is out of its bounds; {allowed}"))),
            None => Ok(()),
        }
    }

    /// What `count` ids take at the rate of the format, however fast everything is.
    pub(super) fn wait(&self, count: u32) -> Duration {
        Duration::from_micros(u64::from(count) * 1_000 / self.layout.ids_per_ms())
    }
}
