//! Builds with the feature `broken` only: which flaw a node is asked to have, and how it says so.

use super::Failed;
use crate::lease::state::Settings;

const VARIABLE: &str = "MERIDIAN_BROKEN";

/// The lease's settings with the flaw that the environment names, if any. A build like this never starts in silence.
pub fn settings(settings: Settings) -> anyhow::Result<Settings> {
    let flaw = match std::env::var(VARIABLE) {
        Ok(name) => Some(name.parse().map_err(|why| Failed::usage(format!("{VARIABLE}={name:?}: {why}")))?),
        Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(Failed::usage(format!("{VARIABLE}: {error}"))),
    };
    match flaw {
        Some(flaw) => tracing::warn!(%flaw, "THIS NODE IS BROKEN ON PURPOSE: IT GIVES IDS TWICE; for tests only"),
        None => tracing::warn!("this build can be broken on purpose ({VARIABLE}); for tests only"),
    }
    Ok(Settings { flaw, ..settings })
}
