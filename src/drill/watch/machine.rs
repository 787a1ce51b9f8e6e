//! The machine itself: whether it stood still, or had more to do than it could. What a drill measures then is not the
//! fleet, so an act that broke a promise meanwhile is worth another try.

use super::Log;
use crate::drill::record::Breath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until it is dropped. A thread of its own: the drill's own tasks must not hold it up.
pub struct Watchdog(Arc<AtomicBool>);

impl Watchdog {
    pub fn start(log: Log) -> anyhow::Result<Watchdog> {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while !told.load(Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(LOOK_EVERY);
                let late_s = begun.elapsed().saturating_sub(LOOK_EVERY).as_secs_f64();
                let at_s = log.now_s();
                log.record().breaths.push(Breath { at_s, late_s, runnable: runnable() });
            }
        })?;
        Ok(Watchdog(ends))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Threads of the whole machine that run or want to: the fourth word of /proc/loadavg is `3/512`.
fn runnable() -> u32 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let word = text.split(' ').nth(3).and_then(|word| word.split('/').next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}
