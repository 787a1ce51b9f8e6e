//! Whether the loop that keeps this node turns: its lease, its signals, its looks at the region. Those who ask are served by
//! others, and would not notice. Pure: the time is an argument.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// It turns once a second; one that has not for so long stands still.
const WITHIN: Duration = Duration::from_secs(30);

/// When it last turned, in microseconds of a clock that stands while the machine is suspended.
#[derive(Debug)]
pub struct Turning(AtomicU64);

impl Turning {
    pub fn new(now_us: u64) -> Turning {
        Turning(now_us.into())
    }

    pub fn turned(&self, now_us: u64) {
        self.0.store(now_us, Relaxed);
    }

    pub fn check(&self, now_us: u64) -> Result<(), String> {
        match Duration::from_micros(now_us.saturating_sub(self.0.load(Relaxed))) {
            still if still > WITHIN => {
                Err(format!("the loop that keeps this node has stood still for {} s", still.as_secs()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_said_so_until_it_turns_again() {
        const SECOND: u64 = 1_000_000;
        let turning = Turning::new(100 * SECOND);
        assert_eq!(turning.check(130 * SECOND), Ok(()));
        assert_eq!(turning.check(131 * SECOND).unwrap_err(), "the loop that keeps this node has stood still for 31 s");
        turning.turned(132 * SECOND);
        assert_eq!(turning.check(131 * SECOND), Ok(()), "asked by a thread that read the clock before");
        assert_eq!(turning.check(162 * SECOND), Ok(()));
    }
}
