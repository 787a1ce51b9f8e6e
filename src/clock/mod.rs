//! The only reader of any clock. Everybody else is handed a [`Now`] or a [`Reading`].
//!
//! Clocks are read through libc, so that libfaketime can lie to one process in a test.

mod credible;
mod follow;
mod kernel;
mod now;

pub use credible::{Anchor, Credible, Reading, STEP_US, Verdict};
pub use follow::{Following, follow};
pub use kernel::{KernelState, kernel_state};
pub use now::Now;

use crate::id::Millis;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Duration;

/// How often REALTIME is compared with BOOTTIME. Between two looks time goes on at BOOTTIME's pace.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// `standing_us` in the atomic: the wall clock is followed.
const FOLLOWING: i64 = i64::MIN;

/// The process's clock. Readers on the hot path do one BOOTTIME read and two loads.
#[derive(Debug)]
pub struct Clock {
    epoch_unix_us: i64,
    /// The anchor, of times since the epoch.
    offset_us: AtomicI64,
    standing_us: AtomicI64,
    credible: Mutex<Credible>,
}

impl Clock {
    /// `epoch_unix_ms`: the manifest's epoch, since 1970.
    pub fn start(epoch_unix_ms: i64) -> Clock {
        let credible = Credible::new(read());
        let epoch_unix_us = epoch_unix_ms * 1_000;
        let anchor = credible.anchor().since(epoch_unix_us);
        Clock {
            epoch_unix_us,
            offset_us: AtomicI64::new(anchor.offset_us),
            standing_us: AtomicI64::new(anchor.standing_us.unwrap_or(FOLLOWING)),
            credible: Mutex::new(credible),
        }
    }

    /// The offset is written before and read after the standing time: who sees a clock that is followed again also sees
    /// the offset it is followed by, and never an earlier one that is a whole step ahead.
    #[inline]
    pub fn now(&self) -> Now {
        let boot_us = boot_us();
        let standing_us = self.standing_us.load(Acquire);
        let pace_us = boot_us + self.offset_us.load(Relaxed);
        if standing_us != FOLLOWING || (pace_us | boot_us) < 0 {
            return seldom(boot_us, pace_us, standing_us);
        }
        let [pace_us, boot_us] = [pace_us, boot_us].map(|us| us as u64);
        Now { credible_us: pace_us, pace_us, boot_us }
    }

    /// Compares REALTIME with BOOTTIME; called every [`SAMPLE_EVERY`].
    pub fn observe(&self) -> Verdict {
        self.fold(|credible, reading| credible.observe(reading))
    }

    /// A second source vouches for REALTIME as it is now.
    pub fn confirm(&self) {
        self.fold(|credible, reading| credible.confirm(reading));
    }

    /// The time is this, in milliseconds since 1970. See [`Credible::start_again`].
    pub fn start_again(&self, unix_ms: f64) {
        let real_us = (unix_ms * 1_000.0) as i64;
        self.fold(|credible, Reading { boot_us, .. }| credible.start_again(Reading { real_us, boot_us }));
    }

    /// How far REALTIME is from what this process believes, in milliseconds (positive: ahead).
    pub fn deviation_ms(&self) -> f64 {
        let credible = self.credible.lock().expect("no holder of this lock panics");
        credible.deviation_us(read()) as f64 / 1_000.0
    }

    /// Milliseconds since the epoch of a wall clock time since 1970.
    pub fn millis_of(&self, unix_ms: i64) -> Millis {
        Millis((unix_ms - self.epoch_unix_us / 1_000).max(0) as u64)
    }

    /// Wall clock time since 1970 of a timestamp.
    pub fn unix_ms_of(&self, at: Millis) -> i64 {
        at.0 as i64 + self.epoch_unix_us / 1_000
    }

    fn fold<T>(&self, change: impl FnOnce(&mut Credible, Reading) -> T) -> T {
        let mut credible = self.credible.lock().expect("no holder of this lock panics");
        let result = change(&mut credible, read());
        let anchor = credible.anchor().since(self.epoch_unix_us);
        self.offset_us.store(anchor.offset_us, Relaxed);
        self.standing_us.store(anchor.standing_us.unwrap_or(FOLLOWING), Release);
        result
    }
}

/// While the clock stands, or before the epoch. Out of the way, so that nobody who follows the clock waits for a choice.
#[cold]
fn seldom(boot_us: i64, pace_us: i64, standing_us: i64) -> Now {
    let credible_us = if standing_us == FOLLOWING { pace_us } else { standing_us };
    let [credible_us, pace_us, boot_us] = [credible_us, pace_us, boot_us].map(|us| us.max(0) as u64);
    Now { credible_us, pace_us, boot_us }
}

/// REALTIME, raw, in microseconds since 1970: for people and for measuring offsets, never for ids.
pub fn real_us() -> i64 {
    clock_us(libc::CLOCK_REALTIME)
}

/// Microseconds since boot, suspended time included.
#[inline]
pub fn boot_us() -> i64 {
    clock_us(libc::CLOCK_BOOTTIME)
}

/// Microseconds since boot without suspended time, some milliseconds behind: for ages, where a read must cost little.
#[inline]
pub fn coarse_us() -> u64 {
    clock_us(libc::CLOCK_MONOTONIC_COARSE).max(0) as u64
}

/// REALTIME as RFC 3339, for payloads people read.
pub fn timestamp() -> String {
    rfc3339(real_us() / 1_000)
}

/// Milliseconds since 1970 as RFC 3339 with milliseconds.
pub fn rfc3339(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => format!("{unix_ms} ms since 1970"),
    }
}

/// Both clocks, read close together: a reading the scheduler tore apart is taken again.
fn read() -> Reading {
    for _ in 0..3 {
        let before = boot_us();
        let real_us = real_us();
        let after = boot_us();
        if after - before < 200 {
            return Reading { real_us, boot_us: before + (after - before) / 2 };
        }
    }
    Reading { real_us: real_us(), boot_us: boot_us() }
}

#[inline]
fn clock_us(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call; these clock ids exist on every Linux this runs on.
    let result = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(result, 0, "clock_gettime({id})");
    time.tv_sec * 1_000_000 + i64::from(time.tv_nsec as u32 / 1_000) // less than a second's, and quicker to divide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seldom_is_told_as_what_is_common() {
        let now = |credible_us, pace_us, boot_us| Now { credible_us, pace_us, boot_us };
        assert_eq!(seldom(3_000, 9_000, 5_000), now(5_000, 9_000, 3_000), "the clock stands");
        assert_eq!(seldom(3_000, -9_000, FOLLOWING), now(0, 0, 3_000), "before the epoch");
        assert_eq!(seldom(-3_000, 9_000, FOLLOWING), now(9_000, 9_000, 0));
    }

    #[test]
    fn time_counts_from_the_epoch_and_never_below_it() {
        let hour_ms = 3_600_000;
        let since = |epoch_unix_ms| Clock::start(epoch_unix_ms).now();
        let Now { credible_us, pace_us, boot_us } = since(real_us() / 1_000 - hour_ms);
        assert_eq!(credible_us, pace_us);
        assert!((3_600_000_000..3_700_000_000).contains(&credible_us) && boot_us > 0, "{credible_us} {boot_us}");
        let before = since(real_us() / 1_000 + hour_ms);
        assert_eq!((before.credible_us, before.pace_us), (0, 0));
    }
}
