//! What `meridian render` does to a folder, and what it says.

use super::support::program::{Ended, run};
use meridian::render::Aspect;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn render(target: &str, folder: &Path, more: &[&str]) -> Ended {
    let folder = folder.to_str().expect("text");
    run(&[&["render", target, "-o", folder], more].concat())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Read these when a rendering changes.
#[test]
fn the_shipped_manifest_in_each_language() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = [
        ("gdnsd", &["config", "zones/ids.example.com", "FIDELITY.md"][..]),
        ("powerdns", &["pdns.conf", "named.conf", "ids.example.com.zone", "FIDELITY.md"]),
        ("route53", &["route53.json", "FIDELITY.md"]),
    ];
    let digest = meridian::manifest::digest(&std::fs::read("regions/meridian.yaml").expect("the manifest"));
    for (target, names) in files {
        let into = folder.path().join(target);
        let ended = render(target, &into, &[]);
        assert_eq!((ended.code(), ended.err.as_str()), (Some(0), ""));
        insta::assert_snapshot!(
            format!("{target}_said"),
            ended.out.replace(folder.path().to_str().unwrap(), "[folder]")
        );
        for name in names {
            let text = read(&into.join(name));
            assert!(text.contains(&digest) && text.contains("Do not edit"), "{target}/{name}");
            let text = text.replace(&digest, "[digest]").replace(&serial(&digest), "[serial]");
            let text = if name.ends_with(".json") { a_line_each(&text) } else { text };
            insta::assert_snapshot!(format!("{target}_{}", name.replace(['/', '.'], "_")), text);
        }
        // The same manifest gives the same bytes.
        let before: Vec<String> = names.iter().map(|name| read(&into.join(name))).collect();
        assert_eq!(render(target, &into, &[]).code(), Some(0));
        assert_eq!(names.iter().map(|name| read(&into.join(name))).collect::<Vec<_>>(), before);
    }
}

/// JSON as one reads it: what is in the outermost lists and objects, a line each.
fn a_line_each(text: &str) -> String {
    let document: BTreeMap<String, Value> = serde_json::from_str(text).expect("one JSON object");
    let lines = document.iter().flat_map(|(key, value)| match value {
        Value::Array(values) => values.iter().map(|value| format!("{key}: {value}\n")).collect(),
        Value::Object(values) => values.iter().map(|(name, value)| format!("{key}.{name}: {value}\n")).collect(),
        value => vec![format!("{key}: {value}\n")],
    });
    lines.collect()
}

fn serial(digest: &str) -> String {
    u32::from_str_radix(&digest[..8], 16).expect("hex digits").to_string()
}

/// Only gdnsd knows floating TTLs; the others say that they do not.
#[test]
fn a_floating_ttl_where_there_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("manifest.yaml");
    let text = read(Path::new("regions/meridian.yaml")).replace("floating_ttl: false", "floating_ttl: true");
    std::fs::write(&manifest, text).expect("a manifest");
    for (target, file, line, verdict) in [
        ("gdnsd", "zones/ids.example.com", "@ 60/1 DYNA geoip!ids\n", "kept"),
        ("powerdns", "ids.example.com.zone", "@ 60 LUA A ", "lost"),
        ("route53", "route53.json", "\"ttl\": 60,", "lost"),
    ] {
        let into = folder.path().join(target);
        let ended = render(target, &into, &["--json", "--manifest", manifest.to_str().expect("text")]);
        let report: Value = serde_json::from_str(&ended.out).expect("one JSON object");
        let ttl = report["fidelity"].as_array().expect("findings").iter().find(|finding| finding["aspect"] == "ttl");
        assert_eq!(ttl.expect("a finding")["verdict"], verdict, "{target}");
        assert!(read(&into.join(file)).contains(line), "{target}");
    }
}

