//! What the shipped manifest does not show: several addresses a region, both families, a zone that load may not leave.

use super::engines::{BOTH, Engine, Kind, check, free_address, render};
use super::regions::{Regions, State};
use std::path::Path;
use tempfile::TempDir;

/// Three regions: left has two load balancers; the island's load leaves it for nobody.
fn scene() -> (TempDir, Regions, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let regions = Regions::start(&["left-a", "left-b", "right", "island"]);
    let mut text = std::fs::read_to_string("tests/fixtures/small.yaml").expect("the small manifest");
    let addresses = format!("[{}, {}]", regions.address("left-a"), regions.address("left-b"));
    text = text
        .replace("[192.0.2.1]", &addresses)
        .replace("[192.0.2.2]", &format!("[{}]", regions.address("right")))
        .replace("interval_seconds: 10", "interval_seconds: 2")
        .replace("timeout_seconds: 2", "timeout_seconds: 1")
        .replace("unhealthy_threshold: 3", "unhealthy_threshold: 2");
    text += &format!(
        r#"
  island:
    datacenter: 2
    traffic: 1
    workers: {{ quota: 1, static: 1, surge: 1 }}
    spill: {{}}
    order: []
    residency: island
    zookeeper: "127.0.0.1:2181"
    endpoint: elsewhere.example.com
    addresses: [{}]
    networks: [10.2.0.0/16, "2001:db8:2::/48"]
    location: {{ latitude: 0.0, longitude: 0.0 }}
    cloud: {{ provider: other, region: somewhere, zones: [a], cidr: 10.12.0.0/16 }}
"#,
        regions.address("island")
    );
    let manifest = folder.path().join("manifest.yaml");
    std::fs::write(&manifest, text).expect("a manifest");
    (folder, regions, manifest)
}

#[test]
fn a_region_lives_while_any_of_its_addresses_does_and_load_stays_in_its_zone() {
    let (folder, regions, manifest) = scene();
    let engines = BOTH.map(|kind| Engine::start(kind, &manifest, folder.path(), regions.port));
    let all = |client: &str, names: &[&str]| {
        let expect: Vec<_> = names.iter().map(|name| regions.address(name)).collect();
        engines.iter().for_each(|engine| engine.await_answer(client, &expect));
    };
    let (left, right, island, nowhere) = ("10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "192.0.2.0/24");
    all(left, &["left-a", "left-b"]);
    all(island, &["island"]);
    all("2001:db8:2::/48", &["island"]);
    all(nowhere, &["left-a", "left-b"]);
    regions.set("left-a", State::Gone);
    all(left, &["left-b"]);
    regions.set("left-b", State::Ill);
    all(left, &["right"]);
    all(nowhere, &["right"]);
    // Nobody may serve the island's clients: they are not sent to others.
    regions.set("island", State::Gone);
    regions.set("left-a", State::Well);
    all(left, &["left-a"]);
    all(island, &["island"]);
    regions.set("right", State::Ill);
    all(right, &["left-a"]);
    all(island, &["island"]);
}

/// Where all regions have both kinds of addresses, both are answered; where one lacks a kind, nobody is answered with it.
#[test]
fn a_family_is_answered_where_every_region_has_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let shipped = std::fs::read_to_string("regions/meridian.yaml").expect("the manifest that ships");
    let both = (1..=4).fold(shipped.clone(), |text, n| {
        text.replace(&format!("[192.0.2.{n}]"), &format!("[192.0.2.{n}, \"2001:db8::{n}\", \"2001:db8::1{n}\"]"))
    });
    let one = shipped.replace("[192.0.2.1]", "[192.0.2.1, \"2001:db8::1\"]");
    let manifest = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a manifest");
        path
    };
    let (both, one) = (manifest("both.yaml", &both), manifest("one.yaml", &one));
    for kind in BOTH {
        let within = |manifest: &Path, name: &str| {
            let into = folder.path().join(name);
            std::fs::create_dir_all(&into).expect("a folder");
            let (ended, into) = render(kind, manifest, &into, 8080, free_address());
            check(kind, &into, "ids.example.com");
            let file = if kind == Kind::Gdnsd { "config" } else { "ids.example.com.zone" };
            (ended.out, std::fs::read_to_string(into.join(file)).expect("a file"))
        };
        let (_, text) = within(&both, "both");
        assert!(text.contains("2001:db8::14") && text.contains("192.0.2.4"), "{text}");
        let (said, text) = within(&one, "one");
        assert!(!text.contains("2001:db8"), "{text}");
        assert!(said.contains("no AAAA is answered: us-west has no such address"), "{said}");
    }
}
