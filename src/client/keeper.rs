//! The one task of a client: keeps the stock filled, makes trials, follows names, closes what is idle.
//!
//! All other tasks are children of it, and end with it.

use super::draw::draw;
use super::error::Error;
use super::prefetch::Prefetcher;
use super::regions::Regions;
use super::{Shared, dns};
use crate::clock;
use crate::id::IdRange;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Between two looks at the rate while the client is used; more often where ids may not grow old.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// After a request that failed although it had all its time.
const PAUSE: Duration = Duration::from_millis(50);

/// How long after the last request trials go on. An idle client asks nobody.
const TRIALS_FOR: Duration = Duration::from_secs(60);

struct Drawn {
    count: u32,
    begun: Instant,
    outcome: Result<Vec<IdRange>, Error>,
}

/// Nobody waits for ids that do not come, whatever ends the task, even before it began.
pub struct Closing(Arc<Shared>);

impl Closing {
    pub fn new(shared: Arc<Shared>) -> Closing {
        Closing(shared)
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Relaxed);
        self.0.filled.notify_waiters();
    }
}

pub async fn run(closing: Closing, regions: Regions) {
    let shared = closing.0.clone();
    let mut names = JoinSet::new();
    follow_names(&shared, &regions, &mut names);
    let mut draws: JoinSet<Drawn> = JoinSet::new();
    let mut trials: JoinSet<()> = JoinSet::new();
    let mut prefetcher = Prefetcher::new(shared.settings.prefetch, Instant::now().into_std());
    let look_every = LOOK_EVERY.min(shared.settings.prefetch.max_age / 8);
    let mut drawing = 0_u64;
    let mut not_before = Instant::now();
    let mut last_draw: Option<Instant> = None;
    loop {
        let now = Instant::now();
        let mut wake = shared.roster.reap(now);
        let mut wake_at = |at: Option<Instant>| wake = [wake, at].into_iter().flatten().min();

        let us = clock::coarse_us();
        let expiry = shared.stock.expire(us);
        wake_at(expiry.map(|at| now + Duration::from_micros(at.saturating_sub(us))));

        let demand = shared.demand.load(Acquire);
        if demand > 0 || shared.missed.swap(false, AcqRel) {
            prefetcher.touch(now.into_std());
        }
        let target = prefetcher.target(shared.stock.used().0, now.into_std());
        shared.stock.set_low(target.div_ceil(2));
        if target > 0 {
            wake_at(Some(now + look_every));
        }
        let mut want = want(target, demand, shared.stock.left() + drawing);
        if want > 0 && now < not_before {
            wake_at(Some(not_before));
            want = 0;
        }
        while want > 0 && draws.len() < shared.settings.connections {
            let count = want.min(shared.settings.prefetch.per_request.into()) as u32;
            let (shared, begun) = (shared.clone(), now);
            draws.spawn(async move { Drawn { count, begun, outcome: draw(&shared, count).await } });
            drawing += u64::from(count);
            want -= u64::from(count);
            last_draw = Some(now);
        }

        if last_draw.is_some_and(|last| now - last < TRIALS_FOR) {
            for endpoint in shared.roster.due(now) {
                shared.sums.trials.fetch_add(1, Relaxed);
                let shared = shared.clone();
                // The id is a gap: what counts is that it came.
                trials.spawn(async move {
                    let _ = shared.roster.ask(&endpoint, 1, Instant::now() + shared.settings.attempt_timeout).await;
                });
            }
            wake_at(shared.roster.next_due());
        }

        let wake = wake.unwrap_or(now + TRIALS_FOR);
        tokio::select! {
            Some(drawn) = draws.join_next() => {
                let Ok(Drawn { count, begun, outcome }) = drawn else { return }; // a bug, and said so already
                drawing -= u64::from(count);
                match outcome {
                    Ok(ranges) => {
                        let best_before = clock::coarse_us() + shared.settings.prefetch.max_age.as_micros() as u64;
                        shared.stock.push(&ranges, best_before);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a request for ids failed");
                        shared.sums.failed.fetch_add(1, Relaxed);
                        shared.fail(begun, error);
                        not_before = Instant::now() + PAUSE;
                    }
                }
                shared.filled.notify_waiters();
            }
            Some(_) = trials.join_next() => {}
            () = shared.wake.notified() => {}
            () = sleep_until(wake.max(now + Duration::from_millis(1))) => {}
        }
    }
}

/// How many ids to draw now. `coming`: at hand or on their way.
fn want(target: u64, demand: u64, coming: u64) -> u64 {
    let low = coming < target.div_ceil(2) || coming < demand;
    if low { target.max(demand + target.div_ceil(2)).saturating_sub(coming) } else { 0 }
}

fn follow_names(shared: &Arc<Shared>, regions: &Regions, names: &mut JoinSet<()>) {
    let mut resolver = None;
    for (number, region) in regions.0.iter().enumerate() {
        for (place, site) in region.sites.iter().enumerate() {
            if site.source.host.parse::<IpAddr>().is_ok() {
                continue;
            }
            let resolver = resolver.get_or_insert_with(|| dns::resolver(&shared.settings.nameservers).map(Arc::new));
            match resolver {
                Ok(resolver) => {
                    let (resolver, roster) = (resolver.clone(), shared.roster.clone());
                    names.spawn(dns::follow(resolver, roster, number, place, site.source.clone()));
                }
                Err(why) => shared.roster.set_trouble(number, Some(why.clone())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::want;

    #[test]
    fn draws_at_half_and_at_once_for_those_who_wait() {
        assert_eq!(want(0, 0, 0), 0, "nobody uses it");
        assert_eq!(want(64, 0, 0), 64);
        assert_eq!(want(64, 0, 32), 0);
        assert_eq!(want(64, 0, 31), 33);
        assert_eq!(want(64, 1_000, 40), 992, "what is waited for, and half as much as is held");
        assert_eq!(want(64, 1_000, 1_000), 0, "on its way already");
    }
}
