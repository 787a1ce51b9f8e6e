//! The other regions, as this node sees them. Each is probed the way GeoDNS probes it; while one whose load comes here is
//! down, this region surges.
//!
//! Two sides that cannot see each other both surge, and that is all: nothing here gives or takes a slot or an id.

mod order;
mod probe;
mod surge;
mod verdict;

pub use order::{Declined, Order};
pub use probe::{Names, Target};
pub use verdict::{Thresholds, Verdict};

use crate::clock;
use crate::lease::keeper::Watched;
use crate::topology::spill::Routing;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use surge::{Done, Down};
use tokio::sync::{Notify, watch};
use tokio::time::MissedTickBehavior;
use verdict::Looks;

/// While a surge is wanted, this often it is seen to.
const EVERY: Duration = Duration::from_secs(1);

/// How peers are probed.
#[derive(Clone, Copy, Debug)]
pub struct Probing {
    pub interval: Duration,
    pub timeout: Duration,
    pub thresholds: Thresholds,
}

/// What is thought of a peer, and why.
#[derive(Clone, Debug)]
struct Opinion {
    verdict: Verdict,
    /// What the last look that mattered said.
    because: String,
}

/// This region among the others.
pub struct Peers {
    me: String,
    routing: Routing,
    opinions: watch::Sender<BTreeMap<String, Opinion>>,
    lease: Watched,
    /// Asks for a look at the region: its quota has changed.
    changed: Arc<Notify>,
    hold: Duration,
    metrics: Metrics,
}

#[derive(Default)]
struct Metrics {
    up: Family<PeerLabel, Gauge>,
    probes: Family<ProbeLabel, Counter>,
    surges: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    region: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProbeLabel {
    region: String,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types)]
enum Outcome {
    ok,
    failed,
}

impl Peers {
    /// `hold`: how long a surge lasts after the last look that wanted it.
    pub fn new(
        (me, routing): (String, Routing),
        (lease, changed): (Watched, Arc<Notify>),
        hold: Duration,
        registry: &mut Registry,
    ) -> Peers {
        let metrics = Metrics::default();
        registry.register("peer_up", "1 while the other region says that it is well", metrics.up.clone());
        registry.register("peer_probes", "Looks at other regions", metrics.probes.clone());
        registry.register("surges", "Surges that this node declared or renewed", metrics.surges.clone());
        let others = routing.routes().iter().map(|route| route.region.clone()).filter(|region| *region != me);
        let unknown = || Opinion { verdict: Verdict::Unknown, because: "it was not seen well yet".to_owned() };
        let opinions = watch::Sender::new(others.map(|region| (region, unknown())).collect());
        Peers { me, routing, opinions, lease, changed, hold, metrics }
    }

    /// Probes one peer, for ever.
    pub async fn probe(&self, region: String, mut target: Target, probing: Probing) {
        let mut looks = Looks::new(probing.thresholds);
        let mut every = tokio::time::interval(probing.interval);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let look = target.look(probing.timeout).await;
            let outcome = if look.is_ok() { Outcome::ok } else { Outcome::failed };
            self.metrics.probes.get_or_create(&ProbeLabel { region: region.clone(), outcome }).inc();
            if !looks.look(look.is_ok()) {
                continue;
            }
            let verdict = looks.verdict();
            self.metrics.up.get_or_create(&PeerLabel { region: region.clone() }).set((verdict == Verdict::Up).into());
            let because = look.err().unwrap_or_default();
            match verdict {
                Verdict::Up => tracing::info!(region, "the other region is up"),
                _ => tracing::warn!(region, because, "the other region is down"),
            }
            self.opinions.send_modify(|opinions| {
                opinions.insert(region.clone(), Opinion { verdict, because });
            });
        }
    }

    /// Surges whenever a region is down whose load comes here, for ever.
    pub async fn surge(&self) {
        let mut opinions = self.opinions.subscribe();
        let mut surging = false;
        loop {
            let down = down(&opinions.borrow_and_update());
            let some = down != Down::default();
            if some {
                let wanted = self.see_to(&down).await.unwrap_or(surging);
                if wanted != surging {
                    self.changed.notify_one();
                }
                surging = wanted;
            } else if surging {
                surging = false;
                tracing::info!(hold = ?self.hold, "the others are up; the surge ends when its hold is over");
            }
            tokio::select! {
                changed = opinions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(EVERY), if some => {}
            }
        }
    }

    /// Whether a surge is wanted; `None`: it could not be found out.
    async fn see_to(&self, down: &Down) -> Option<bool> {
        let session = self.lease.session()?;
        let now_ms = clock::real_us() / 1_000 + self.lease.offset_ms() as i64;
        let hold_ms = self.hold.as_millis() as i64;
        let seen_to = surge::see_to(&session, (&self.routing, &self.me), down, now_ms, hold_ms);
        match tokio::time::timeout(EVERY * 2, seen_to).await {
            Ok(Ok(Done::Declared)) => {
                self.metrics.surges.inc();
                tracing::warn!(?down, hold = ?self.hold, "surge: load of other regions comes here; standbys get slots");
                Some(true)
            }
            Ok(Ok(Done::Stands)) => Some(true),
            Ok(Ok(Done::NotWanted)) => Some(false),
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "whether to surge could not be seen to; trying again");
                None
            }
            Err(_) => {
                tracing::warn!("whether to surge could not be seen to in time; trying again");
                None
            }
        }
    }
}

fn down(opinions: &BTreeMap<String, Opinion>) -> Down {
    let of = |was_up| {
        let down = opinions.iter().filter(move |(_, opinion)| opinion.verdict == Verdict::Down { was_up });
        down.map(|(region, _)| region.clone()).collect()
    };
    Down { sure: of(true), maybe: of(false) }
}
