//! `meridian up`, the real binary: a whole fleet of processes comes up, gives ids, and leaves nothing behind.

mod support;

use meridian::id::SNOWFLAKE64;
use meridian::lease::coordination::{Expected, View};
use meridian::lease::file::Directory;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::path::Path;
use support::program::{Ended, Program, meridian, run, runs, send};
use support::web::{self, get};
use support::{Ensemble, block_until};
use tempfile::TempDir;

const SMALL: &str = "tests/fixtures/small.yaml";
const REGIONS: [(&str, u16); 4] = [("us-east", 0), ("us-west", 1), ("eu-west", 2), ("apac", 3)];

/// One line of `up --json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    region: String,
    datacenter: u16,
    slot: Option<u16>,
    http: String,
    ops: String,
    pid: u32,
}

struct Fleet {
    up: Program,
    nodes: Vec<Node>,
}

/// Starts a fleet in a folder with more flags, and waits until it is ready.
fn up(folder: &Path, count: usize, more: &[&str]) -> Fleet {
    let folder = folder.to_str().expect("a path of text");
    let mut up = Program::start(meridian(&[&["up", "--json", "--dir", folder], more].concat()));
    let nodes = (0..count).map(|_| node(&up.line())).collect();
    Fleet { up, nodes }
}

/// Reads a line, which is a contract to the letter.
fn node(line: &str) -> Node {
    let node: Node = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let Node { region, datacenter, slot, http, ops, pid } = &node;
    let slot = slot.map_or("null".to_owned(), |slot| slot.to_string());
    assert_eq!(
        line,
        format!(
            "{{\"region\":\"{region}\",\"datacenter\":{datacenter},\"slot\":{slot},\"http\":\"{http}\",\"ops\":\"{ops}\",\"pid\":{pid}}}\n"
        )
    );
    assert!(http.starts_with("http://127.") && ops.starts_with("http://127."), "{line}");
    node
}

impl Fleet {
    fn stop(self) -> Ended {
        self.up.signal(libc::SIGINT);
        let ended = self.up.wait();
        let left: Vec<&Node> = self.nodes.iter().filter(|node| runs(node.pid)).collect();
        assert!(left.is_empty(), "still there: {left:?}");
        ended
    }

    fn await_all_gone(&self) {
        block_until("all nodes to leave", || self.nodes.iter().all(|node| !runs(node.pid)).then_some(()));
    }
}

fn leases(folder: &Path) -> String {
    format!("file:{}", folder.join("leases").display())
}

fn status(args: &[&str]) -> Vec<Value> {
    let ended = run(&[&["status", "--json"], args].concat());
    assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""));
    serde_json::from_str(&ended.out).expect("a JSON array")
}

fn live(rows: &[Value]) -> Vec<(&str, Option<u64>)> {
    rows.iter()
        .filter(|row| row["live"] == true)
        .map(|row| (row["region"].as_str().expect("a name"), row["slot"].as_u64()))
        .collect()
}

/// 100 ids from each node, by region, ascending.
fn draw(nodes: &[Node]) -> BTreeMap<String, Vec<u64>> {
    let ids = |node: &Node| get(&node.http, "/api/v1/ids?count=100", "application/json").expect("an answer").ids();
    let mut drawn = BTreeMap::new();
    for node in nodes {
        let mut ids = ids(node);
        ids.sort_unstable();
        drawn.insert(node.region.clone(), ids);
    }
    drawn
}

/// What the coordination service holds of a region when all is quiet.
fn look(folder: &Path, datacenter: u16) -> View {
    let expected = Expected {
        fleet: "global".to_owned(),
        datacenter,
        epoch: "2024-01-01T00:00:00Z".to_owned(),
        layout: "snowflake64".to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let session = Directory::new(folder.join("leases")).open(&expected).await.expect("a tree");
        session.look().await.expect("a view")
    })
}

