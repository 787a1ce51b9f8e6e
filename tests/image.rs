//! The container image that `scripts/image` built: what is in it, and that it serves ids against a real ZooKeeper.

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::program::Program;
use support::web::{await_ok, get};
use support::{Ensemble, own_address};
use tempfile::TempDir;

const BYTES_AT_MOST: u64 = 20_000_000;
const NAME: &str = concat!("meridian:", env!("CARGO_PKG_VERSION"));

fn built(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image").join(name);
    assert!(path.exists(), "{} is not there: run scripts/image first (`make image` does)", path.display());
    path
}

/// podman with storage of its own, the image loaded. What runs when it goes is killed.
struct Podman {
    folder: TempDir,
}

impl Podman {
    fn with_image() -> Podman {
        let podman = Podman { folder: TempDir::new().expect("a folder") };
        podman.expect(&["load", "--quiet", "--input", built("meridian.tar").to_str().expect("a plain path")]);
        podman
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("podman");
        let path = |name| self.folder.path().join(name);
        command.args([
            "--runtime",
            "runc",
            "--cgroup-manager",
            "cgroupfs",
            "--storage-driver",
            "vfs",
            "--events-backend",
            "none",
        ]);
        command.arg("--root").arg(path("root")).arg("--runroot").arg(path("run")).arg("--tmpdir").arg(path("tmp"));
        command.args(args).stdin(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("podman starts; without it run scripts/install")
    }

    fn expect(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// How a pod of the chart runs, as far as podman can: on this host's network, since ZooKeeper is on loopback.
const CONFINED: &[&str] = &[
    "--network=host",
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=1024:1024",
    "--ulimit=nproc=1024:1024",
];

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.output(&["rm", "--all", "--force", "--time", "0"]);
    }
}

#[test]
fn it_holds_one_static_binary_and_nothing_to_break_in_with() {
    let podman = Podman::with_image();
    let inspected: Value =
        serde_json::from_str(&podman.expect(&["image", "inspect", NAME])).expect("podman prints JSON");
    let image = &inspected[0];
    assert!(image["Size"].as_u64().is_some_and(|bytes| bytes < BYTES_AT_MOST), "{} bytes", image["Size"]);
    let config = &image["Config"];
    assert_eq!(config["User"], "10001:10001");
    let label = |name: &str| config["Labels"][format!("org.opencontainers.image.{name}")].as_str().unwrap_or("");
    assert_eq!((label("version"), label("licenses")), (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_LICENSE")));
    assert_eq!(label("description"), env!("CARGO_PKG_DESCRIPTION"));
    assert_eq!(label("revision").len(), 40, "{:?}", label("revision"));
    assert_eq!(image["Healthcheck"]["Test"], serde_json::json!(["CMD", "/meridian", "health"]));

    let run = |args: &[&str]| podman.output(&[&["run", "--rm"], CONFINED, args].concat());
    let version = run(&[NAME, "--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout).trim(), format!("meridian {}", env!("CARGO_PKG_VERSION")));
    assert!(!run(&["--entrypoint", "/bin/sh", NAME, "-c", "true"]).status.success(), "a shell");

    // What the image itself brings; podman adds mount points.
    podman.expect(&["create", "--name", "bare", NAME]);
    let tar = podman.folder.path().join("bare.tar");
    podman.expect(&["export", "--output", tar.to_str().expect("a plain path"), "bare"]);
    let listed = Command::new("tar").arg("-tvf").arg(&tar).output().expect("tar is there");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let programs: BTreeSet<&str> = listed
        .lines()
        .filter(|line| line.starts_with('-') && line[..10].contains('x'))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(programs, BTreeSet::from(["meridian"]), "{listed}");
}

#[test]
fn it_serves_ids_against_a_real_zookeeper() {
    let (podman, ensemble) = (Podman::with_image(), Ensemble::standalone());
    let connect = ensemble.connect_string();
    let (zookeeper, port) = connect.rsplit_once(':').expect("an address and a port");
    // Both must be known before: the health check reads them from the container's environment.
    let own = own_address();
    let [http, ops] = [(); 2].map(|()| TcpListener::bind((own, 0)).expect("a free port"));
    let [http, ops] = [http, ops].map(|held| held.local_addr().expect("a bound port").to_string());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("regions/meridian.yaml");
    let given = [
        // A name, so that the static binary must look it up.
        format!("--add-host=zookeeper:{zookeeper}"),
        format!("--env=MERIDIAN_ZOOKEEPER=zookeeper:{port}"),
        format!("--env=MERIDIAN_LISTEN={http}"),
        format!("--env=MERIDIAN_OPS_LISTEN={ops}"),
        "--env=MERIDIAN_REGION=us-east".to_owned(),
        "--env=MERIDIAN_INIT=1".to_owned(),
        // This host's clock and speed are its own.
        "--env=MERIDIAN_HEALTH_OFF=ntp_synchronized,clock_drift_ms,response_time_ms".to_owned(),
        format!("--volume={}:/etc/meridian/meridian.yaml:ro", manifest.display()),
        // A new volume takes its owner from the image.
        "--volume=state:/var/lib/meridian".to_owned(),
    ];
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let args = [&["run", "--name", "node"], CONFINED, &given, &[NAME, "serve", "--json"]].concat();
    let mut node = Program::start(podman.command(&args));
    let bound: Value = serde_json::from_str(&node.line()).expect("one line of JSON");
    assert_eq!((&bound["region"], &bound["pid"]), (&"us-east".into(), &1.into()));
    let (http, ops) = (format!("http://{http}"), format!("http://{ops}"));
    await_ok(&ops, "/readyz");

    let ids = get(&http, "/api/v1/ids?count=4096", "application/json").expect("an answer").ids();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4_096);
    let decoded = podman.expect(&["exec", "node", "/meridian", "decode", &ids[0].to_string(), "--json"]);
    assert!(decoded.contains(r#""region":"us-east""#), "{decoded}");
    podman.expect(&["healthcheck", "run", "node"]);
    let health = podman.expect(&["exec", "node", "/meridian", "health", "--region"]);
    assert!(health.contains("of us-east: pass"), "{health}");

    podman.expect(&["kill", "--signal", "TERM", "node"]);
    let ended = node.wait();
    let marks = podman.expect(&["volume", "inspect", "state", "--format", "{{.Mountpoint}}"]);
    let marks = std::fs::read_dir(marks.trim()).expect("the volume").count();
    assert_eq!(marks, 1, "one high-water mark");
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains("slot released"), "{}", ended.err);
}

#[test]
fn both_recipes_make_the_same_image() {
    let stage = |name: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name);
        let (_, stage) = text.rsplit_once("FROM scratch\n").expect("a stage from scratch");
        stage.replace("--from=build ", "").replace("/stage/", "")
    };
    assert_eq!(stage("Containerfile"), stage("Containerfile.static"));
}
