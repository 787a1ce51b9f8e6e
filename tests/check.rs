//! `meridian check`: what it says about the manifest that ships, and about every mistake of `tests/fixtures/manifest`.

use meridian::cli::{CheckArgs, ManifestArg};
use meridian::commands::{Exit, check};
use meridian::manifest::{Problem, digest};
use meridian::topology::{Topology, inspect};
use proptest::prelude::*;
use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const SHIPPED: &str = "regions/meridian.yaml";
const FIXTURES: &str = "tests/fixtures/manifest";

/// Runs the subcommand from the package's folder, where `cargo test` starts tests.
fn run(manifest: &str, json: bool) -> (Exit, String) {
    let mut out = Vec::new();
    let args = CheckArgs { manifest: ManifestArg { path: PathBuf::from(manifest) }, json };
    let exit = check::run(&args, &mut out).expect("the manifest is readable");
    (exit, String::from_utf8(out).expect("the report is text"))
}

/// Name and bytes of every bad manifest, by name.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(FIXTURES).expect("the fixtures are there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read(path).expect("a readable fixture"))).collect()
}

fn problems(name: &str, bytes: &[u8]) -> Vec<Problem> {
    inspect(&format!("{name}.yaml"), bytes).problems.into_vec()
}

#[test]
fn the_shipped_manifest_is_fine() {
    let sha256 = digest(&fs::read(SHIPPED).expect("a readable manifest"));
    let (exit, report) = run(SHIPPED, false);
    insta::assert_snapshot!("shipped", report.replace(&sha256, "[digest]"));
    assert_eq!(exit, Exit::Fine);

    let (exit, report) = run(SHIPPED, true);
    insta::assert_snapshot!("shipped_json", one_object_a_line(&report));
    assert_eq!(exit, Exit::Fine);
}

/// Every key of the manifest ends in the field that is named for it.
#[test]
fn the_shipped_manifest_is_taken_over_key_by_key() {
    let bytes = fs::read(SHIPPED).expect("a readable manifest");
    let mut topology = Topology::parse(SHIPPED, &bytes).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(topology.digest, digest(&bytes));
    topology.digest = "[digest]".to_owned();
    insta::assert_debug_snapshot!("topology", topology);
}

#[test]
fn a_bad_manifest_is_reported_with_its_load_factors() {
    let (exit, report) = run("tests/fixtures/manifest/load-above-2x.yaml", false);
    insta::assert_snapshot!("refused", report);
    assert_eq!(exit, Exit::No);

    let (exit, report) = run("tests/fixtures/manifest/load-above-2x.yaml", true);
    insta::assert_snapshot!("refused_json", one_object_a_line(&report));
    assert_eq!(exit, Exit::No);
}

/// Nothing is known of the load when there is no yaml to read.
#[test]
fn unreadable_yaml_has_no_load_factors() {
    let (exit, report) = run("tests/fixtures/manifest/syntax-unclosed-bracket.yaml", true);
    assert!(report.ends_with("\"load_factors\":[],\"kept_home\":[]}\n"), "{report}");
    assert_eq!(exit, Exit::No);
}

#[test]
fn a_missing_file_is_no_verdict() {
    let args = CheckArgs { manifest: ManifestArg { path: PathBuf::from("regions/atlantis.yaml") }, json: false };
    let error = check::run(&args, &mut Vec::new()).expect_err("there is no such file");
    assert_eq!(error.to_string(), "cannot read the manifest regions/atlantis.yaml");
}

fn one_object_a_line(json: &str) -> String {
    json.replace("[{", "[\n{").replace("},{", "},\n{").replace("}]", "}\n]")
}

/// The catalogue of everything that can be wrong. Read it when you change a message.
#[test]
fn every_mistake_is_explained() {
    let mut catalogue = String::new();
    for (name, bytes) in fixtures() {
        let problems = problems(&name, &bytes);
        assert!(!problems.is_empty(), "{name}.yaml is accepted");
        writeln!(catalogue, "{name}").unwrap();
        for problem in problems {
            writeln!(catalogue, "  {problem}").unwrap();
        }
        writeln!(catalogue).unwrap();
    }
    insta::assert_snapshot!("mistakes", catalogue);
}

