//! Looking at the wall clock again and again, so that a step of it is seen before it matters.

use super::{Clock, SAMPLE_EVERY, Verdict, kernel_state};
use std::sync::Arc;
use tokio::time::MissedTickBehavior;

/// Observes for ever; says so in the log when the wall clock misbehaves, and when it is well again.
pub async fn follow(clock: Arc<Clock>) {
    let mut every = tokio::time::interval(SAMPLE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut troubled = false;
    loop {
        every.tick().await;
        let verdict = clock.observe();
        let trouble = match verdict {
            Verdict::Steady | Verdict::Followed(_) => false,
            // A kernel that a daemon keeps synchronised is a second source; one that nobody keeps is not.
            Verdict::Doubted(_) if kernel_state().synchronized => {
                clock.confirm();
                false
            }
            Verdict::Doubted(_) | Verdict::Standing(_) => true,
        };
        if trouble == troubled {
            continue;
        }
        troubled = trouble;
        match verdict {
            Verdict::Doubted(ahead_us) => {
                tracing::warn!(ahead_ms = ahead_us / 1_000, "the wall clock jumped ahead; not followed until confirmed")
            }
            Verdict::Standing(behind_us) => {
                tracing::warn!(
                    behind_ms = behind_us / 1_000,
                    "the wall clock went back; timestamps stand until it is back"
                )
            }
            Verdict::Steady | Verdict::Followed(_) => tracing::info!("the wall clock is credible again"),
        }
    }
}
