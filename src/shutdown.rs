//! Signals: the first asks to leave in order, the second to leave at once.

use std::fmt;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit status of a process that was told twice to stop (128 + SIGINT, as shells report it).
const INTERRUPTED: i32 = 130;

/// Who asked this process to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// SIGINT: a person at a terminal.
    Interrupt,
    /// SIGTERM: whoever supervises it.
    Terminate,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Told::Interrupt => "SIGINT",
            Told::Terminate => "SIGTERM",
        })
    }
}

/// SIGINT and SIGTERM of this process.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the default action (sudden death) is off.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// Dropping the future loses no signal.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.terminate.recv() => Told::Terminate,
        }
    }

    /// Leaves at once on the next signal, whatever else is going on.
    pub fn exit_on_next(mut self) {
        tokio::spawn(async move {
            let name = self.next().await;
            tracing::warn!("{name} again: leaving at once");
            std::process::exit(INTERRUPTED);
        });
    }
}
