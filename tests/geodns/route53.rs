//! The tree of Route 53, walked by its documented rules, against the manifest's rule.

use super::walk::Walk;
use meridian::geodns::survey::expected;
use meridian::render::route53::tree::{Answer, Routing};
use meridian::render::route53::{FILE, Policy, Tree, route53};
use meridian::topology::Topology;
use std::collections::BTreeSet;
use std::net::IpAddr;

fn shipped() -> String {
    std::fs::read_to_string("regions/meridian.yaml").expect("the manifest that ships")
}

fn parse(text: &str) -> Topology {
    Topology::parse("manifest", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Read back from the file: what is written is what is tested.
fn tree(topology: &Topology, policy: Policy) -> Tree {
    let rendering = route53(topology, policy, 443).expect("it can be rendered");
    let (_, text) = rendering.files.iter().find(|(name, _)| name == FILE).expect("the file");
    serde_json::from_str(text).expect("a tree")
}

/// Up to `most` regions down, by index.
fn failures(count: usize, most: u32) -> impl Iterator<Item = Vec<usize>> {
    let sets = (0..1u32 << count).filter(move |set| set.count_ones() <= most);
    sets.map(move |set| (0..count).filter(|index| set >> index & 1 == 1).collect())
}

fn check(topology: &Topology, policy: Policy, most: u32) -> usize {
    let tree = tree(topology, policy);
    let mut sets = 0;
    for failed in failures(topology.regions.len(), most) {
        sets += 1;
        let regions: Vec<_> = failed.iter().map(|index| &topology.regions[*index]).collect();
        let names: Vec<&str> = regions.iter().map(|region| region.name.as_str()).collect();
        let down: Vec<IpAddr> = regions.iter().flat_map(|region| region.addresses.iter().copied()).collect();
        // Down, or drained: the same to clients.
        for walk in [Walk::new(&tree, "A", &down, &[]), Walk::new(&tree, "A", &[], &names)] {
            for expectation in expected(topology, &names, true) {
                let answers = walk.answers(Some(expectation.nearest));
                let what = format!("{policy:?}, {names:?} down, {}: {answers:?}", expectation.client);
                assert_eq!(answers.len(), expectation.members.len(), "{what}");
                for member in &expectation.members {
                    let share = answers.iter().find(|(addresses, _)| *addresses == member.addresses).map(|(_, s)| *s);
                    assert!(share.is_some_and(|share| (share - member.share).abs() < 0.002), "{what}: {member:?}");
                }
            }
        }
    }
    sets
}

#[test]
fn the_tree_is_the_rule() {
    let topology = parse(&shipped());
    for policy in [Policy::Cidr, Policy::Geoproximity, Policy::Latency] {
        assert_eq!(check(&topology, policy, 2), 11);
        // And when more fail, up to all but one.
        check(&topology, policy, 3);
    }
}

/// Zones, empty spill sets, short orders and odd weights: whom nobody may serve stays where it was, and is sent to
/// nobody else.
#[test]
fn load_never_leaves_its_zone() {
    let text = shipped()
        .replace("spill: { us-west: 25, eu-west: 15 }", "spill: { us-west: 1000.5, eu-west: 700.25 }")
        .replacen("order: [us-west, eu-west, apac]\n    residency: any", "order: []\n    residency: any", 1)
        .replace(
            "spill: { us-east: 1 }\n    order: [us-east, apac, us-west]     # not the nearest: without us-east, us-west already \
             carries most of it\n    residency: any",
            "spill: {}\n    order: []\n    residency: eu",
        );
    assert!(text.contains("residency: eu") && text.contains("1000.5"), "the manifest that ships has changed");
    let topology = parse(&text);
    for policy in [Policy::Cidr, Policy::Latency] {
        check(&topology, policy, 3);
    }
}

#[test]
fn clients_of_no_network_are_those_of_the_first_region() {
    let topology = parse(&shipped());
    let tree = tree(&topology, Policy::Cidr);
    let answered = |down: &[IpAddr]| Walk::new(&tree, "A", down, &[]).answers(None);
    let address = |last: u8| IpAddr::from([192, 0, 2, last]);
    assert_eq!(answered(&[]), [(vec![address(1)], 1.0)]);
    assert_eq!(answered(&[address(1)]).len(), 2);
    assert_eq!(answered(&[1, 2, 3].map(address)), [(vec![address(4)], 1.0)]);
    assert_eq!(answered(&[1, 2, 3, 4].map(address)), [(vec![address(1)], 1.0)], "fails open, at home");
}

/// What Route 53 and Terraform refuse.
#[test]
fn the_tree_keeps_to_what_is_allowed() {
    let small_networks = shipped().replace("[10.0.0.0/16]", "[10.0.7.16/28, 10.0.7.32/28, 10.0.0.0/24]");
    for text in [shipped(), small_networks] {
        let tree = tree(&parse(&text), Policy::Cidr);
        let keys: BTreeSet<&str> = tree.records.iter().map(|record| record.key.as_str()).collect();
        assert_eq!(keys.len(), tree.records.len(), "keys are unique");
        for record in &tree.records {
            assert!(record.set_identifier.len() <= 128 && record.name.len() <= 255, "{record:?}");
            assert!(record.name.split('.').all(|label| label.len() <= 63), "{record:?}");
            if let Routing::Weighted { weight } = record.routing {
                assert!((1..=255).contains(&weight), "{record:?}");
            }
            if let Answer::Alias { name, .. } = &record.answer {
                let target = tree.records.iter().find(|other| other.name == *name && other.r#type == record.r#type);
                assert!(target.is_some(), "{record:?} leads nowhere");
            }
        }
        for block in tree.cidr_locations.values().flatten() {
            let prefix: u8 = block.rsplit('/').next().and_then(|prefix| prefix.parse().ok()).expect("a prefix");
            assert!(prefix <= 24, "{block}");
        }
        for check in tree.health_checks.values() {
            assert!([10, 30].contains(&check.request_interval) && (1..=10).contains(&check.failure_threshold));
        }
    }
}
