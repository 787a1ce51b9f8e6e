//! The command line, the real binary: what it takes, what it refuses and how, and its exit codes.

mod support;

use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use support::program::{Ended, Program, meridian, run};
use support::web::{self, await_ok, get};
use tempfile::TempDir;

const SMALL: &str = "tests/fixtures/small.yaml";
const BAD: &str = "tests/fixtures/manifest/load-above-2x.yaml";
const COMMANDS: [&str; 14] = [
    "serve",
    "up",
    "status",
    "health",
    "init",
    "drain",
    "undrain",
    "check",
    "decode",
    "get",
    "render",
    "dns",
    "drill",
    "completions",
];

/// Runs, and expects an exit code and, on stderr, all of these words.
#[track_caller]
fn check(args: &[&str], code: i32, words: &[&str]) -> Ended {
    check_command(meridian(args), code, words)
}

#[track_caller]
fn check_command(command: Command, code: i32, words: &[&str]) -> Ended {
    let what = format!("{command:?}");
    let ended = Program::start(command).wait();
    assert_eq!(ended.code(), Some(code), "{what}: {}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "{what}: no {word:?} in {}", ended.err);
    }
    assert_eq!(code == 0, ended.err.is_empty(), "{what}: {}", ended.err);
    assert!(!ended.err.contains("panicked"), "{what}: {}", ended.err);
    // Nothing here is a terminal.
    assert!(!ended.out.contains('\x1b') && !ended.err.contains('\x1b'), "{what}: colour");
    ended
}

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn file_place(folder: &Path) -> String {
    format!("file:{}", folder.join("leases").display())
}

#[test]
fn help_of_every_command() {
    // clap pads empty lines.
    let trimmed = |help: &str| help.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>();
    insta::assert_snapshot!("help", trimmed(&check(&["--help"], 0, &[]).out));
    for command in COMMANDS {
        let help = check(&[command, "--help"], 0, &[]).out;
        assert_eq!(check(&["help", command], 0, &[]).out, help);
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{command}: a line is too wide");
        insta::assert_snapshot!(format!("help_{command}"), trimmed(&help));
    }
    for target in ["gdnsd", "powerdns", "route53"] {
        let help = check(&["render", target, "--help"], 0, &[]).out;
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{target}: a line is too wide");
        insta::assert_snapshot!(format!("help_render_{target}"), trimmed(&help));
    }
    assert_eq!(check(&["--version"], 0, &[]).out, format!("meridian {}\n", meridian::VERSION));
}

/// A person who typed nothing gets the help, a script its exit code.
#[test]
fn no_command_is_a_mistake_with_help() {
    let ended = check(&[], 2, &["Usage: meridian", "Start here:"]);
    assert_eq!(ended.out, "");
}

#[test]
fn what_is_mistyped_is_told_what_was_meant() {
    check(&["srve"], 2, &["'srve'", "similar subcommand exists: 'serve'"]);
    check(&["check", "--jsn"], 2, &["'--jsn'", "similar argument exists: '--json'"]);
    check(&["check", "--manifset", "x"], 2, &["similar argument exists: '--manifest'"]);
    check(&["completions", "fsh"], 2, &["similar value exists: 'fish'"]);
    let region = ["no region \"us-est\"", "us-east, us-west, eu-west, apac", "did you mean us-east?"];
    check(&["serve", "--region", "us-est"], 2, &region);
    check(&["status", "--region", "us-est"], 2, &region);
    check(&["init", "--region", "us-est"], 2, &region);
    let far = check(&["serve", "--region", "qqq"], 2, &["no region \"qqq\""]);
    assert!(!far.err.contains("did you mean"), "{}", far.err);
    let criterion = ["--health-off \"clock_drift\"", "ntp_synchronized", "did you mean clock_drift_ms?"];
    check(&["serve", "--region", "apac", "--health-off", "clock_drift"], 2, &criterion);
}