#[test]
fn a_fleet_comes_up_gives_ids_and_leaves_nothing() {
    let folder = TempDir::new().expect("a folder");
    let fleet = up(folder.path(), 4, &[]);
    let regions: Vec<(&str, u16)> = fleet.nodes.iter().map(|node| (node.region.as_str(), node.datacenter)).collect();
    assert_eq!(regions, REGIONS);

    // Ids of all regions say where they are from, and no two are the same.
    let drawn = draw(&fleet.nodes);
    let all: Vec<u64> = drawn.values().flatten().copied().collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 400);
    for node in &fleet.nodes {
        let texts: Vec<String> = drawn[&node.region].iter().map(u64::to_string).collect();
        let ended = run(&[&["decode", "--json"], &*texts.iter().map(String::as_str).collect::<Vec<_>>()].concat());
        assert_eq!(ended.code(), Some(0), "{}", ended.err);
        assert_eq!(ended.out.lines().count(), 100);
        for (line, text) in ended.out.lines().zip(&texts) {
            let row: Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(row["id"], text.as_str());
            assert_eq!((&row["region"], &row["datacenter"]), (&node.region.as_str().into(), &node.datacenter.into()));
            assert_eq!(row["worker"], node.slot.expect("a slot"));
        }
    }

    let place = leases(folder.path());
    let rows = status(&["--coordination", &place]);
    assert_eq!(live(&rows), REGIONS.map(|(region, _)| (region, Some(0))));
    for (row, node) in rows.iter().zip(&fleet.nodes) {
        for key in ["region", "datacenter", "slot", "holder", "host", "ceiling", "live"] {
            assert!(!row[key].is_null(), "{key} of {row}");
        }
        assert_eq!(row["host"], format!("{}-0", node.region));
    }

    let ended = fleet.stop();
    assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""));
    assert_eq!(live(&status(&["--coordination", &place])), []);
    // What was given back is exactly what was not used: a slot's ceiling is one behind its last id.
    for (region, datacenter) in REGIONS {
        let last = SNOWFLAKE64.decode(*drawn[region].last().expect("ids")).expect("an id");
        let slot = &look(folder.path(), datacenter).slots[0];
        assert_eq!((slot.value.holder.as_ref(), slot.value.ceiling), (None, last.timestamp + 1), "{region}");
    }

    // The next fleet goes on where this one ended.
    let fleet = up(folder.path(), 4, &[]);
    for (region, ids) in draw(&fleet.nodes) {
        assert!(ids[0] > *drawn[&region].last().expect("ids"), "{region}: {} is not above", ids[0]);
    }
    assert_eq!(fleet.stop().code(), Some(0));
}

/// That it also renders, validates and applies is shown by `make deploy` and `make terraform`.
#[test]
fn a_fifth_region_is_one_entry_and_serves_ids() {
    let folder = TempDir::new().expect("a folder");
    let text =
        ["regions/meridian.yaml", "tests/fixtures/fifth.yaml"].map(|f| std::fs::read_to_string(f).expect(f)).concat();
    let manifest = folder.path().join("five.yaml");
    std::fs::write(&manifest, &text).expect("a disk");
    let fleet = up(&folder.path().join("fleet"), 5, &["--manifest", manifest.to_str().expect("a path of text")]);
    let fifth = fleet.nodes.iter().find(|node| node.region == "sa-east").expect("five regions");
    assert_eq!(fifth.datacenter, 4);
    let drawn = draw(&fleet.nodes);
    assert_eq!(drawn.values().flatten().collect::<HashSet<_>>().len(), 500);
    assert!(drawn["sa-east"].iter().all(|id| SNOWFLAKE64.decode(*id).expect("an id").origin.datacenter == 4));
    // Chart and Terraform hash the same bytes.
    let sha256: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let metrics = get(&fifth.ops, "/metrics", "*/*").expect("an answer");
    let info = format!("meridian_manifest_info{{sha256=\"{sha256}\"}}");
    assert!(metrics.text().contains(&info), "no {info} in {}", metrics.text());
    assert_eq!(fleet.stop().code(), Some(0));
}

