//! `meridian dns` against real servers: what it says when all is well, when a region dies, and when an answer is wrong.

use super::engines::{BOTH, Engine, Kind, free_address};
use super::failures::{NAMES, manifest};
use super::regions::{Regions, State};
use super::support::block_until;
use super::support::program::{Ended, Program, meridian, run};
use serde_json::Value;

fn rows(ended: &Ended) -> Vec<Value> {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {} {}", ended.out, ended.err))
}

#[test]
fn both_engines_are_surveyed_as_clients_see_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let regions = Regions::start(&NAMES);
    let manifest = manifest(&regions, folder.path(), false);
    let engines = BOTH.map(|kind| Engine::start(kind, &manifest, folder.path(), regions.port));
    let servers = engines.each_ref().map(|engine| engine.address.to_string()).join(",");
    let (path, port) = (manifest.to_str().expect("text"), regions.port.to_string());
    let args = ["dns", "--manifest", path, "--server", &servers, "--probe-port", &port];
    let dns = |more: &[&str]| run(&[&args[..], more].concat());

    // Live health is what the regions say themselves; PowerDNS begins to probe with the first question.
    block_until("all is well", || (dns(&[]).code() == Some(0)).then_some(()));
    let ended = dns(&["--json"]);
    assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""));
    let all = rows(&ended);
    assert_eq!(all.len(), 8, "two servers, four networks");
    let first = &all[0];
    let address = regions.address("us-east").to_string();
    assert_eq!((&first["client"], &first["region"]), (&"10.0.0.0/16".into(), &"us-east".into()));
    assert_eq!(first["answers"], Value::from(vec![address.clone()]));
    assert_eq!(first["expected"], Value::from(vec![address]));
    assert_eq!((&first["ttl"], &first["scope"], &first["ok"]), (&60.into(), &16.into(), &true.into()));
    for key in ["server", "shares", "problem"] {
        assert!(first.get(key).is_some(), "{first}");
    }

    // Stated otherwise, the answers are wrong.
    let ended = dns(&["--down", "us-east", "--json"]);
    assert_eq!(ended.code(), Some(1), "{}", ended.err);
    for row in rows(&ended) {
        let right = row["region"] != "us-east";
        assert_eq!(row["ok"], right, "{row}");
        assert_eq!(row["problem"], if right { Value::Null } else { "not whom the manifest names".into() });
    }
    assert_eq!(dns(&["--down", "none"]).code(), Some(0));

    // A death is seen here at once, and in the answers within the probes' time.
    regions.set("us-east", State::Ill);
    block_until("the engines follow", || (dns(&["--samples", "10"]).code() == Some(0)).then_some(()));
    let ended = dns(&["--samples", "400", "--json"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.out);
    for row in rows(&ended).iter().filter(|row| row["region"] == "us-east") {
        let (west, eu) = (row["shares"]["us-west"].as_f64().unwrap(), row["shares"]["eu-west"].as_f64().unwrap());
        assert!((west - 0.625).abs() < 0.1 && (west + eu - 1.0).abs() < 1e-9, "{row}");
        assert_eq!(row["answers"].as_array().map(Vec::len), Some(2), "{row}");
    }
    let table = dns(&["--samples", "10"]).out;
    assert!(table.starts_with("ids.example.com (down: us-east)\n"), "{table}");
    assert!(table.contains("us-west 62.5 % or eu-west 37.5 %"), "{table}");
    println!("{table}");

    // Round after round, until told to stop.
    let mut watching = Program::start(meridian(&[&args[..], &["--watch", "1", "--json"]].concat()));
    for _ in 0..2 {
        assert_eq!(serde_json::from_str::<Vec<Value>>(&watching.line()).expect("rows").len(), 8);
    }
    watching.signal(libc::SIGINT);
    assert_eq!(watching.wait().code(), Some(0));

    // A server that says nothing is the world's failure, unless another one is wrong.
    let silent = free_address().to_string();
    let quiet = ["dns", "--manifest", path, "--server", &silent, "--down", "none"];
    let ended = run(&quiet);
    assert_eq!(ended.code(), Some(3), "{}", ended.err);
    assert!(ended.err.contains(&format!("{silent} does not answer; name the authoritative servers")), "{}", ended.err);
    let both = format!("{silent},{}", engines[0].address);
    assert_eq!(run(&["dns", "--manifest", path, "--server", &both, "--down", "none"]).code(), Some(1));
}

/// A server that does not serve the name has an answer, and it is wrong.
#[test]
fn a_refusal_is_a_wrong_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let regions = Regions::start(&NAMES);
    let manifest = manifest(&regions, folder.path(), false);
    let engine = Engine::start(Kind::Gdnsd, &manifest, folder.path(), regions.port);
    let text = std::fs::read_to_string(&manifest)
        .expect("a manifest")
        .replace("name: ids.example.com", "name: id.example.net");
    let other = folder.path().join("other.yaml");
    std::fs::write(&other, text).expect("a manifest");
    let server = engine.address.to_string();
    let ended = run(&["dns", "--manifest", other.to_str().expect("text"), "--server", &server, "--down", "none"]);
    assert_eq!(ended.code(), Some(1), "{}", ended.err);
    assert!(ended.out.contains("Refused") || ended.out.contains("REFUSED"), "{}", ended.out);
}

#[test]
fn mistakes_are_told() {
    let check = |args: &[&str], code: i32, words: &str| {
        let ended = run(&[&["dns"], args].concat());
        assert_eq!(ended.code(), Some(code), "{args:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{args:?}: {}", ended.err);
    };
    check(&["--down", "us-est"], 2, "did you mean us-east?");
    check(&["--down", "none,us-east"], 2, "exclude each other");
    check(&["--server", "localhost"], 2, "'localhost' for '--server");
    check(&["--samples", "0"], 2, "1..=100000");
    check(&["--watch", "0"], 2, "1..=86400");
    check(&["--manifest", "nowhere.yaml"], 3, "cannot read the manifest nowhere.yaml");
}
