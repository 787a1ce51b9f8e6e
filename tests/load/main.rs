//! `meridian load` as people run it: against the fleet, and against targets that lie, mumble, hang and hang up.

mod fake;
mod fleet;
mod memory;

use serde_json::Value;
use std::process::{Command, Output};

/// The command, far from any manifest and any setting of the caller's.
fn load(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MERIDIAN_")) {
        command.env_remove(name);
    }
    command.arg("load").args(arguments).current_dir(std::env::temp_dir());
    command
}

/// Exit code and report.
fn report(output: &Output) -> (i32, Value) {
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or_else(|| panic!("{}: {errors}", output.status));
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?} {errors}", String::from_utf8_lossy(&output.stdout)));
    (code, value)
}

fn run(arguments: &[&str]) -> (i32, Value) {
    report(&load(arguments).arg("--json").output().expect("the binary starts"))
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_2() {
    for arguments in [
        &[][..],
        &["--target", "https://127.0.0.1:1"],
        &["--target", "127.0.0.1:1"],
        &["--target", "http://127.0.0.1:1", "--rate", "0"],
        &["--target", "http://127.0.0.1:1", "--seconds", "-1"],
        &["--target", "http://127.0.0.1:1", "--form", "id", "--count", "5"],
        &["--target", "http://127.0.0.1:1", "--spill", "/nowhere/at/all"],
    ] {
        let output = load(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn help_says_what_latency_means_and_how_it_ends() {
    let output = load(&["--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["coordinated omission", "Examples:", "Exit codes:", "MERIDIAN_TARGET", "--spill"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}
