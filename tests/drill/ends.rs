//! The command's own behaviour: what it refuses, that a seed is a schedule, and that nothing outlives it.

use crate::run::drill;
use crate::support::block_for;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

/// What is wrong.
pub fn check() -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |arguments: &[&str], code: i32, words: &[&str]| {
        let ended = drill(arguments).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        if ended.status.code() != Some(code) || !words.iter().all(|word| said.contains(word)) {
            wrong.push(format!("{arguments:?}: {:?}, and not {code} with {words:?}: {said}", ended.status.code()));
        }
        said
    };
    expect(&["--list"], 0, &["region-loss", "planned-drain", "zookeeper-loss", "two-regions", "flap", "rejoin"]);
    expect(&[], 2, &["<NAME>"]);
    expect(&["region-los"], 2, &["region-loss"]);
    expect(&["flap", "--fault", "crash"], 2, &["only region-loss has a choice"]);
    expect(&["flap", "--region", "us-eats"], 2, &["did you mean us-east?"]);
    let several = several_workers();
    expect(&["flap", "--schedule", "--manifest", &several.path().display().to_string()], 1, &["one worker a node"]);
    let one = expect(&["flap", "--seed", "5", "--schedule"], 0, &["flap --seed 5", "us-east: refuses traffic"]);
    let same = expect(&["flap", "--seed", "5", "--schedule"], 0, &[]);
    let other = expect(&["flap", "--seed", "6", "--schedule"], 0, &[]);
    if one != same || one == other {
        wrong.push(format!("a seed is not a schedule:\n{one}\n{same}\n{other}"));
    }
    wrong.extend(interrupted());
    wrong.extend(killed());
    wrong
}

/// The shipped manifest, with nodes of two workers.
fn several_workers() -> tempfile::NamedTempFile {
    let shipped = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/regions/meridian.yaml"));
    let text = shipped.expect("the shipped manifest").replace("surge: 24 }", "surge: 24 }\n    workers_per_node: 2");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("written");
    file
}

/// A drill whose stage stands, and its folder.
fn started() -> (Child, PathBuf) {
    let mut command = drill(&["flap", "--seed", "3"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let folder = std::env::temp_dir().join(format!("meridian-drill-flap-{}", child.id()));
    wait("a node's log", || folder.join("logs/us-east-0.log").is_file().then_some(()));
    (child, folder)
}

fn wait<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    block_for(WITHIN, what, condition)
}

/// Processes that have this folder on their command line.
fn on_stage(folder: &Path) -> Vec<u32> {
    let folder = folder.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&folder))
    })
    .collect()
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: a plain system call; the child has not been waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// SIGTERM ends it in order: no verdict, and nothing is left.
fn interrupted() -> Option<String> {
    let (mut child, folder) = started();
    signal(&child, libc::SIGTERM);
    let status = wait("the drill ends", || child.try_wait().expect("it can be waited for"));
    let mut said = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        let _ = pipe.read_to_string(&mut said);
    }
    let left = on_stage(&folder);
    let well = status.code() == Some(3) && said.contains("interrupted") && left.is_empty() && !folder.exists();
    (!well).then(|| format!("after SIGTERM: {status}, processes {left:?}, folder {}: {said}", folder.exists()))
}

/// SIGKILL gives it no time to do anything, and still nothing runs on.
fn killed() -> Option<String> {
    let (mut child, folder) = started();
    signal(&child, libc::SIGKILL);
    let _ = child.wait();
    wait("all processes of the stage end", || on_stage(&folder).is_empty().then_some(()));
    let _ = std::fs::remove_dir_all(&folder);
    None
}
