//! One process of the stage, its log, and the signals it gets.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// Between two looks at a condition that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// Dropped: killed. (At the end the namespace does that for all.)
#[derive(Debug)]
pub struct Process {
    pub name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts it with both outputs in `folder`/`name`.log, behind what earlier processes of this name said there.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> anyhow::Result<Process> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Process { name: name.to_owned(), log, child })
    }

    pub fn signal(&self, signal: libc::c_int) {
        if let Some(pid) = self.child.id() {
            // SAFETY: a plain system call; the child is not reaped while its id is known.
            unsafe { libc::kill(pid as libc::pid_t, signal) };
        }
    }

    /// SIGKILL, and reaped.
    pub async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// An error if it has ended, with its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// Waits until the condition gives a value; an error of the condition ends the wait, as does the bound.
pub async fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if started.elapsed() > within {
            bail!("waited {} s in vain: {what}", within.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
