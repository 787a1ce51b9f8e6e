//! What regions say of themselves at their own address, what nodes measure, and which standbys come in.

use super::Log;
use crate::drill::record::Change;
use crate::drill::stage::balancer::is_ready;
use crate::drill::stage::{Seat, Sight, Spot};
use crate::fetch::fetch;
use crate::render::REGION_HEALTH_PATH;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const VERDICT_EVERY: Duration = Duration::from_millis(200);
const VERDICT_WITHIN: Duration = Duration::from_secs(1);
const METRICS_EVERY: Duration = Duration::from_secs(1);
const METRICS_CLOSELY: Duration = Duration::from_millis(100);
const METRICS_WITHIN: Duration = Duration::from_secs(1);
const STANDBY_EVERY: Duration = Duration::from_millis(50);

/// Asks a region for its health as GeoDNS does, for ever, only more often.
pub async fn verdicts(spot: Spot, region: usize, log: Log) {
    let Some(address) = spot.public.first() else { return };
    let url = format!("http://{address}{REGION_HEALTH_PATH}");
    let mut every = interval(VERDICT_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let ready = spot.seats.iter().filter(|seat| seat.ready.load(Relaxed)).count();
        log.change(Change::Ready { region, nodes: ready as u32 });
        let well = fetch(&url, VERDICT_WITHIN).await.is_ok_and(|(status, _)| status == 200);
        log.change(Change::Verdict { region, well });
    }
}

/// Reads the metrics of a region's nodes, for ever: now and then, and often while it matters.
pub async fn metrics(sight: Sight, region: usize, log: Log) {
    loop {
        let begun = Instant::now();
        let mut reads = JoinSet::new();
        for seat in sight.places[region].seats.iter() {
            let seat = Arc::clone(seat);
            reads.spawn(async move { gauges(&seat).await });
        }
        let read: Vec<Gauges> = reads.join_all().await.into_iter().flatten().collect();
        note(&sight, region, &read, &log);
        let pause = if log.closely() { METRICS_CLOSELY } else { METRICS_EVERY };
        sleep(pause.saturating_sub(begun.elapsed())).await;
    }
}

/// What is read of one node.
#[derive(Debug, Default, PartialEq)]
struct Gauges {
    live: Option<u32>,
    surge: bool,
    /// By region.
    peers: BTreeMap<String, bool>,
}

async fn gauges(seat: &Seat) -> Option<Gauges> {
    let (status, body) = fetch(&format!("http://{}/metrics", seat.ops), METRICS_WITHIN).await.ok()?;
    status.is_success().then(|| parse(&String::from_utf8_lossy(&body)))
}

fn parse(text: &str) -> Gauges {
    let mut gauges = Gauges::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        match name {
            "meridian_region_workers_live" => gauges.live = value.parse().ok(),
            "meridian_region_surge" => gauges.surge = value == "1",
            _ => {
                let peer = name.strip_prefix("meridian_peer_up{region=\"").and_then(|rest| rest.split('"').next());
                if let Some(peer) = peer {
                    gauges.peers.insert(peer.to_owned(), value == "1");
                }
            }
        }
    }
    gauges
}

/// One node that holds a peer for lost is enough, and one that knows of the surge: it is in force for all.
fn note(sight: &Sight, region: usize, read: &[Gauges], log: &Log) {
    if read.is_empty() {
        return;
    }
    if let Some(live) = read.iter().filter_map(|gauges| gauges.live).max() {
        log.change(Change::Workers { region, live });
    }
    for (peer, spot) in sight.places.iter().enumerate() {
        let said: Vec<bool> = read.iter().filter_map(|gauges| gauges.peers.get(&spot.region).copied()).collect();
        if !said.is_empty() {
            log.change(Change::Peer { by: region, peer, up: said.iter().all(|up| *up) });
        }
    }
    // It is over when those it brought in have left: only then can they be brought in again.
    let ready = sight.places[region].seats.iter().filter(|seat| seat.ready.load(Relaxed)).count();
    let crowded = ready > sight.places[region].workers;
    log.change(Change::Surge { region, on: crowded || read.iter().any(|gauges| gauges.surge) });
}

/// Watches the nodes of a region that stand by now, and takes an id of each as soon as it is ready.
pub async fn standbys(sight: Sight, region: usize, log: Log, ids: mpsc::Sender<u64>) {
    let mut waiting: Vec<Arc<Seat>> = Vec::new();
    for seat in &sight.places[region].seats {
        if !is_ready(seat).await {
            waiting.push(seat.clone());
        }
    }
    while !waiting.is_empty() {
        let mut still = Vec::new();
        for seat in waiting {
            match is_ready(&seat).await {
                true => issued(&sight, region, &seat, &log, &ids).await,
                false => still.push(seat),
            }
        }
        waiting = still;
        sleep(STANDBY_EVERY).await;
    }
}

async fn issued(sight: &Sight, region: usize, seat: &Seat, log: &Log, ids: &mpsc::Sender<u64>) {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: String,
    }
    let Ok((_, body)) = fetch(&format!("http://{}/api/v1/id", seat.http), METRICS_WITHIN).await else { return };
    let Ok(Answer { id }) = serde_json::from_slice(&body) else { return };
    let Ok(id) = id.parse::<u64>() else { return };
    if let Some(parts) = sight.topology.layout.decode(id) {
        let worker = parts.origin.worker;
        let at_s = log.now_s();
        log.note(|record| Some(record.event(at_s, Change::Standby { region, worker })));
        let _ = ids.send(id).await; // the ledger outlives all who draw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_by_their_names() {
        let text = "# TYPE meridian_region_surge gauge\nmeridian_region_surge 1\nmeridian_region_workers_live 4\n\
                    meridian_peer_up{region=\"us-east\"} 0\nmeridian_peer_up{region=\"apac\"} 1\nother 3\n# EOF\n";
        let peers = [("apac".to_owned(), true), ("us-east".to_owned(), false)].into();
        assert_eq!(parse(text), Gauges { live: Some(4), surge: true, peers });
        assert_eq!(parse(""), Gauges::default());
    }
}
