//! One request for ids, with all its attempts: fails over at once, retries within the budget, ends at its deadline.

use super::Shared;
use super::error::Error;
use super::line::Miss;
use super::roster::{Choice, Endpoint, Tried, pause};
use crate::id::IdRange;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Draws `count` ids from whoever gives them.
///
/// # Cancel safety
/// Ids on their way are never given: a gap.
pub async fn draw(shared: &Shared, count: u32) -> Result<Vec<IdRange>, Error> {
    let settings = &shared.settings;
    let wait = settings.wait(count);
    let within = settings.deadline + wait;
    let begun = Instant::now();
    let until = begun + within;
    shared.sums.requests.fetch_add(1, Relaxed);
    shared.budget().deposit(begun.into_std());
    let mut tried = Tried::default();
    let mut rounds = 0;
    let mut last: Option<Arc<Endpoint>> = None;
    loop {
        let now = Instant::now();
        if now >= until {
            break;
        }
        let endpoint = match shared.roster.choose(now, &tried) {
            Choice::Ask(endpoint) => endpoint,
            Choice::Again => {
                tried.clear();
                rounds += 1;
                sleep_until(until.min(now + pause(rounds))).await;
                continue;
            }
            Choice::Rest(at) if at >= until => {
                return Err(Error::Shedding { retry_after: at - now });
            }
            Choice::Rest(at) => {
                tried.clear();
                sleep_until(at).await;
                continue;
            }
            Choice::Nobody => {
                let _ = timeout_at(until.min(now + pause(6)), shared.roster.changed.notified()).await;
                continue;
            }
        };
        if let Some(before) = &last {
            if !leave(shared, until).await {
                break;
            }
            shared.sums.retries.fetch_add(1, Relaxed);
            shared.sums.failovers.fetch_add(u64::from(before.region != endpoint.region), Relaxed);
        }
        let attempt = until.min(Instant::now() + settings.attempt_timeout + wait);
        match shared.roster.ask(&endpoint, count, attempt).await {
            Ok(ranges) => return Ok(ranges),
            Err(miss) => {
                let Miss { kind, detail, .. } = miss;
                let (region, address) = (shared.roster.region_name(endpoint.region), endpoint.address());
                shared.note(format!("{address} in {region} said last: {kind}: {detail}"));
                tried.add(endpoint.clone());
                last = Some(endpoint);
            }
        }
    }
    Err(Error::Unavailable { within, cause: shared.cause(begun) })
}

/// Waits for the budget to allow a retry. `false`: not before the end.
async fn leave(shared: &Shared, until: Instant) -> bool {
    let mut waited = false;
    loop {
        let now = Instant::now();
        let Err(wait) = shared.budget().withdraw(now.into_std()) else { return true };
        if !std::mem::replace(&mut waited, true) {
            shared.sums.budget_waits.fetch_add(1, Relaxed);
        }
        if now + wait >= until {
            return false;
        }
        sleep_until(now + wait).await;
    }
}
