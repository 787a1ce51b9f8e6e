//! Logs: to stderr, for people on a terminal and as JSON for machines elsewhere. Colour only on a terminal.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter`, for instance `info,meridian=debug`.
pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("log filter {filter:?}: {error}; write for instance info or meridian=debug")
    })?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // It would report a failed write by `eprintln!`, which panics: a node must outlive the reader of its logs.
        .log_internal_errors(false);
    let text = match format {
        LogFormat::Auto => terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let started = if text { lines.with_ansi(terminal).try_init() } else { lines.json().try_init() };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))
}
