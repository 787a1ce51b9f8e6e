//! The real binary, run as a person or a script runs it, and ended whatever becomes of the test.

use super::ensemble::spawn_for_life;
use super::{block_until, wait_within};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// For a line that must come, or an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with these arguments, in an environment that says nothing: no `MERIDIAN_…`, no terminal, 100 columns.
pub fn meridian(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("MERIDIAN_")
            || name.starts_with("CLICOLOR")
            || name == "NO_COLOR"
            || name == "RUST_BACKTRACE"
        {
            command.env_remove(&*name);
        }
    }
    command.env("COLUMNS", "100").args(args).stdin(Stdio::null());
    command
}

/// How a run ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The exit code; none after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs to the end.
pub fn run(args: &[&str]) -> Ended {
    Program::start(meridian(args)).wait()
}

/// A process under way. Dropped: killed and reaped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// Starts it with both outputs in pipes.
    pub fn start(mut command: Command) -> Program {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Program::start_as_is(command)
    }

    /// The same, with the outputs as they are set.
    pub fn start_as_is(command: Command) -> Program {
        let mut child = spawn_for_life(command).expect("the binary starts");
        let (send, lines) = channel();
        let err = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        if let Some(out) = child.stdout.take() {
            readers.push(std::thread::spawn(move || {
                let mut out = BufReader::new(out);
                let mut line = String::new();
                while out.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                    let _ = send.send(std::mem::take(&mut line));
                }
            }));
        }
        if let Some(mut pipe) = child.stderr.take() {
            let err = err.clone();
            readers.push(std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(bytes @ 1..) = pipe.read(&mut buffer) {
                    err.lock().expect("no reader panics").push_str(&String::from_utf8_lossy(&buffer[..bytes]));
                }
            }));
        }
        Program { child, lines, seen: String::new(), err, readers }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of stdout, waited for; it ends in a newline unless it is the last.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push_str(&line);
                line
            }
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}; stderr: {}", self.err()),
            Err(RecvTimeoutError::Disconnected) => panic!("no more lines; stderr: {}", self.err()),
        }
    }

    /// What it wrote to stderr so far.
    pub fn err(&self) -> String {
        self.err.lock().expect("no reader panics").clone()
    }

    pub fn wait_err(&self, text: &str) {
        block_until(format!("{text:?} on stderr"), || self.err().contains(text).then_some(()));
    }

    pub fn signal(&self, signal: libc::c_int) {
        send(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let ended = wait_within(PATIENCE, || self.child.try_wait().expect("it can be waited for"));
        let status = ended.unwrap_or_else(|| panic!("runs after {PATIENCE:?}; stderr: {}", self.err()));
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        let mut out = std::mem::take(&mut self.seen);
        out.extend(self.lines.try_iter());
        Ended { status, out, err: self.err() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that must be there.
pub fn send(pid: u32, signal: libc::c_int) {
    let id = libc::pid_t::try_from(pid).expect("a process id");
    // SAFETY: a plain system call; no memory is involved.
    let outcome = unsafe { libc::kill(id, signal) };
    assert_eq!(outcome, 0, "kill({id}, {signal}): {}", std::io::Error::last_os_error());
}

/// Whether a process of ours runs. One that nobody has reaped yet has ended.
pub fn runs(pid: u32) -> bool {
    // The state follows the name, which may itself contain anything.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let ours = std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "meridian");
    ours && state.is_some_and(|state| state != 'Z' && state != 'X')
}
