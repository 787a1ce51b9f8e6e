//! Against the whole fleet, as `meridian up` runs it.

use super::run;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `meridian up` in a folder of its own; told to stop, and waited for, when dropped.
struct Up {
    child: Child,
    urls: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Up {
    fn start() -> Up {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
        command.args(["up", "--json", "--manifest"]).arg(manifest()).arg("--dir").arg(folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let rows = BufReader::new(child.stdout.take().unwrap()).lines().take(4);
        let url = |row: String| {
            let row: Value = serde_json::from_str(&row).unwrap();
            row["http"].as_str().unwrap().to_owned()
        };
        let urls: Vec<String> = rows.map(|row| url(row.unwrap())).collect();
        assert_eq!(urls.len(), 4, "a node in each region");
        Up { child, urls, _folder: folder }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

fn manifest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("regions/meridian.yaml")
}

#[test]
fn the_fleet_gives_no_id_twice() {
    let up = Up::start();
    let manifest = manifest();
    let all = |more: &[&str]| {
        let mut arguments = vec!["--manifest", manifest.to_str().unwrap()];
        up.urls.iter().for_each(|url| arguments.extend(["--target", url]));
        arguments.extend(more);
        let (code, report) = run(&arguments);
        assert_eq!((code, &report["duplicates"], &report["disordered"]), (0, &json!(0), &json!(0)), "{report}");
        report
    };
    let report = all(&["--seconds", "2"]);
    assert!(report["ids"].as_u64().unwrap() > 0, "{report}");
    assert!(report["latency_ms"]["p50"].as_f64() <= report["latency_ms"]["max"].as_f64(), "{report}");
    let mut regions: Vec<&str> =
        report["workers"].as_array().unwrap().iter().map(|worker| worker["region"].as_str().unwrap()).collect();
    regions.sort_unstable();
    assert_eq!(regions, ["apac", "eu-west", "us-east", "us-west"], "{report}");

    for (form, count, ids) in
        [("id", "1", 2_501), ("ids", "700", 100_001), ("ranges", "100000", 2_500_001), ("bytes", "5000", 250_001)]
    {
        let report = all(&["--form", form, "--count", count, "--ids", &ids.to_string()]);
        assert_eq!(report["ids"], ids, "the last requests are smaller, so that exactly as many came: {report}");
        assert_eq!(report["ended_by"], "ids", "{report}");
    }

    // The schedule asks for 200 ids a second from the start on, and never for more.
    let report = all(&["--rate", "200", "--seconds", "2"]);
    let (ids, seconds) = (report["ids"].as_f64().unwrap(), report["seconds"].as_f64().unwrap());
    assert!(ids > 100.0 && ids <= 200.0 * seconds + 2.0, "{report}");
}