#[test]
fn what_makes_no_sense_is_usage() {
    let serve = |more: &[&str], words: &[&str]| {
        check(&[&["serve", "--region", "apac"], more].concat(), 2, words);
    };
    check(&["serve"], 2, &["--region <NAME>"]);
    serve(&["--static-slot", "4"], &["--static-slot 4", "region apac has static slots 0 to 3"]);
    serve(&["--static-slot", "x"], &["'x' for '--static-slot <N>'"]);
    serve(&["--listen", "8080"], &["'8080' for '--listen <ADDR:PORT>'"]);
    serve(&["--coordination", "etcd:x"], &["--coordination \"etcd:x\"", "write file:DIR"]);
    serve(&["--coordination", "file:"], &["write file:DIR"]);
    serve(&["--log", "info,[request]=debug"], &["\"[request]=debug\" is no level", "write for instance info"]);
    serve(&["--zookeeper", "a:x"], &["zookeeper \"a:x\"", "write host:port"]);
    serve(&["--zookeeper", "a:1", "--coordination", "file:x"], &["--zookeeper and --coordination exclude each other"]);
    serve(&["--zookeeper", "a:1", "--zookeeper-auth", "nocolon"], &["user:password"]);
    serve(&["--zookeeper-admin-auth", "a:b"], &["--zookeeper-auth"]);
    for seconds in ["-1", "601", "soon", "NaN"] {
        serve(&[&format!("--lame-duck-seconds={seconds}")], &["--lame-duck-seconds", "write seconds from 0 to 600"]);
    }
    serve(&["--log", "a=b=c"], &["log filter \"a=b=c\""]);
    check(&["up", "--nodes-per-region", "0"], 2, &["1..=64"]);
    check(&["decode"], 2, &["<ID>..."]);
    // Told once, not once a region.
    for command in ["status", "init"] {
        let ended = check(&[command, "--coordination", "etcd:x"], 2, &["write file:DIR"]);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

#[test]
fn a_manifest_that_does_not_hold_is_no_and_one_that_is_not_there_is_the_world() {
    let place = file_place(folder().path());
    let commands: [&[&str]; 5] = [
        &["serve", "--region", "apac", "--coordination", &place],
        &["up"],
        &["status", "--coordination", &place],
        &["init", "--coordination", &place],
        &["decode", "1"],
    ];
    for command in commands {
        let bad = [command, &["--manifest", BAD]].concat();
        check(&bad, 1, &["`meridian check` says more", "load-above-2x.yaml:", "; fix: "]);
        let none = [command, &["--manifest", "nowhere.yaml"]].concat();
        check(&none, 3, &["cannot read the manifest nowhere.yaml; name one with --manifest: No such file"]);
    }
}

#[test]
fn check_says_yes_or_no() {
    assert!(check(&["check"], 0, &[]).out.starts_with("regions/meridian.yaml: fine\n"));
    let json = |args: &[&str]| -> (Option<i32>, Value) {
        let ended = run(args);
        (ended.code(), serde_json::from_str(&ended.out).expect("one JSON object"))
    };
    let (code, report) = json(&["check", "--json"]);
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)));
    let (code, report) = json(&["check", "--json", "--manifest", BAD]);
    assert_eq!((code, &report["ok"]), (Some(1), &Value::Bool(false)));
    let keys: Vec<&String> = report["problems"][0].as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["column", "file", "key", "line", "message"]);

    let ended = run(&["check", "--manifest", BAD]);
    assert_eq!((ended.code(), ended.err.as_str()), (Some(1), ""));
    assert!(ended.out.contains("2.40x"), "{}", ended.out);
    check(&["check", "--manifest", "nowhere.yaml"], 3, &["nowhere.yaml"]);
}

#[test]
fn decode_takes_ids_apart() {
    let id = (91_351_369_367_u64 << 22 | 2 << 17 | 16 << 12 | 7).to_string();
    let ended = check(&["decode", &id, "--json"], 0, &[]);
    let time = "2026-11-23T07:22:49.367Z";
    let expect = format!(
        "{{\"id\":\"{id}\",\"time\":\"{time}\",\"region\":\"eu-west\",\"datacenter\":2,\"worker\":16,\"sequence\":7}}\n"
    );
    assert_eq!(ended.out, expect);
    let table = check(&["decode", &id], 0, &[]).out;
    assert!(table.contains(time) && table.contains("eu-west"), "{table}");
    // A datacenter that no region has.
    let foreign = check(&["decode", &(31_u64 << 17).to_string(), "--json"], 0, &[]).out;
    assert!(foreign.contains("\"region\":null,\"datacenter\":31"), "{foreign}");
}

/// Good ids are still decoded next to bad ones, and the exit code tells.
#[test]
fn decode_refuses_what_is_no_id() {
    for bad in ["abc", "", "-3", "+5", " 5", "5.0", "0x5", "99999999999999999999"] {
        let ended = check(&["decode", "5", bad, "--json"], 1, &["an id is a decimal number"]);
        assert!(ended.err.starts_with(&format!("error: {bad:?}: ")), "{}", ended.err);
        assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    }
    let ended = check(&["decode", "18446744073709551615"], 1, &["no id of the layout snowflake64"]);
    assert_eq!(ended.out, "");
}

