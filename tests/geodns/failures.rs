//! Both engines against the manifest's rule, in every failure of no, one and two regions.

use super::engines::{BOTH, Engine, Kind};
use super::regions::{Regions, State};
use super::support::block_until;
use meridian::geodns::survey::{Expectation, expected};
use meridian::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub const NAMES: [&str; 4] = ["us-east", "us-west", "eu-west", "apac"];

/// All failures of up to two regions, so ordered that each step changes one region or swaps one.
const FAILURES: [&[usize]; 11] = [&[], &[0], &[0, 1], &[1], &[1, 2], &[2], &[0, 2], &[0, 3], &[3], &[2, 3], &[1, 3]];

/// Of queries in a weighted set; a share is then within a tenth of what it should be but once in 30,000 times.
const SAMPLES: usize = 400;
const TOLERANCE: f64 = 0.1;

/// The manifest that ships, with the stubs' addresses and faster probes.
pub fn manifest(regions: &Regions, folder: &Path, floating: bool) -> PathBuf {
    let mut text = std::fs::read_to_string("regions/meridian.yaml").expect("the manifest that ships");
    let mut swap = |old: &str, new: &str| {
        assert!(text.contains(old), "the manifest that ships has no {old}");
        text = text.replace(old, new);
    };
    for (number, name) in NAMES.iter().enumerate() {
        swap(&format!("[192.0.2.{}]", number + 1), &format!("[{}]", regions.address(name)));
    }
    // A busy machine must not look like a dead region: PowerDNS believes a single probe.
    swap("interval_seconds: 10", "interval_seconds: 3");
    swap("unhealthy_threshold: 3", "unhealthy_threshold: 2");
    swap("floating_ttl: false", &format!("floating_ttl: {floating}"));
    let path = folder.join("manifest.yaml");
    std::fs::write(&path, text).expect("a manifest");
    path
}

pub fn topology(manifest: &Path) -> Topology {
    let bytes = std::fs::read(manifest).expect("a manifest");
    Topology::parse("manifest", &bytes).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_order_of_failures_is_there() {
    let sets: BTreeSet<&[usize]> = FAILURES.into_iter().collect();
    let routing = topology(Path::new("regions/meridian.yaml")).routing();
    assert_eq!(sets.len(), routing.failures().len() + 1);
    for step in FAILURES.windows(2) {
        let changed = (0..NAMES.len()).filter(|index| step[0].contains(index) != step[1].contains(index)).count();
        assert!(changed <= 2, "{step:?}");
    }
}

/// Two halves, so that they can run at the same time, each with engines and regions of its own.
#[test]
fn both_engines_answer_what_the_rule_says_in_these_failures() {
    walk(&FAILURES[..6]);
}

#[test]
fn both_engines_answer_what_the_rule_says_in_those_failures() {
    walk(&FAILURES[6..]);
}

fn walk(failures: &[&[usize]]) {
    let folder = tempfile::tempdir().expect("a folder");
    let regions = Regions::start(&NAMES);
    let manifest = manifest(&regions, folder.path(), false);
    let topology = topology(&manifest);
    let engines = BOTH.map(|kind| Engine::start(kind, &manifest, folder.path(), regions.port));
    for (step, failed) in failures.iter().enumerate() {
        for (index, name) in NAMES.iter().enumerate() {
            // Regions fail in both ways.
            let ill = if (step + index) % 2 == 0 { State::Ill } else { State::Gone };
            regions.set(name, if failed.contains(&index) { ill } else { State::Well });
        }
        let down: Vec<&str> = failed.iter().map(|index| NAMES[*index]).collect();
        let expectations = expected(&topology, &down, true);
        assert_eq!(expectations.len(), 4);
        let since = Instant::now();
        for engine in &engines {
            // Each region's own clients tell whether its state was noticed.
            block_until(format!("{:?} follows {down:?}", engine.kind), || {
                let right = |expectation: &Expectation<'_>| {
                    expectation.objection(&engine.ask(expectation.client), 60).is_none()
                };
                expectations.iter().all(right).then_some(())
            });
        }
        println!("{down:?}: both engines follow after {:.1} s", since.elapsed().as_secs_f64());
        for engine in &engines {
            expectations.iter().for_each(|expectation| sample(engine, expectation, &down));
        }
    }
}

/// Asks often enough that every member shows, with the share it should have.
fn sample(engine: &Engine, expectation: &Expectation<'_>, down: &[&str]) {
    let queries = if expectation.members.len() > 1 { SAMPLES } else { 10 };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let client = expectation.client;
    let what = format!("{:?}, {down:?} down, clients of {client}", engine.kind);
    for _ in 0..queries {
        let answer = engine.ask(client);
        assert_eq!(expectation.objection(&answer, 60), None, "{what}: {answer:?} for {expectation:?}");
        assert_eq!(answer.ttl, Some(60), "{what}: pinned");
        // gdnsd says how far an answer holds; PowerDNS holds it for whom it was asked.
        let scope = if engine.kind == Kind::Gdnsd { 16 } else { 24 };
        assert_eq!(answer.scope, Some(scope), "{what}: the client's subnet counts");
        let member = expectation.member(&answer).expect("no objection");
        *counts.entry(member.region).or_default() += 1;
    }
    for member in &expectation.members {
        let seen = counts.get(member.region).copied().unwrap_or(0) as f64 / queries as f64;
        assert!(seen > 0.0, "{what}: {} is never answered: {counts:?}", member.region);
        assert!((seen - member.share).abs() < TOLERANCE, "{what}: {} has {seen} for {}", member.region, member.share);
    }
}

/// A floating TTL ends at the next possible change: here after two probes, three seconds apart.
#[test]
fn a_floating_ttl_counts_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let regions = Regions::start(&NAMES);
    let manifest = manifest(&regions, folder.path(), true);
    let engine = Engine::start(Kind::Gdnsd, &manifest, folder.path(), regions.port);
    let ttl = || engine.ask("10.0.0.0/16").ttl.expect("a TTL");
    block_until("a TTL below 60", || (ttl() < 60).then_some(()));
    let (shortest, longest) =
        (0..50).map(|_| ttl()).fold((u32::MAX, 0), |(low, high), ttl| (low.min(ttl), high.max(ttl)));
    assert!(1 <= shortest && longest <= 7, "{shortest} to {longest}");
}
