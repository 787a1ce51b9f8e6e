//! The desk where ids are handed out: whoever asks, by whatever protocol, passes the same limits, and what became of the
//! request is recorded in one place.

use crate::clock::boot_us;
use crate::histogram::Histogram;
use crate::issuer::{self, Issued, Issuer};
use crate::load::{Load, Shed, Stream, Why};
use crate::outcomes::{Outcome, Outcomes};
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Hands out ids within the limits of this node.
#[derive(Debug)]
pub struct Desk {
    issuer: Arc<Issuer>,
    load: Arc<Load>,
    outcomes: Arc<Outcomes>,
    latency: Histogram,
    /// This node would like its clients elsewhere, and still serves them.
    leaving: AtomicBool,
    /// This node is on its way out.
    stopping: AtomicBool,
}

/// Longer answers are long ones: of those there is a bound of its own, since they stay in memory for as long as their client
/// takes to read them.
pub const LONG_BYTES: u64 = 32 * 1024;

/// How long a batch of a stream goes on asking while the worker is ahead of the clock by all that is allowed.
const BATCH_PATIENCE: Duration = Duration::from_secs(5);

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
        let latency = Histogram::new(Duration::from_micros(10), 18);
        registry.register_with_unit(
            "id_generation_latency",
            "Time from request read to answer ready, without the wait the number of ids demands of the format",
            Unit::Seconds,
            latency.clone(),
        );
        let [leaving, stopping] = [(); 2].map(|()| AtomicBool::new(false));
        Desk { issuer, load, outcomes, latency, leaving, stopping }
    }

    /// Whether clients are to go elsewhere while they are still served.
    pub fn lame_duck(&self, leaving: bool) {
        self.leaving.store(leaving, Relaxed);
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// From now on, having no lease is because of the shutdown.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Counts somebody out whose connection is over the limit.
    pub fn turn_away(&self) -> Shed {
        self.load.shed(Why::Connections)
    }

    /// The right to send an answer for as long as it takes; never waits.
    pub fn stream(&self) -> Result<Stream, Shed> {
        self.load.stream()
    }

    /// The next ids of a stream, for somebody who holds the right to send one. What is asked of a worker too far ahead of the
    /// clock is asked again when it said, for a while.
    pub async fn batch(&self, count: u32, within: impl Fn() -> Duration) -> Result<Issued, Refused> {
        let first = boot_us();
        let mut started = first;
        loop {
            let drawn = self.issuer.issue_in_turn(count, within()).await;
            if let Err(issuer::Refused::Ahead(by)) = drawn {
                let by = by.max(Duration::from_millis(1));
                let asked = Duration::from_micros((boot_us() - first).max(0) as u64);
                if asked + by < BATCH_PATIENCE {
                    tokio::time::sleep(by).await;
                    started = boot_us();
                    continue;
                }
            }
            let drawn = drawn.map_err(Refused::Issuer);
            self.record(started, drawn.as_ref().map(|issued| issued.waited).map_err(|refused| *refused));
            return drawn;
        }
    }

    /// One id, if it is there now and nobody stands in the queue. `None`: [`Desk::draw`] waits for it, or says why there is none.
    pub fn draw_now(&self) -> Option<u64> {
        if self.load.is_full() {
            return None;
        }
        let (id, started_us) = self.issuer.issue_now()?;
        self.record(started_us as i64, Ok(Duration::ZERO));
        Some(id)
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
                self.latency.observe(took);
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
