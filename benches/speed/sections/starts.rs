//! From nothing to the first id.

use crate::connection::Connection;
use crate::page::{Table, median, number};
use crate::process::stay_on_the_servers;
use crate::rate::precise_timers;
use crate::subjects::{MANIFEST, REGION};
use crate::support::program::{Program, meridian};
use crate::support::{DEADLINE, Ensemble, spawn_for_life};
use crate::{Effort, Section, say};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const SECTION: Section = Section {
    name: "starts",
    about: "From before the fork until `/readyz` says 200, and, by other starts, until the first id came: with a real ZooKeeper \
            that has the tree, and with files (`--coordination file:DIR --init`, a folder made by a start before). It is asked \
            every 0.1 ms on one kept connection. The node keeps itself on the servers' processor between fork and exec, so \
            that no other program's exec is in it, as it would be with taskset; the ZooKeeper and whoever asks run on the \
            others. It starts alone: there is nobody to compare it with, but for `true`, which shows what a process costs that \
            does nothing, from before the fork until it has ended.",
    run: starts,
};

const STARTS: usize = 15;

/// Between two questions. Without it the question would take the processor from the start.
const PAUSE: Duration = Duration::from_micros(100);

/// What is waited for.
#[derive(Clone, Copy)]
enum Sign {
    Ready,
    Id,
}

fn starts(effort: Effort, ensemble: &Ensemble) -> Table {
    precise_timers();
    let folder = TempDir::new().expect("a folder");
    let (hosts, files) = (ensemble.connect_string(), format!("file:{}", folder.path().display()));
    let mut table = Table::new(&["from start until", "goal", "median", "min", "max", "n"]);
    let own: &[&str] = &["--coordination", &files, "--init"];
    let zookeeper: &[&str] = &["--zookeeper", &hosts];
    // Those that make the tree and the folder; they count for nothing.
    node(&[zookeeper, &["--init"]].concat(), Sign::Ready);
    node(own, Sign::Ready);
    for (what, place, goal) in [("ZooKeeper", zookeeper, "100 ms"), ("files", own, "10 ms")] {
        for (sign, name) in [(Sign::Ready, "`/readyz` says 200"), (Sign::Id, "the first id came")] {
            say(&format!("  {what}: {name}"));
            row(&mut table, &format!("{what}: {name}"), goal, effort, || node(place, sign));
        }
    }
    row(&mut table, "`true` has ended", "", effort, nothing);
    table
}

fn row(table: &mut Table, what: &str, goal: &str, effort: Effort, measure: impl Fn() -> Duration) {
    let n = if effort.whole { STARTS } else { 1 };
    let runs: Vec<f64> = (0..n).map(|_| measure().as_secs_f64() * 1_000.0).collect();
    let ms = |value: f64| format!("{} ms", number(value));
    let (min, max) = (runs.iter().copied().fold(f64::MAX, f64::min), runs.iter().copied().fold(0.0, f64::max));
    table.row([what.to_owned(), goal.to_owned(), ms(median(&runs, |run| *run)), ms(min), ms(max), n.to_string()]);
}

/// One start, and a stop that gives the slot back.
fn node(place: &[&str], sign: Sign) -> Duration {
    let ports = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
    let flags = ["serve", "--json", "--manifest", MANIFEST, "--region", REGION];
    let mut command = meridian(&[&flags[..], &ports, place].concat());
    stay_on_the_servers(&mut command);
    let started = Instant::now();
    let mut program = Program::start(command);
    let line: Value = serde_json::from_str(&program.line()).expect("JSON");
    let (key, path) = match sign {
        Sign::Ready => ("ops", "/readyz"),
        Sign::Id => ("http", "/api/v1/id"),
    };
    let address: SocketAddr =
        line[key].as_str().and_then(|url| url.strip_prefix("http://")?.parse().ok()).expect("an address");
    let mut connection = Connection::to(address);
    while connection.get(path) != 200 {
        assert!(started.elapsed() < DEADLINE, "{path}: {}", program.err());
        std::thread::sleep(PAUSE);
    }
    let took = started.elapsed();
    program.signal(libc::SIGTERM);
    let ended = program.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    took
}

fn nothing() -> Duration {
    let mut command = Command::new("true");
    stay_on_the_servers(&mut command);
    let started = Instant::now();
    let mut child = spawn_for_life(command).expect("true starts");
    assert!(child.wait().expect("a child of one's own").success());
    started.elapsed()
}
