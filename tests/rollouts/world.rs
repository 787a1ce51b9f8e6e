//! Namespaces of its own: pods listen on the ports of the chart, and take none of this machine's.

use crate::support::{spawn_for_life, wait_within};
use meridian::drill::world::{check_namespaces, tool, unshare};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs this program again in there, as process 1: whatever ends it, or this one, ends all that it started.
pub fn enter(folder: &Path, seed: u64) -> ExitCode {
    if let Err(why) = check_namespaces() {
        eprintln!("error: {why:#}");
        return ExitCode::from(3);
    }
    listen_for_signals();
    let mut command = unshare().expect("just checked");
    command.arg(std::env::current_exe().expect("its own file")).args(std::env::args_os().skip(1));
    command.arg("--inside").arg(folder);
    if !std::env::args().any(|argument| argument.starts_with("--seed")) {
        command.args(["--seed", &seed.to_string()]);
    }
    let mut child = spawn_for_life(command).expect("unshare starts");
    let ended = loop {
        let ended = wait_within(Duration::from_millis(200), || child.try_wait().expect("a child"));
        if let Some(ended) = ended {
            break ended;
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            let _ = (child.kill(), child.wait());
            eprintln!("interrupted");
            return ExitCode::from(130);
        }
    };
    ended.code().map_or(ExitCode::from(3), |code| ExitCode::from(code as u8))
}

/// The loopback device, the only one in here; all of 127.0.0.0/8 is on it.
pub fn lay() {
    let ip = tool("ip").expect("ip is missing: apt-get install iproute2");
    let done = Command::new(ip).args(["link", "set", "lo", "up"]).output().expect("ip runs");
    assert!(done.status.success(), "ip: {}", String::from_utf8_lossy(&done.stderr));
}

/// Whether anybody else is in here. Process 1 of a namespace that is alone finds nobody to signal.
pub fn is_alone() -> bool {
    assert_eq!(std::process::id(), 1, "asked outside of the namespaces");
    // SAFETY: a plain system call; signal 0 does nothing to anybody.
    let found = unsafe { libc::kill(-1, 0) };
    found == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

fn listen_for_signals() {
    extern "C" fn interrupted(_: libc::c_int) {
        INTERRUPTED.store(true, Ordering::Relaxed);
    }
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores an atomic.
        unsafe { libc::signal(signal, interrupted as *const () as libc::sighandler_t) };
    }
}
