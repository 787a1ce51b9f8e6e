//! The binary: reads the command line, runs the command, ends with its exit code.

use meridian::cli::{Cli, Command};
use meridian::commands::{self, Exit, complain};
use meridian::telemetry;
use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How long work on the disk may hold up the end.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::read();
    match std::panic::catch_unwind(|| run(&cli)) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            complain(format_args!("{error:#}"));
            commands::exit_of(&error).into()
        }
        Err(_) => {
            complain("this is a bug in meridian; please report it with the lines above");
            Exit::Bug.into()
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<Exit> {
    telemetry::start(cli.log(), cli.log_format).map_err(|error| commands::Failed::usage(error.to_string()))?;
    // One thread is all that most commands need, and all that `up` may have: the kernel tells children of each *thread*
    // of a dying parent, and a node that is told twice leaves at once, without giving its slot back.
    let mut runtime = match &cli.command {
        Command::Drill(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let mut out = Out(io::stdout().lock());
    let ended = match &cli.command {
        Command::Check(args) => commands::check::run(args, &mut out),
        Command::Decode(args) => commands::decode::run(args, &mut out),
        Command::Render(args) => commands::render::run(args, &mut out),
        Command::Dns(args) => runtime.block_on(commands::dns::run(args, &mut out)),
        Command::Drill(args) => runtime.block_on(commands::drill::run(args, &mut out)),
        Command::Completions(args) => commands::completions::run(args, &mut out),
        Command::Health(args) => runtime.block_on(commands::health::run(args, &mut out)),
        Command::Get(args) => runtime.block_on(commands::get::run(args, &mut out)),
        Command::Load(args) => runtime.block_on(commands::load::run(args, &mut out)),
        Command::Init(args) => runtime.block_on(commands::init::run(args, &mut out)),
        Command::Drain(args) => runtime.block_on(commands::drain::drain(args, &mut out)),
        Command::Undrain(args) => runtime.block_on(commands::drain::undrain(args, &mut out)),
        Command::Status(args) => runtime.block_on(commands::status::run(args, &mut out)),
        Command::Serve(args) => {
            let workers = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let ended = runtime.block_on(commands::serve::run(args, workers.handle(), &mut out));
            workers.shutdown_timeout(LEAVE_WITHIN);
            ended
        }
        Command::Up(args) => runtime.block_on(commands::up::run(args, (cli.log(), cli.log_format), &mut out)),
    };
    runtime.shutdown_timeout(LEAVE_WITHIN); // a disk that hangs must not keep the process
    ended
}

/// Standard output. A reader that has seen enough (`meridian check | head -1`) is no failure: what is written after it
/// has gone is dropped, and the command ends as it would have, with its own exit code.
struct Out(StdoutLock<'static>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
