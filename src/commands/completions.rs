//! `meridian completions`: the completions of a shell, on stdout.

use super::Exit;
use crate::cli::{Cli, CompletionsArgs};
use clap::CommandFactory;
use std::io::Write;

pub fn run(args: &CompletionsArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    clap_complete::generate(args.shell, &mut Cli::command(), "meridian", out);
    Ok(Exit::Fine)
}
