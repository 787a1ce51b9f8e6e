//! How fast it starts, how little it holds, and what a large request costs: the release binary, measured from outside.
//!
//! `cargo bench --bench start` writes `docs/results/start.md`. Nothing here fails for being slow: the page says what the
//! targets are, and a reader sees what was missed.

#[path = "../tests/support/mod.rs"]
mod support;

use meridian::clock;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};
use support::program::{Program, meridian, run};
use support::web::{await_ok, get};
use support::{Ensemble, block_until};
use tempfile::TempDir;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/start.md");
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regions/meridian.yaml");
const REGION: &str = "us-east";
const MILLION: u32 = 1_000_000;

fn main() {
    let mut page = Page::default();
    say("a fleet on a fresh folder");
    page.row("`meridian up` on a fresh folder: exec until an id came from each of four regions", "< 5 s", ms(fleet, 7));

    say("starting ZooKeeper");
    let zookeeper = Ensemble::standalone();
    let hosts = zookeeper.connect_string();
    let init = run(&["init", "--manifest", MANIFEST, "--zookeeper", &hosts, "--region", REGION]);
    assert_eq!(init.code(), Some(0), "{}", init.err);

    say("one node");
    let first = || ready(&hosts);
    page.row("one node: exec until `/readyz` says 200, real ZooKeeper, tree there", "< 300 ms", ms(first, 15));

    say("memory");
    page.row("resident memory of an idle node, 5 s after it was ready", "< 20 MB", memory(&hosts, 3));

    say("hand-over");
    let gap = || hand_over(&hosts);
    page.row("hand-over: SIGTERM to the holder while a standby waits; longest time without an id", "", ms(gap, 7));

    say("a million ids");
    // A slot of a new tree begins 30 s ahead of the clock, and is paced by a clock of its own. So its first holder waits
    // until its ids are of the present and leaves, and the next one is measured.
    let first = Node::start(&hosts);
    first.await_present();
    first.stop();
    let node = Node::start(&hosts);
    for (name, path, accept) in [
        ("ranges", "ranges", "application/json"),
        ("octet-stream", "ids", "application/octet-stream"),
        ("JSON", "ids", "application/json"),
    ] {
        let path = format!("/api/v1/{path}?count={MILLION}");
        let runs: Vec<[f64; 3]> = (0..7)
            .map(|_| {
                node.await_present();
                std::array::from_fn(|_| node.large(&path, accept, name))
            })
            .collect();
        for (place, which) in ["first", "second, right behind", "third, right behind"].into_iter().enumerate() {
            let values = runs.iter().map(|run| run[place]).collect();
            let what = format!("a million ids as {name}, {which}: status 200, until the last byte");
            page.row(&what, "one wait of 244 ms", Measured { unit: "ms", values });
        }
    }
    node.stop();
    page.write(Path::new(PAGE));
}

/// What is under way, for a person who waits.
fn say(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = writeln!(err, "start: {what}");
    }
}

struct Measured {
    unit: &'static str,
    values: Vec<f64>,
}

fn ms(mut measure: impl FnMut() -> Duration, runs: usize) -> Measured {
    Measured { unit: "ms", values: (0..runs).map(|_| measure().as_secs_f64() * 1_000.0).collect() }
}

fn fleet() -> Duration {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let command = meridian(&["up", "--json", "--manifest", MANIFEST, "--dir", path]);
    let started = Instant::now();
    let mut up = Program::start(command);
    for _ in 0..4 {
        let node: Value = serde_json::from_str(&up.line()).expect("JSON");
        let answer = get(text(&node, "http"), "/api/v1/id", "*/*").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let took = started.elapsed();
    up.signal(libc::SIGINT);
    assert_eq!(up.wait().code(), Some(0));
    took
}

fn ready(hosts: &str) -> Duration {
    let node = Node::start(hosts);
    let took = node.ready_after;
    node.stop();
    took
}

fn memory(hosts: &str, nodes: usize) -> Measured {
    let nodes: Vec<Node> = (0..nodes).map(|_| Node::start(hosts)).collect();
    // Not waiting for anything: this is what is measured.
    std::thread::sleep(Duration::from_secs(5));
    let resident = |node: &Node| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", node.program.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1_024.0 / 1_000_000.0
    };
    let values = nodes.iter().map(resident).collect();
    nodes.into_iter().for_each(Node::stop);
    Measured { unit: "MB", values }
}