#[test]
fn completions_of_each_shell() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef meridian"), ("fish", "complete -c meridian")] {
        let script = check(&["completions", shell], 0, &[]).out;
        assert!(script.contains(word), "{shell}");
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn init_is_idempotent_and_status_shows_what_is_there() {
    let folder = folder();
    let place = file_place(folder.path());
    let on = ["--manifest", SMALL, "--coordination", &place];
    let status = [&["status", "--json"], &on[..]].concat();
    let init = [&["init", "--json"], &on[..]].concat();

    let ended = check(&status, 3, &["region left: no tree at", "run `meridian init` first", "region right: "]);
    assert_eq!(ended.out, "[]\n");
    insta::assert_snapshot!(check(&init, 0, &[]).out, @r#"
    {"region":"left","datacenter":0,"tree_created":true,"slots_created":32,"admission_changed":false}
    {"region":"right","datacenter":1,"tree_created":true,"slots_created":32,"admission_changed":false}
    "#);
    insta::assert_snapshot!(check(&init, 0, &[]).out, @r#"
    {"region":"left","datacenter":0,"tree_created":false,"slots_created":0,"admission_changed":false}
    {"region":"right","datacenter":1,"tree_created":false,"slots_created":0,"admission_changed":false}
    "#);
    assert_eq!(
        check(&[&["init"], &on[..]].concat(), 0, &[]).out,
        "left (datacenter 0): tree already there\nright (datacenter 1): tree already there\n"
    );
    assert_eq!(check(&status, 0, &[]).out, "[]\n");
    assert_eq!(
        check(&[&["status"], &on[..]].concat(), 0, &[]).out,
        "left (datacenter 0): 0 of 2 slots live\nright (datacenter 1): 0 of 1 slots live\n"
    );

    // Another quota in the manifest is brought over by init.
    let more = folder.path().join("more.yaml");
    let text = std::fs::read_to_string(SMALL).expect("a manifest");
    std::fs::write(&more, text.replace("quota: 2, static: 1, surge: 2", "quota: 3, static: 1, surge: 3"))
        .expect("room");
    let more = more.to_str().expect("text");
    let ended = check(&["init", "--manifest", more, "--coordination", &place, "--region", "left"], 0, &[]);
    assert_eq!(ended.out, "left (datacenter 0): tree already there, quota brought up to date\n");
    // A tree of another fleet is left alone.
    check(&["init", "--coordination", &place, "--region", "us-east"], 3, &["region us-east"]);
}

#[test]
fn what_cannot_be_reached_is_the_world() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hosts = closed.local_addr().expect("an address").to_string();
    drop(closed);
    for command in ["status", "init"] {
        let ended = check(&[command, "--zookeeper", &hosts, "--region", "apac"], 3, &["region apac: ", &hosts]);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

#[test]
fn a_port_in_use_is_told_with_its_flag() {
    let folder = folder();
    let place = file_place(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let serve = ["serve", "--region", "apac", "--coordination", &place, "--init"];
    let words = ["cannot listen on", &address, "Address already in use"];
    let public = [&serve[..], &["--listen", &address, "--ops-listen", "127.0.0.1:0"]].concat();
    check(&public, 3, &[&words[..], &["choose another with --listen"]].concat());
    let operations = [&serve[..], &["--listen", "127.0.0.1:0", "--ops-listen", &address]].concat();
    check(&operations, 3, &[&words[..], &["choose another with --ops-listen"]].concat());
}

/// Starts a node on any ports, and gives its addresses.
fn serve(mut command: Command) -> (Program, String, String) {
    command.args(["--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    let mut node = Program::start(command);
    let line: Value = serde_json::from_str(&node.line()).expect("one JSON object");
    assert_eq!(line["pid"], node.pid());
    let base = |key: &str| line[key].as_str().expect("a URL").to_owned();
    let (http, ops) = (base("http"), base("ops"));
    await_ok(&ops, "/readyz");
    (node, http, ops)
}

#[test]
fn one_node_by_flags_as_status_shows_it() {
    let folder = folder();
    let place = file_place(folder.path());
    let on = ["--manifest", SMALL, "--coordination", &place, "--region", "left"];
    let flags = ["serve", "--static-slot", "0", "--host", "one", "--init"];
    let (node, http, _) = serve(meridian(&[&flags[..], &on[..]].concat()));
    let rows = check(&[&["status", "--json"], &on[..]].concat(), 0, &[]).out;
    insta::assert_snapshot!("status", redacted(&rows, &http));
    let table = check(&[&["status"], &on[..]].concat(), 0, &[]).out;
    assert!(table.starts_with("left (datacenter 0): 1 of 2 slots live\n"), "{table}");
    assert!(table.contains("REGION  SLOT  STATE  HOST"), "{table}");

    node.signal(libc::SIGTERM);
    let ended = node.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(!ended.err.contains('\x1b'), "{}", ended.err);
    for line in ended.err.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

fn redacted(rows: &str, http: &str) -> String {
    let rows: Vec<Value> = serde_json::from_str(rows).expect("rows");
    let mut text = String::new();
    for mut row in rows {
        assert_eq!(row["http"], http);
        assert_eq!(row["holder"].as_str().map(str::len), Some(32));
        for key in ["ceiling", "since"] {
            let time = row[key].as_str().expect("a time");
            assert!(time.len() == "2026-11-23T07:22:49.367Z".len() && time.ends_with('Z'), "{time}");
        }
        assert!(row["clock_drift_ms"].is_f64(), "the node was asked: {row}");
        for key in ["http", "holder", "ceiling", "since", "version", "clock_drift_ms"] {
            row[key] = format!("[{key}]").into();
        }
        text += &serde_json::to_string_pretty(&row).expect("JSON");
    }
    text
}

#[test]
fn one_node_by_the_environment_and_flags_win() {
    let folder = folder();
    let state = folder.path().join("state");
    let place = file_place(folder.path());
    let mut command = meridian(&["serve", "--region", "left"]);
    command
        .env("MERIDIAN_MANIFEST", SMALL)
        .env("MERIDIAN_REGION", "nowhere")
        .env("MERIDIAN_COORDINATION", &place)
        .env("MERIDIAN_STATE_DIR", &state)
        .env("MERIDIAN_STATIC_SLOT", "0")
        .env("MERIDIAN_HOST", "by-environment")
        .env("MERIDIAN_HEALTH_OFF", "ntp_synchronized,clock_drift_ms")
        .env("MERIDIAN_INIT", "1")
        .env("MERIDIAN_LOG", "debug")
        .env("MERIDIAN_LOG_FORMAT", "text");
    let (node, http, _) = serve(command);
    let health = get(&http, "/api/v1/health", "*/*").expect("an answer");
    let health: Value = serde_json::from_slice(&health.body).expect("JSON");
    assert_eq!(health["worker"], 0);
    assert_eq!(health["checks"]["ntp_synchronized"]["status"], "off");
    assert!(state.read_dir().expect("a folder").next().is_some(), "no high-water mark");

    // The same by command: where the environment says that the node listens, or where it is asked.
    let mut health = meridian(&["health"]);
    health.env("MERIDIAN_LISTEN", http.trim_start_matches("http://"));
    let table = check_command(health, 0, &[]).out;
    assert!(table.starts_with("worker 0 of left: pass\nCHECK") && table.contains("ntp_synchronized"), "{table}");
    let json = check(&["health", &http, "--json"], 0, &[]).out;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["worker"], 0);
    let region = check(&["health", &format!("{http}/"), "--region"], 0, &[]).out;
    assert!(region.contains("\nworkers "), "{region}");
    check(&["health", &format!("{http}/api")], 3, &["says 404 Not Found, and not how a node is"]);
    check(&["health", "http://127.0.0.1:1"], 3, &["http://127.0.0.1:1/api/v1/health could not be asked"]);
    check(&["health", "left"], 3, &["\"left/api/v1/health\" is no URL of a node; write http://host:port"]);

    // A flag wins also where the two exclude each other.
    let mut status = meridian(&["status", "--json", "--coordination", &place]);
    status.env("MERIDIAN_ZOOKEEPER", "127.0.0.1:1").env("MERIDIAN_REGION", "left").env("MERIDIAN_MANIFEST", SMALL);
    let rows = check_command(status, 0, &[]).out;
    assert!(rows.contains("\"host\":\"by-environment\""), "{rows}");
    let mut both = meridian(&["status"]);
    both.env("MERIDIAN_ZOOKEEPER", "127.0.0.1:1").env("MERIDIAN_COORDINATION", &place);
    check_command(both, 2, &["MERIDIAN_ZOOKEEPER and MERIDIAN_COORDINATION are both set"]);
    let mut bad = meridian(&["check"]);
    bad.env("MERIDIAN_MANIFEST", "nowhere.yaml");
    check_command(bad, 3, &["nowhere.yaml"]);
    let mut good = meridian(&["check", "--manifest", SMALL]);
    good.env("MERIDIAN_MANIFEST", "nowhere.yaml");
    check_command(good, 0, &[]);

    node.signal(libc::SIGINT);
    let ended = node.wait();
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains(" INFO ") && ended.err.contains("SIGINT: draining"), "{}", ended.err);
}

#[test]
fn the_second_signal_ends_a_node_at_once() {
    let folder = folder();
    let place = file_place(folder.path());
    for (first, second) in [(libc::SIGTERM, libc::SIGTERM), (libc::SIGINT, libc::SIGTERM)] {
        let flags = ["serve", "--manifest", SMALL, "--region", "left", "--init", "--coordination", &place];
        let (node, http, _) = serve(meridian(&flags));
        // An answer that nobody takes keeps the node draining.
        let mut stuck = web::ask(&http, "/api/v1/ids?count=1000000", "application/json").expect("a connection");
        stuck.read_exact(&mut [0; 12]).expect("the answer begins");
        node.signal(first);
        node.wait_err("draining");
        node.signal(second);
        let ended = node.wait();
        assert_eq!(ended.code(), Some(130), "{}", ended.err);
        assert!(ended.err.contains("again: leaving at once"), "{}", ended.err);
    }
}

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    Stdio::from(OwnedFd::from(writer))
}

/// `meridian check | head -1` ends quietly, with the verdict as its exit code.
#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = folder();
    let place = file_place(folder.path());
    check(&["init", "--coordination", &place], 0, &[]);
    let commands: [(&[&str], i32); 9] = [
        (&["check"], 0),
        (&["check", "--json"], 0),
        (&["check", "--manifest", BAD], 1),
        (&["decode", "5"], 0),
        (&["completions", "zsh"], 0),
        (&["status", "--coordination", &place], 0),
        (&["init", "--coordination", &place], 0),
        (&["serve", "--help"], 0),
        (&["--version"], 0),
    ];
    for (args, code) in commands {
        let mut command = meridian(args);
        command.stdout(closed_pipe()).stderr(Stdio::piped());
        let ended = Program::start_as_is(command).wait();
        assert_eq!((ended.code(), ended.err.as_str()), (Some(code), ""), "{args:?}");
        // And without anybody who reads the errors.
        let mut command = meridian(args);
        command.stdout(closed_pipe()).stderr(closed_pipe());
        assert_eq!(Program::start_as_is(command).wait().code(), Some(code), "{args:?}");
    }
    let mut command = meridian(&["check", "--manifest", "nowhere.yaml"]);
    command.stdout(closed_pipe()).stderr(closed_pipe());
    assert_eq!(Program::start_as_is(command).wait().code(), Some(3));
}

/// A full disk is a failure, and says so.
#[test]
fn a_disk_that_is_full_is_the_world() {
    for args in [&["check"][..], &["check", "--json"], &["decode", "5"], &["completions", "bash"]] {
        let mut command = meridian(args);
        command.stdout(File::options().write(true).open("/dev/full").expect("it is there")).stderr(Stdio::piped());
        let ended = Program::start_as_is(command).wait();
        assert_eq!(ended.code(), Some(3), "{args:?}: {}", ended.err);
        assert!(ended.err.contains("No space left on device") && !ended.err.contains("panicked"), "{}", ended.err);
    }
}

/// A node outlives the reader of its logs.
#[test]
fn a_node_without_anybody_who_reads_its_log_goes_on() {
    let folder = folder();
    let place = file_place(folder.path());
    let mut command = meridian(&["--log", "trace", "serve", "--manifest", SMALL, "--region", "left", "--init"]);
    command.args(["--coordination", &place, "--json", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(closed_pipe());
    let mut node = Program::start_as_is(command);
    let line: Value = serde_json::from_str(&node.line()).expect("one JSON object");
    await_ok(line["ops"].as_str().expect("a URL"), "/readyz");
    let answer = get(line["http"].as_str().expect("a URL"), "/api/v1/ids?count=2", "*/*").expect("an answer");
    assert_eq!(answer.ids().len(), 2);
    node.signal(libc::SIGTERM);
    assert_eq!(node.wait().code(), Some(0));
}
