//! One file a subcommand: build, wire, spawn, wait, print. Nothing else wires.

#[cfg(feature = "broken")]
mod broken;
pub mod check;
pub mod completions;
pub mod decode;
pub mod dns;
pub mod drain;
pub mod drill;
pub mod fleet;
pub mod get;
pub mod health;
pub mod init;
pub mod load;
pub mod render;
pub mod serve;
pub mod status;
mod table;
pub mod up;

use std::fmt::Display;
use std::io::Write;

/// How a subcommand ends, for scripts. Documented and stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Fine = 0,
    /// The answer is no: problems found, a promise broken.
    No = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The world failed: unreachable, unreadable, unwritable.
    World = 3,
    /// Meridian itself is wrong.
    Bug = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> std::process::ExitCode {
        std::process::ExitCode::from(exit as u8)
    }
}

/// An error that knows how the process should end. Any other error is the world's.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failed {
    pub exit: Exit,
    pub message: String,
}

impl Failed {
    /// The command line asks for something that is not there.
    pub fn usage(message: impl Into<String>) -> anyhow::Error {
        Failed { exit: Exit::Usage, message: message.into() }.into()
    }

    /// Something out there is not what it should be.
    pub fn world(message: impl Into<String>) -> anyhow::Error {
        Failed { exit: Exit::World, message: message.into() }.into()
    }

    /// Something that cannot happen did.
    pub fn bug(message: impl Into<String>) -> anyhow::Error {
        Failed { exit: Exit::Bug, message: message.into() }.into()
    }

    /// The answer is no.
    pub fn no(message: impl Into<String>) -> anyhow::Error {
        Failed { exit: Exit::No, message: message.into() }.into()
    }
}

/// Says on stderr what is wrong. That nobody listens there is no reason to fail.
pub fn complain(message: impl Display) {
    let _ = writeln!(std::io::stderr(), "error: {message}");
}

/// How a process ends that failed with this error.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    error.downcast_ref::<Failed>().map_or(Exit::World, |failed| failed.exit)
}
