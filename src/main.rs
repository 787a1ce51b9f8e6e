//! The binary: reads the command line, runs the command, ends with its exit code.

use clap::Parser;
use meridian::cli::{Cli, Command};
use meridian::commands::{self, Exit};
use meridian::telemetry;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match std::panic::catch_unwind(|| run(&cli)) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            eprintln!("error: {error:#}");
            commands::exit_of(&error).into()
        }
        Err(_) => {
            eprintln!("error: this is a bug in meridian; please report it with the lines above");
            Exit::Bug.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    telemetry::start(&cli.log, cli.log_format).map_err(|error| commands::Failed::usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut out = std::io::stdout().lock();
    match &cli.command {
        Command::Check(args) => commands::check::run(args, &mut out),
        Command::Decode(args) => commands::decode::run(args, &mut out),
        Command::Completions(args) => commands::completions::run(args, &mut out),
        Command::Load(args) => runtime.block_on(commands::load::run(args, &mut out)),
        Command::Init(args) => runtime.block_on(commands::init::run(args, &mut out)),
        Command::Status(args) => runtime.block_on(commands::status::run(args, &mut out)),
        Command::Serve(args) => runtime.block_on(commands::serve::run(args, &mut out)),
        Command::Up(args) => runtime.block_on(commands::up::run(args, &mut out)),
    }
}
