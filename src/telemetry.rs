//! Logs: to stderr, for people on a terminal and as JSON for machines elsewhere. Colour only on a terminal.

use std::io::IsTerminal;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

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
    let filter = targets(filter).map_err(|error| {
        anyhow::anyhow!("log filter {filter:?}: {error}; write for instance info or warn,meridian=debug")
    })?;
    let terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer()
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
        true => registry().with(lines.with_ansi(terminal)).with(filter).try_init(),
        false => registry().with(lines.json()).with(filter).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging: {error}"))
}

/// `Targets` would take a span for the name of a module, and nothing for the level `error` of all.
fn targets(filter: &str) -> anyhow::Result<Targets> {
    let pieces: Vec<&str> = filter.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    if pieces.is_empty() {
        anyhow::bail!("it names no level");
    }
    if let Some(piece) = pieces.iter().find(|piece| piece.contains(|c: char| "[]{}".contains(c) || c.is_whitespace())) {
        anyhow::bail!("{piece:?} is no level, nor a module and its level");
    }
    Ok(pieces.join(",").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, expect: Result<&str, &str>) {
        match (targets(filter), expect) {
            (Ok(targets), Ok(same)) => assert_eq!(targets, same.parse().unwrap(), "{filter}"),
            (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{filter}: {error}"),
            (got, _) => panic!("{filter}: {got:?}"),
        }
    }

    #[test]
    fn levels_of_all_and_of_modules_and_nothing_else() {
        check("info", Ok("info"));
        check(" warn, meridian::lease=debug,", Ok("warn,meridian::lease=debug"));
        check("off", Ok("off"));
        check("", Err("no level"));
        check(" , ", Err("no level"));
        check("info,[request]=debug", Err("[request]"));
        check("meridian[{id}]=trace", Err("no level"));
        check("meridian=loud", Err("expected one of"));
    }
}