#[test]
fn nodes_beyond_the_quota_stand_by() {
    let folder = TempDir::new().expect("a folder");
    let fleet = up(folder.path(), 6, &["--manifest", SMALL, "--nodes-per-region", "3"]);
    let slots: Vec<(&str, Option<u16>)> = fleet.nodes.iter().map(|node| (node.region.as_str(), node.slot)).collect();
    // The static slot, the dynamic one that the quota leaves, nothing.
    let left = [("left", Some(0)), ("left", Some(16)), ("left", None)];
    assert_eq!(slots, [left, [("right", Some(0)), ("right", None), ("right", None)]].concat());

    for node in &fleet.nodes {
        let status = |base: &str, path: &str| get(base, path, "*/*").expect("an answer").status;
        let expect = if node.slot.is_some() { 200 } else { 503 };
        assert_eq!(status(&node.http, "/api/v1/id"), expect, "{node:?}");
        assert_eq!(status(&node.ops, "/readyz"), expect, "{node:?}");
        assert_eq!(status(&node.ops, "/livez"), 200, "{node:?}");
    }
    let place = leases(folder.path());
    let rows = status(&["--manifest", SMALL, "--coordination", &place]);
    let standbys: Vec<(&str, u64)> = rows
        .iter()
        .filter(|row| !row["standby"].is_null())
        .map(|row| (row["region"].as_str().expect("a name"), row["standby"].as_u64().expect("a rank")))
        .collect();
    assert_eq!(standbys, [("left", 0), ("right", 0), ("right", 1)]);
    assert_eq!(live(&rows).len(), 3);
    assert_eq!(fleet.stop().code(), Some(0));
}

#[test]
fn killed_it_still_takes_its_nodes_along() {
    let folder = TempDir::new().expect("a folder");
    let fleet = up(folder.path(), 2, &["--manifest", SMALL]);
    send(fleet.up.pid(), libc::SIGKILL);
    fleet.await_all_gone();
    let rows = status(&["--manifest", SMALL, "--coordination", &leases(folder.path())]);
    assert!(rows.is_empty(), "slots were not given back: {rows:?}");
    // And the folder is free again.
    assert_eq!(up(folder.path(), 2, &["--manifest", SMALL]).stop().code(), Some(0));
}

#[test]
fn a_folder_has_one_fleet_and_a_machine_many() {
    let (folder, other) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let fleet = up(folder.path(), 2, &["--manifest", SMALL]);
    let path = folder.path().to_str().expect("text");
    let second = run(&["up", "--json", "--manifest", SMALL, "--dir", path]);
    let message = format!("error: another `meridian up` runs in {path}; name another with --dir\n");
    assert_eq!((second.code(), second.err, second.out), (Some(1), message, String::new()));

    let second = up(other.path(), 2, &["--manifest", SMALL]);
    let addresses: HashSet<&str> = fleet.nodes.iter().chain(&second.nodes).map(|node| node.http.as_str()).collect();
    assert_eq!(addresses.len(), 4, "{addresses:?}");
    assert_eq!(draw(&fleet.nodes).len() + draw(&second.nodes).len(), 4);
    assert_eq!(second.stop().code(), Some(0));
    assert_eq!(draw(&fleet.nodes).len(), 2, "the other fleet's end is none of this one's business");
    assert_eq!(fleet.stop().code(), Some(0));
}

#[test]
fn a_node_that_dies_ends_the_fleet_with_its_last_words() {
    let folder = TempDir::new().expect("a folder");
    let fleet = up(folder.path(), 2, &["--manifest", SMALL]);
    send(fleet.nodes[1].pid, libc::SIGKILL);
    fleet.await_all_gone();
    let Fleet { up, nodes } = fleet;
    let ended = up.wait();
    assert_eq!(ended.code(), Some(3), "{}", ended.err);
    assert!(ended.err.starts_with("error: right-0 ended with signal: 9 (SIGKILL):\n"), "{}", ended.err);
    assert!(ended.err.contains("slot granted"), "{}", ended.err);
    assert!(!ended.err.contains('\x1b'), "{}", ended.err);
    // The one that was stopped has given its slot back, the one that was killed has not.
    let rows = status(&["--manifest", SMALL, "--coordination", &leases(folder.path())]);
    let held: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["region"], &row["live"])).collect();
    assert_eq!(held, [(&Value::from(nodes[1].region.as_str()), &Value::from(false))]);
}

#[test]
fn a_node_that_cannot_start_is_told_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let mut command = meridian(&["up", "--json", "--manifest", SMALL, "--dir", path]);
    // `up` has no such flag; its nodes do.
    command.env("MERIDIAN_DRAIN_SECONDS", "soon");
    let ended = Program::start(command).wait();
    assert_eq!(ended.code(), Some(3), "{}", ended.err);
    let expect =
        "error: left-0 ended with exit status: 2:\nerror: invalid value 'soon' for '--drain-seconds <SECONDS>'";
    assert!(ended.err.starts_with(expect), "{}", ended.err);
    assert_eq!(ended.out, "");
}

