//! The authoritative server, asked in the place of clients of each network.

use super::Log;
use crate::drill::record::{Look, Shares};
use crate::drill::stage::Sight;
use crate::geodns::ask::{Question, ask};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const ASK_EVERY: Duration = Duration::from_millis(75);
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const SAMPLE_WITHIN: Duration = Duration::from_secs(2);

/// Enough for a share to be known to a point and a half of a hundred, nearly always.
const SAMPLES: u32 = 4_000;
/// Of those who are sent to one region only.
const FEW_SAMPLES: u32 = 50;
/// Questions at once.
const AT_ONCE: usize = 32;

/// Asks for ever on behalf of a region's clients.
pub async fn watch(sight: Sight, network: usize, subnet: (IpAddr, u8), log: Log) {
    let mut every = interval(ASK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let at_s = log.now_s();
        let answered = answer(&sight, subnet, ANSWER_WITHIN).await;
        log.note(|record| record.look(Look { at_s, network, answered }));
    }
}

async fn answer(sight: &Sight, subnet: (IpAddr, u8), within: Duration) -> Option<usize> {
    let question = Question { server: sight.authority, name: &sight.topology.dns.name, ipv4: true, subnet };
    let answer = ask(&question, within).await.ok()?;
    sight.owner(*answer.addresses.first()?)
}

/// Asks some thousand times for the clients of lost regions, and a few times for the others.
pub async fn sample(sight: &Sight, down: &[usize]) -> Shares {
    let mut shares = Shares::default();
    for (network, spot) in sight.places.iter().enumerate() {
        let Some((_, subnet)) = spot.client else { continue };
        let mut left = if down.contains(&network) { SAMPLES } else { FEW_SAMPLES };
        let answers = shares.answers.entry(network).or_default();
        let mut asked = JoinSet::new();
        while left > 0 || !asked.is_empty() {
            while left > 0 && asked.len() < AT_ONCE {
                left -= 1;
                let sight = sight.clone();
                asked.spawn(async move { answer(&sight, subnet, SAMPLE_WITHIN).await });
            }
            if let Some(Ok(Some(region))) = asked.join_next().await {
                *answers.entry(region).or_default() += 1;
            }
        }
    }
    shares
}
