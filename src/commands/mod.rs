//! One file a subcommand: build, wire, spawn, wait, print. Nothing else wires.

pub mod check;

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