#[test]
fn many_mistakes_are_reported_at_once() {
    let (_, bytes) = fixtures().into_iter().find(|(name, _)| name == "many-at-once").expect("the fixture is there");
    let keys: HashSet<String> = problems("many-at-once", &bytes).into_iter().map(|problem| problem.key).collect();
    assert!(keys.len() >= 18, "{keys:?}");
}

#[test]
fn every_problem_has_a_place_inside_the_file_and_a_fix() {
    for (name, bytes) in fixtures() {
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.split('\n').collect();
        for problem in problems(&name, &bytes) {
            let line = lines.get(problem.line as usize - 1).unwrap_or_else(|| panic!("{problem}: no such line"));
            assert!((1..=line.chars().count() + 1).contains(&(problem.column as usize)), "{problem}: no such column");
            assert!(problem.message.contains("; allowed: ") && problem.message.contains("; fix: "), "{problem}");
            assert!(!problem.message.starts_with(|first: char| first.is_uppercase()), "{problem}");
        }
    }
}

/// What each region needs is in its own entry, so that a fifth one is an entry and nothing else.
#[test]
fn a_fifth_region_is_one_more_entry() {
    let shipped = fs::read_to_string(SHIPPED).expect("a readable manifest");
    let entry = r#"
  africa:
    datacenter: 4
    traffic: 5
    workers: { quota: 4, static: 2, surge: 8 }
    spill: { eu-west: 1 }
    order: [eu-west, us-east]
    residency: any
    zookeeper: "zk-0.africa:2181/meridian"
    endpoint: africa.ids.example.com
    addresses: [192.0.2.5, "2001:db8::5"]
    networks: [10.4.0.0/16, "2001:db8:4::/48"]
    location: { latitude: -33.9, longitude: 18.4 }
    cloud: { provider: aws, region: af-south-1, zones: [af-south-1a], cidr: 10.14.0.0/16 }
"#;
    let topology =
        Topology::parse("five", (shipped + entry).as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(topology.regions.len(), 5);
    assert_eq!(topology.region("africa").expect("it is there").datacenter, 4);
}

/// A zone of one region: nobody may take over, and the report says what that costs.
#[test]
fn what_residency_costs_is_shown() {
    let shipped = fs::read_to_string(SHIPPED).expect("a readable manifest");
    let (before, entry) = shipped.split_once("  eu-west:\n").expect("the region");
    let mut lines: Vec<String> = entry.lines().map(str::to_owned).collect();
    for line in lines.iter_mut().take_while(|line| !line.is_empty() && line.starts_with("    ")) {
        for (key, value) in [("spill", "{}"), ("order", "[]"), ("residency", "eu")] {
            if line.trim_start().starts_with(&format!("{key}:")) {
                *line = format!("    {key}: {value}");
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("eu.yaml");
    fs::write(&file, format!("{before}  eu-west:\n{}\n", lines.join("\n"))).expect("written");
    let (exit, report) = run(&file.display().to_string(), false);
    assert_eq!(exit, Exit::Fine, "{report}");
    assert!(report.contains("20.0% of all load (eu-west) may not leave zone eu: shed"), "{report}");
    let (_, json) = run(&file.display().to_string(), true);
    let report: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let kept = &report["kept_home"][0];
    assert_eq!((&kept["region"], &kept["zone"], &kept["load"]), (&"eu-west".into(), &"eu".into(), &0.2.into()));
    assert_eq!(report["kept_home"].as_array().map(Vec::len), Some(4), "alone, and with each of the other three");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to a manifest on its way here, the answer is a fleet or problems.
    #[test]
    fn no_damage_to_a_manifest_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = fs::read(SHIPPED).expect("a readable manifest");
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] = byte;
        }
        let inspection = inspect("damaged", &bytes);
        prop_assert_eq!(inspection.topology.is_some(), inspection.problems.is_empty());
    }
}