#[test]
fn people_are_told_what_runs_where() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let mut up = Program::start(meridian(&["up", "--dir", path, "--log", "warn"]));
    let mut seen = String::new();
    while !seen.contains("Ctrl-C") {
        seen += &up.line();
    }
    up.signal(libc::SIGINT);
    let ended = up.wait();
    assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""));
    let clock = "This machine's clock is not synchronised: the health check ntp_synchronized is switched off.\n\n";
    insta::assert_snapshot!("up", redacted(&ended.out.replace(clock, "").replace(path, "[dir]")));
    // --log is the nodes' too.
    let log = std::fs::read_to_string(folder.path().join("logs/apac-0.log")).expect("a log");
    assert!(!log.contains("INFO"), "{log}");
}

/// Replaces what differs each time: pids, loopback networks (and with them the widths of columns), the time it took.
fn redacted(text: &str) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if let Some((count, rest)) = line.split_once(" nodes up in ") {
            let (_, rest) = rest.split_once(" s,").expect("seconds");
            line = format!("{count} nodes up in [time] s,{rest}");
        }
        if line.contains("http://127.") {
            let mut parts = line.split("http://127.");
            let mut redacted = parts.next().expect("a first part").to_owned();
            for part in parts {
                let (_, rest) = part.split_once('.').expect("an address");
                redacted += "http://127.x.";
                redacted += rest;
            }
            line = redacted;
            if let Some((before, last)) = line.rsplit_once("  ")
                && last.parse::<u32>().is_ok()
            {
                line = format!("{before}  [pid]");
            }
        }
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
        let is_id = |word: &str| word.len() > 15 && word.bytes().all(|byte| byte.is_ascii_digit());
        let words: Vec<&str> = words.into_iter().map(|word| if is_id(word) { "[id]" } else { word }).collect();
        whole += &line[..line.len() - line.trim_start().len()];
        whole += &words.join("  ");
        whole.push('\n');
    }
    whole
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let mut up = Program::start(meridian(&["up", "--manifest", SMALL, "--dir", path]));
    let mut seen = String::new();
    while !seen.contains("Ctrl-C") {
        seen += &up.line();
    }
    let base =
        seen.lines().find_map(|line| line.split_once("curl ").map(|(_, url)| url.trim())).expect("a curl to try");
    let base = base.split("/api").next().expect("a base");
    // An answer that nobody takes keeps its node from leaving.
    let mut stuck = web::ask(base, "/api/v1/ids?count=1000000", "application/json").expect("a connection");
    stuck.read_exact(&mut [0; 12]).expect("the answer begins");
    let pids: Vec<u32> =
        seen.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).filter(|pid| runs(*pid)).collect();
    assert_eq!(pids.len(), 2, "{seen}");

    up.signal(libc::SIGINT);
    while !up.line().contains("stopping") {}
    block_until("the node that is not stuck to leave", || pids.iter().any(|pid| !runs(*pid)).then_some(()));
    assert!(pids.iter().any(|pid| runs(*pid)), "the stuck node did not wait for its client");
    up.signal(libc::SIGTERM);
    assert_eq!(up.wait().code(), Some(130));
    block_until("all nodes to leave", || pids.iter().all(|pid| !runs(*pid)).then_some(()));
}

#[test]
fn a_real_zookeeper_serves_all_regions() {
    let zookeeper = Ensemble::standalone();
    let hosts = zookeeper.connect_string();
    let folder = TempDir::new().expect("a folder");
    let fleet = up(folder.path(), 4, &["--zookeeper", &hosts]);
    let drawn = draw(&fleet.nodes);
    assert_eq!(drawn.values().flatten().collect::<HashSet<_>>().len(), 400);
    assert_eq!(live(&status(&["--zookeeper", &hosts])), REGIONS.map(|(region, _)| (region, Some(0))));
    assert!(!folder.path().join("leases").exists(), "nobody needs the files");
    assert_eq!(fleet.stop().code(), Some(0));
    assert_eq!(live(&status(&["--zookeeper", &hosts])), []);
}