#[test]
fn every_target_says_something_of_every_aspect() {
    let folder = tempfile::tempdir().expect("a folder");
    let all: BTreeSet<String> = Aspect::ALL.iter().map(json).collect();
    for target in ["gdnsd", "powerdns", "route53"] {
        let ended = render(target, &folder.path().join(target), &["--json"]);
        let report: Value = serde_json::from_str(&ended.out).expect("one JSON object");
        let keys: Vec<&String> = report.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["fidelity", "files", "folder", "manifest_sha256", "stale", "target"]);
        let findings = report["fidelity"].as_array().expect("findings");
        let said: BTreeSet<String> = findings.iter().map(|finding| finding["aspect"].to_string()).collect();
        assert_eq!(said, all, "{target}");
        for finding in findings {
            assert!(["kept", "changed", "lost"].contains(&finding["verdict"].as_str().expect("text")), "{finding}");
            assert!(finding["target"].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("JSON")
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path();
    std::fs::write(into.join("config"), "options => { listen => any }\n").expect("a file");
    std::fs::write(into.join("notes"), "mine").expect("a file");
    let ended = render("gdnsd", into, &[]);
    assert_eq!(ended.code(), Some(1), "{}", ended.out);
    for words in ["config was not written by `meridian render`", "nothing was written", "--output"] {
        assert!(ended.err.contains(words), "{}", ended.err);
    }
    assert!(!into.join("zones").exists() && !into.join("FIDELITY.md").exists());
    assert_eq!(read(&into.join("config")), "options => { listen => any }\n");

    // Out of the way, it works, next to what is no business of ours.
    std::fs::rename(into.join("config"), into.join("config.old")).expect("a file");
    let ended = render("gdnsd", into, &[]);
    assert_eq!(ended.code(), Some(0), "{}", ended.err);
    assert_eq!(read(&into.join("notes")), "mine");

    // A zone that is no longer there would still be served.
    std::fs::rename(into.join("zones/ids.example.com"), into.join("zones/old.example.com")).expect("a file");
    let ended = render("gdnsd", into, &[]);
    assert!(ended.out.contains("zones/old.example.com is from an earlier rendering"), "{}", ended.out);
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().join("out");
    let check = |target: &str, more: &[&str], code: i32, words: &str| {
        let ended = render(target, &into, more);
        assert_eq!(ended.code(), Some(code), "{target} {more:?}: {}", ended.err);
        assert!(ended.err.contains(words), "{target} {more:?}: {}", ended.err);
        assert!(!into.exists(), "{target} {more:?} wrote something");
    };
    check("gdnsd", &["--nameserver", "ns1.ids.example.com"], 2, "say where it is, as ns1.ids.example.com=192.0.2.53");
    check("gdnsd", &["--nameserver", "ns1"], 2, "is not the full name of a name server");
    check("gdnsd", &["--nameserver", "ns1.ids.example.com=1.2.3"], 2, "\"1.2.3\" is not an ip address");
    check("gdnsd", &["--listen", "53"], 2, "'53' for '--listen");
    check("powerdns", &["--config-dir", "a b"], 2, "without spaces");
    check("powerdns", &["--probe-port", "0"], 2, "'0' for '--probe-port");
    check("route53", &["--policy", "nearest"], 2, "cidr, geoproximity, latency");
    check("gdnsd", &["--manifest", "tests/fixtures/manifest/load-above-2x.yaml"], 1, "`meridian check` says more");
    check("gdnsd", &["--manifest", "nowhere.yaml"], 3, "cannot read the manifest nowhere.yaml");
    let mixed = folder.path().join("mixed.yaml");
    let text = read(Path::new("tests/fixtures/small.yaml")).replace("[192.0.2.2]", "[\"2001:db8::2\"]");
    std::fs::write(&mixed, text).expect("a manifest");
    check("route53", &["--manifest", mixed.to_str().expect("text")], 1, "no kind of address is there in every region");
    // A file where the folder should be.
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let ended = render("gdnsd", &file, &[]);
    assert_eq!(ended.code(), Some(3), "{}", ended.err);
    assert!(ended.err.contains(file.to_str().expect("text")), "{}", ended.err);

    let glue = ["--nameserver", "ns1.ids.example.com=192.0.2.53+2001:db8::53"];
    assert_eq!(render("gdnsd", &into, &glue).code(), Some(0));
    let zone = read(&into.join("zones/ids.example.com"));
    assert!(zone.contains("ns1 60 A 192.0.2.53\nns1 60 AAAA 2001:db8::53\n"), "{zone}");
}