/// A client that knows both nodes asks one after the other without a pause; the holder is told to leave.
fn hand_over(hosts: &str) -> Duration {
    let (old, new) = (Node::start_as(hosts, &["--static-slot", "0"]), Node::serve(hosts, &["--static-slot", "0"]));
    block_until("the standby to wait", || {
        get(&new.ops, "/readyz", "*/*").ok().filter(|answer| answer.text().contains("standby")).map(drop)
    });
    let draws = |node: &Node| get(&node.http, "/api/v1/id", "*/*").is_ok_and(|answer| answer.status == 200);
    assert!(draws(&old));
    let mut last = Instant::now();
    old.program.signal(libc::SIGTERM);
    let mut longest = Duration::ZERO;
    let mut from_new = 0;
    let deadline = Instant::now() + support::DEADLINE;
    while from_new < 20 {
        assert!(Instant::now() < deadline, "nobody took over: {}", new.program.err());
        let by_old = draws(&old);
        let by_new = !by_old && draws(&new);
        if by_old || by_new {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        from_new += u32::from(by_new);
    }
    assert_eq!(old.program.wait().code(), Some(0));
    new.stop();
    longest
}

/// One node on the ensemble.
struct Node {
    program: Program,
    http: String,
    ops: String,
    ready_after: Duration,
}

impl Node {
    fn start(hosts: &str) -> Node {
        Node::start_as(hosts, &[])
    }

    fn start_as(hosts: &str, more: &[&str]) -> Node {
        let started = Instant::now();
        let mut node = Node::serve(hosts, more);
        // Without a pause between two questions: they are a few to a node that starts in milliseconds.
        let deadline = started + support::DEADLINE;
        while !get(&node.ops, "/readyz", "*/*").is_ok_and(|answer| answer.status == 200) {
            assert!(Instant::now() < deadline, "not ready: {}", node.program.err());
        }
        node.ready_after = started.elapsed();
        node
    }

    /// Does not wait until it is ready.
    fn serve(hosts: &str, more: &[&str]) -> Node {
        let flags = ["serve", "--json", "--manifest", MANIFEST, "--region", REGION, "--zookeeper", hosts];
        let ports = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"];
        let mut program = Program::start(meridian(&[&flags[..], &ports, more].concat()));
        let line: Value = serde_json::from_str(&program.line()).expect("JSON");
        let (http, ops) = (text(&line, "http").to_owned(), text(&line, "ops").to_owned());
        Node { program, http, ops, ready_after: Duration::ZERO }
    }

    /// Waits until a fresh id is of this moment: a slot of a new tree begins in the future, and has time to spare.
    fn await_present(&self) {
        await_ok(&self.ops, "/readyz");
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let answer = get(&self.http, "/api/v1/id", "text/plain").expect("an answer");
            let id = get(&self.http, &format!("/api/v1/ids/{}", answer.text().trim()), "*/*").expect("an answer");
            let id: Value = serde_json::from_slice(&id.body).expect("JSON");
            if text(&id, "time") <= clock::rfc3339(clock::real_us() / 1_000).as_str() {
                return;
            }
            assert!(Instant::now() < deadline, "ids stay in the future: {id}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Milliseconds of one large request.
    fn large(&self, path: &str, accept: &str, what: &str) -> f64 {
        let answer = get(&self.http, path, accept).expect("an answer");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let count = match what {
            "octet-stream" => answer.body.len() / 8,
            "JSON" => answer.body.iter().filter(|byte| **byte == b',').count() + 1,
            _ => {
                let ranges: Value = serde_json::from_slice(&answer.body).expect("JSON");
                let ranges = ranges["ranges"].as_array().expect("an array");
                ranges.iter().map(|range| range["count"].as_u64().expect("a number") as usize).sum()
            }
        };
        assert_eq!(count, MILLION as usize);
        answer.took.as_secs_f64() * 1_000.0
    }

    fn stop(self) {
        self.program.signal(libc::SIGTERM);
        let ended = self.program.wait();
        assert_eq!(ended.code(), Some(0), "{}", ended.err);
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// The rows of the table.
#[derive(Default)]
struct Page {
    rows: String,
}

impl Page {
    fn row(&mut self, what: &str, target: &str, Measured { unit, mut values }: Measured) {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
        let (min, max) = (values[0], values[n - 1]);
        writeln!(self.rows, "| {what} | {target} | {median:.1} {unit} | {min:.1} | {max:.1} | {n} |").expect("text");
        say(&format!("{median:.1} {unit} ({min:.1} to {max:.1}, n = {n})"));
    }

    fn write(&self, path: &Path) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("?");
        let text = format!(
            "# Start, memory and large requests\n\n\
             Written by `cargo bench --bench start` on {}: {cores} cores, Linux {}, load average {load} at the end\n(other work \
             ran on the machine). The release binary from outside, over loopback; a connection of its own for each \
             request. The ZooKeeper is real, one\nserver on the same machine.\n\n\
             | what | target | median | min | max | n |\n|---|---|---:|---:|---:|---:|\n{}\n\
             A million ids are 244.1 ms of the format (4,096 a millisecond), so a request for them waits about that long, \
             once, and one\nright behind it the same again: no error, no spinning, and the wait does not grow. It is \
             measured on a slot whose last\nids are not ahead of the clock.\n",
            &clock::timestamp()[..10],
            kernel.trim(),
            self.rows,
        );
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("docs/results");
        std::fs::write(path, text).expect("the page is written");
    }
}
