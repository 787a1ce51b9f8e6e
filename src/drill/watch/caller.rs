//! A plain client behind the caching resolver: looks the name up, connects, asks for one id, and forgets both.

use super::Log;
use crate::drill::record::{Call, End};
use crate::drill::stage::Sight;
use crate::fetch::fetch;
use crate::geodns::resolve::resolve;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const CALL_EVERY: Duration = Duration::from_millis(50);
const REQUEST_WITHIN: Duration = Duration::from_secs(1);
/// Requests at once; a client whose requests all hang sends no more.
const AT_ONCE: usize = 100;

/// Sends a request every 50 ms, for ever, whatever becomes of earlier ones.
pub async fn call(sight: Sight, client: usize, address: IpAddr, log: Log, ids: mpsc::Sender<u64>) {
    let mut every = interval(CALL_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    loop {
        every.tick().await;
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await;
        }
        let (sight, log, ids) = (sight.clone(), log.clone(), ids.clone());
        under_way.spawn(async move {
            let at_s = log.now_s();
            let (to, end) = request(&sight, address, &ids).await;
            let ended_s = log.now_s();
            log.note(|record| record.call(Call { at_s, client, to, end }, ended_s));
        });
    }
}

async fn request(sight: &Sight, client: IpAddr, ids: &mpsc::Sender<u64>) -> (Option<usize>, End) {
    let resolved = resolve(sight.resolver, client, &sight.topology.dns.name, REQUEST_WITHIN).await;
    let Some(address) = resolved.ok().and_then(|answer| answer.addresses.first().copied()) else {
        return (None, End::Dropped);
    };
    let to = sight.owner(address);
    let Some(public) = to.and_then(|to| sight.places[to].public.iter().find(|public| public.ip() == address)) else {
        return (to, End::Dropped);
    };
    (to, id(sight, *public, ids).await)
}

async fn id(sight: &Sight, public: SocketAddr, ids: &mpsc::Sender<u64>) -> End {
    #[derive(serde::Deserialize)]
    struct Answer {
        id: String,
    }
    match fetch(&format!("http://{public}/api/v1/id"), REQUEST_WITHIN).await {
        Ok((status, body)) if status.is_success() => {
            let answer: Option<Answer> = serde_json::from_slice(&body).ok();
            let id = answer.and_then(|answer| answer.id.parse().ok());
            let Some((id, maker)) = id.and_then(|id| Some((id, sight.maker(id)?))) else { return End::Dropped };
            let _ = ids.send(id).await; // the ledger outlives all who draw
            End::Served(maker)
        }
        Ok((status, _)) if status == 429 || status == 503 => End::Refused,
        Ok(_) | Err(_) => End::Dropped,
    }
}
