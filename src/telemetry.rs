//! Logs: to stderr, for people on a terminal and as JSON for machines elsewhere. Colour only on a terminal.

use std::io::IsTerminal;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Starts logging. `filter`: levels, of all or of a module and what is below it, for instance `info,meridian=debug`. It could be
/// told by spans and fields too, at the price of a whole engine of regular expressions in every node.
pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter: Targets = filter.parse().map_err(|error| {
        anyhow::anyhow!("log filter {filter:?}: {error}; write for instance info or meridian=debug")
    })?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        // Not this one's own limit, but the filter's.
        .with_max_level(LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would report a failed write by `eprintln!`, which panics: a node must outlive the reader of its logs.
        .log_internal_errors(false);
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let started = match text {
        true => lines.with_ansi(terminal).finish().with(filter).try_init(),
        false => lines.json().finish().with(filter).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))
}
