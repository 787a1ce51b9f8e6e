//! `meridian completions`: the completions of a shell, on stdout.

use super::Exit;
use crate::cli::{Cli, CompletionsArgs};
use anyhow::Context;
use clap::CommandFactory;
use std::io::Write;

pub fn run(args: &CompletionsArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    // Into memory first: clap_complete panics when a write fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "meridian", &mut script);
    out.write_all(&script).context("cannot write the completions")?;
    Ok(Exit::Fine)
}
