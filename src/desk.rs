//! The desk where ids are handed out: whoever asks, by whatever protocol, passes the same limits, and what became of the
//! request is recorded in one place.

use crate::clock::boot_us;
use crate::issuer::{self, Issued, Issuer};
use crate::load::{Load, Shed, Stream, Why};
use crate::outcomes::{Outcome, Outcomes};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::time::Duration;

/// Hands out ids within the limits of this node.
#[derive(Debug)]
pub struct Desk {
    issuer: Arc<Issuer>,
    load: Arc<Load>,
    outcomes: Arc<Outcomes>,
    latency: Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This node serves as much as it may.
    #[error(transparent)]
    Shed(#[from] Shed),
    #[error(transparent)]
    Issuer(#[from] issuer::Refused),
}

impl Refused {
    /// Load, not illness: never counts as a failure of the node.
    fn is_shedding(self) -> bool {
        matches!(self, Refused::Shed(_) | Refused::Issuer(issuer::Refused::Ahead(_)))
    }
}

impl Desk {
    pub fn new(issuer: Arc<Issuer>, load: Arc<Load>, outcomes: Arc<Outcomes>, registry: &mut Registry) -> Desk {
        let latency = Histogram::new(exponential_buckets(0.000_01, 2.0, 18));
        registry.register_with_unit(
            "id_generation_latency",
            "Time from request read to answer ready, without the wait the number of ids demands of the format",
            Unit::Seconds,
            latency.clone(),
        );
        Desk { issuer, load, outcomes, latency }
    }

    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Ids, and the right to send them if their answer is a `long` one. Refused at once if it is known to take longer than
    /// `within`.
    pub async fn draw(
        &self,
        count: u32,
        within: Duration,
        long: impl FnOnce(&Issued) -> bool,
    ) -> Result<(Issued, Option<Stream>), Refused> {
        let started = boot_us();
        let drawn = async {
            let _permit = self.load.enter().await?;
            let issued = self.issuer.issue_within(count, within).await?;
            let stream = if long(&issued) { Some(self.load.stream()?) } else { None };
            Ok((issued, stream))
        }
        .await;
        self.record(started, drawn.as_ref().map(|(issued, _)| issued.waited).map_err(|refused| *refused));
        drawn
    }

    /// What became of a request; served ones with the wait that the number of ids demanded of the format.
    fn record(&self, started: i64, result: Result<Duration, Refused>) {
        let now = boot_us();
        let outcome = match result {
            Ok(waited) => {
                let took = Duration::from_micros((now - started).max(0) as u64).saturating_sub(waited);
                self.latency.observe(took.as_secs_f64());
                Outcome::Served(took)
            }
            Err(refused) if refused.is_shedding() => {
                if let Refused::Issuer(_) = refused {
                    self.load.shed(Why::AheadOfClock);
                }
                Outcome::Shed
            }
            // The caller's limit, not the node's.
            Err(Refused::Issuer(issuer::Refused::Late)) => return,
            Err(_) => Outcome::Failed,
        };
        self.outcomes.record(now.max(0) as u64, outcome);
    }
}
