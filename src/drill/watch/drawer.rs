//! A client with a list of regions, the one this project ships: steady draws.

use super::Log;
use crate::client::{Client, Regions, Settings};
use crate::drill::record::Draw;
use crate::drill::stage::Sight;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

const DRAW_EVERY: Duration = Duration::from_millis(20);

/// The client as the manifest makes it for a region, with the stage's addresses.
pub fn client(sight: &Sight, own: &str) -> anyhow::Result<Client> {
    let wished = Regions::of(&sight.topology, own)?;
    let mut regions = Regions::new();
    for name in wished.names() {
        if let Some(spot) = sight.places.iter().find(|spot| spot.region == name) {
            regions = regions.region(name, spot.public.iter().map(|public| format!("http://{public}")))?;
        }
    }
    let settings = Settings { layout: sight.topology.layout, ..Settings::default() };
    Ok(Client::with(regions, settings)?)
}

/// Takes an id every 20 ms, for ever. A draw that waits holds up the next, as in a program of one thread.
pub async fn draw(ids: Client, client: usize, log: Log, ledger: mpsc::Sender<u64>) {
    let mut every = interval(DRAW_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let (at_s, begun) = (log.now_s(), Instant::now());
        let drawn = ids.next_id().await;
        let took_s = begun.elapsed().as_secs_f64();
        log.record().draw(Draw { at_s, client, took_s, served: drawn.is_ok() });
        if let Ok(id) = drawn {
            let _ = ledger.send(id).await; // it outlives all who draw
        }
    }
}
