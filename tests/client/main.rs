//! The regional client against real nodes that crash, hang and come back, against fakes that misbehave, and by DNS.

#[path = "../support/mod.rs"]
mod support;

mod behaviour;
mod command;
mod fake;
mod misbehaved;
mod names;
mod regions;

use meridian::client::{Client, Counters, EndpointCounters, Prefetch, Settings};
use std::time::Duration;

/// Patient enough for a busy machine, and nothing held beyond what is asked for: each id is a request or two.
fn direct() -> Settings {
    let prefetch = Prefetch { min: 1, horizon: Duration::ZERO, ..Prefetch::default() };
    Settings { deadline: support::DEADLINE, prefetch, ..Settings::default() }
}

/// The same as users have it, with a long deadline.
fn prefetching() -> Settings {
    Settings { deadline: support::DEADLINE, ..Settings::default() }
}

fn of<'a>(counters: &'a Counters, region: &str) -> &'a EndpointCounters {
    let found = counters.endpoints.iter().find(|endpoint| endpoint.region == region);
    found.unwrap_or_else(|| panic!("{region}: {counters:?}"))
}

async fn draw(client: &Client, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(client.next_id().await.unwrap_or_else(|error| panic!("{error}: {:?}", client.counters())));
    }
    ids
}

fn datacenter(id: u64) -> u16 {
    meridian::id::SNOWFLAKE64.decode(id).expect("an id of the layout").origin.datacenter
}
