//! Orders of an operator that a node carries out for its region: drain, and its end.

use super::{Peers, Verdict};
use crate::clock;
use crate::lease::coordination::{Failure, Refusal};
use crate::lease::znode::{self, Drain};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Drain {
        by: String,
        reason: String,
        /// Even if no other region is well.
        force: bool,
    },
    Undrain,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// What the others are.
    #[error("no other region is well: {0}; force drains it all the same")]
    LastHealthy(String),
    #[error(
        "the nodes of this region may not drain it: its tree was made with an admin identity; use `meridian drain`"
    )]
    NotAuthorised,
    #[error("{0}")]
    Unavailable(String),
}

impl Peers {
    /// Carries out an order. The drain that is in force then, if any.
    pub async fn order(&self, order: Order) -> Result<Option<Drain>, Declined> {
        let drain = match order {
            Order::Undrain => None,
            Order::Drain { by, reason, force } => {
                let others = self.opinions.borrow().clone();
                if !force && others.values().all(|other| other.verdict != Verdict::Up) {
                    let why: Vec<String> =
                        others.iter().map(|(region, o)| format!("{region}: {}", o.because)).collect();
                    return Err(Declined::LastHealthy(why.join("; ")));
                }
                Some(Drain { v: znode::VERSION, by, reason, since: clock::timestamp() })
            }
        };
        let session = self
            .lease
            .session()
            .ok_or_else(|| Declined::Unavailable("no session with the coordination service".to_owned()))?;
        match tokio::time::timeout(WITHIN, session.set_drain(drain.as_ref())).await {
            Ok(Ok(())) => {
                match &drain {
                    Some(Drain { by, reason, .. }) => tracing::warn!(by, reason, "the region is drained"),
                    None => tracing::info!("the region is no longer drained"),
                }
                Ok(drain)
            }
            Ok(Err(Failure::Refused(Refusal::NoAuth))) => Err(Declined::NotAuthorised),
            Ok(Err(failure)) => Err(Declined::Unavailable(failure.to_string())),
            Err(_) => Err(Declined::Unavailable(format!("no answer within {WITHIN:?}"))),
        }
    }
}
