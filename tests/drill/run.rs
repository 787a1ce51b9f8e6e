//! Drills as they are run by a script, some at a time.

use crate::support::wait_within;
use serde_json::Value;
use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Far beyond what a short one takes. A long one takes as long as it takes.
const LONGEST: Duration = Duration::from_secs(4 * 3_600);
/// What a drill said on its way, in an error: two acts with all they bring.
const LAST_LINES: usize = 150;

/// One drill that was played.
pub struct Performance {
    pub line: Vec<String>,
    /// Its JSON, if it came to a verdict; else what it said.
    pub report: Result<Value, String>,
}

/// `meridian drill …`, in an environment that says nothing.
pub fn drill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(name);
        }
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("drill").args(arguments).stdin(Stdio::null());
    command
}

/// Plays all of them, at most so many at once, in this order.
pub fn all(lines: &[Vec<String>], at_once: usize, out: Option<&Path>) -> Vec<Performance> {
    let waiting: Mutex<VecDeque<(usize, &Vec<String>)>> = Mutex::new(lines.iter().enumerate().collect());
    let played: Mutex<Vec<(usize, Performance)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nobody panics under it").pop_front();
                    let Some((number, line)) = next else { return };
                    let begun = Instant::now();
                    let report = play(line, out);
                    let word = match &report {
                        Ok(report) if report["held"] == true => "all promises held",
                        Ok(_) => "a promise was broken",
                        Err(_) => "no verdict",
                    };
                    println!("{:5.0} s  {}: {word}", begun.elapsed().as_secs_f64(), line.join(" "));
                    let performance = Performance { line: line.clone(), report };
                    played.lock().expect("nobody panics under it").push((number, performance));
                }
            });
        }
    });
    let mut played = played.into_inner().expect("nobody panics under it");
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, performance)| performance).collect()
}

fn play(line: &[String], out: Option<&Path>) -> Result<Value, String> {
    let arguments: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut command = drill(&arguments);
    command.arg("--json");
    if let Some(folder) = out {
        // Some lines differ only in what the names of the files do not tell.
        let name: String = line.join(" ").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        command.arg("--out").arg(folder.join(name));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let out = std::thread::spawn(move || read(out));
    let err = std::thread::spawn(move || read(err));
    let status = wait(&mut child)?;
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let said: Vec<&str> = err.lines().collect();
    let said = said[said.len().saturating_sub(LAST_LINES)..].join("\n");
    let report: Value =
        serde_json::from_str(&out).map_err(|error| format!("exit code {status:?}: {error}: {out}\n{said}"))?;
    let expected = if report["held"] == true { 0 } else { 1 };
    if status != Some(expected) {
        return Err(format!("exit code {status:?} with {out}\n{said}"));
    }
    if expected == 1 {
        println!("{}\n{said}\n", line.join(" "));
    }
    Ok(report)
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Its exit code; killed when it takes too long.
fn wait(child: &mut Child) -> Result<Option<i32>, String> {
    match wait_within(LONGEST, || child.try_wait().transpose()) {
        Some(Ok(status)) => Ok(status.code()),
        Some(Err(error)) => Err(error.to_string()),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            Err(format!("runs after {LONGEST:?}"))
        }
    }
}

/// What is wrong with the form of a report, or with what it was made from.
pub fn objections(report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for key in ["detect_s", "switch_s", "outage_dns_s", "outage_list_s", "seed", "load_factor", "failed_requests"] {
        if report.get(key).is_none() {
            wrong.push(format!("the report has no {key}"));
        }
    }
    if report["duplicates"] != 0 {
        wrong.push(format!("{} ids were given twice", report["duplicates"]));
    }
    if report["ids"].as_u64().unwrap_or(0) < 1_000 {
        wrong.push(format!("only {} ids were drawn", report["ids"]));
    }
    wrong
}
