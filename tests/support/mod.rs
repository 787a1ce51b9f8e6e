//! What integration tests share: real ZooKeeper servers, a network that breaks on command, the real binary and those
//! who draw ids from it, and waiting for conditions.
//!
//! Nothing here skips or sleeps for luck: what is missing panics with its remedy, what should happen has a deadline.

// Every test binary compiles all of it and uses a part.
#![allow(dead_code, unused_imports)]

mod balancer;
mod caller;
mod clock;
mod disk;
mod drawing;
mod ensemble;
pub mod failover;
mod fleet;
pub mod flood;
mod node;
pub mod peer;
pub mod program;
mod proxy;
pub mod scene;
pub mod tree;
pub mod web;

pub use balancer::{Balancer, PROBE_EVERY};
pub use caller::{Caller, Reply};
pub use clock::WallClock;
pub use disk::FullDisk;
pub use drawing::{Drawing, Drawn, Refused, assert_unique, ranges_of};
pub use ensemble::{Ensemble, Settings, own_address, spawn_for_life};
pub use fleet::{EPOCH_UNIX_MS, Numbers};
pub use node::{Launch, Node, meridian};
pub use proxy::{Proxy, Way, drop_syns};

use std::time::{Duration, Instant};

/// Far beyond what anything takes, so that a slow machine is not a failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until the condition gives a value; panics with `what` after the deadline.
pub async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same, where there is no runtime.
pub fn block_until<T>(what: impl std::fmt::Display, condition: impl FnMut() -> Option<T>) -> T {
    block_for(DEADLINE, what, condition)
}

/// The same, for what takes its time.
pub fn block_for<T>(deadline: Duration, what: impl std::fmt::Display, condition: impl FnMut() -> Option<T>) -> T {
    wait_within(deadline, condition).unwrap_or_else(|| panic!("waited {deadline:?} in vain: {what}"))
}

/// Waits until the condition gives a value, and `None` when it does not in time.
pub fn wait_within<T>(bound: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if started.elapsed() >= bound {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}
