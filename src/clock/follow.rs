//! Looking at the wall clock again and again, so that a step of it is seen before it matters.

use super::{Clock, SAMPLE_EVERY, Verdict, kernel_state};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Thread};

/// A clock is observed until this is dropped.
#[derive(Debug)]
pub struct Following {
    over: Arc<AtomicBool>,
    thread: Thread,
}

/// Observes a clock, and says so in the log when the wall clock misbehaves and when it is well again. On a thread of its own:
/// a runtime that has much to do would look late.
pub fn follow(clock: Arc<Clock>) -> io::Result<Following> {
    let over = Arc::new(AtomicBool::new(false));
    let seen = over.clone();
    let follower = move || {
        let mut troubled = false;
        while !seen.load(Relaxed) {
            troubled = look(&clock, troubled);
            thread::park_timeout(SAMPLE_EVERY);
        }
    };
    let thread = thread::Builder::new().name("clock".to_owned()).spawn(follower)?;
    Ok(Following { over, thread: thread.thread().clone() })
}

impl Drop for Following {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        self.thread.unpark();
    }
}

/// Whether the wall clock misbehaves.
fn look(clock: &Clock, troubled: bool) -> bool {
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
    if trouble != troubled {
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
    trouble
}
