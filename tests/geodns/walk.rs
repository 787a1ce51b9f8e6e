//! How Route 53 goes through a tree of records, by its documented rules.

use meridian::render::route53::tree::{Answer, Record, Routing, Tree};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Records that alias each other in a circle would never end.
const DEEPEST: usize = 64;

/// A tree while some addresses are down.
pub struct Walk<'t> {
    tree: &'t Tree,
    r#type: &'t str,
    down: &'t [IpAddr],
    drained: &'t [&'t str],
}

impl<'t> Walk<'t> {
    pub fn new(tree: &'t Tree, r#type: &'t str, down: &'t [IpAddr], drained: &'t [&'t str]) -> Walk<'t> {
        Walk { tree, r#type, down, drained }
    }

    /// The answers that clients whose nearest region is `nearest` get, each a list of addresses, and their shares.
    /// `None`: clients that no location names.
    pub fn answers(&self, nearest: Option<&str>) -> Vec<(Vec<IpAddr>, f64)> {
        let mut shares: BTreeMap<Vec<IpAddr>, f64> = BTreeMap::new();
        self.name(&self.tree.zone, nearest, 1.0, DEEPEST, &mut shares);
        shares.into_iter().collect()
    }

    fn group(&self, name: &str) -> Vec<&'t Record> {
        self.tree.records.iter().filter(|record| record.name == name && record.r#type == self.r#type).collect()
    }

    fn healthy(&self, record: &Record, left: usize) -> bool {
        assert!(left > 0, "{} goes in a circle", record.name);
        match &record.answer {
            Answer::Alias { evaluate_target_health: false, .. } => true,
            Answer::Alias { name, .. } => self.group(name).iter().any(|target| self.healthy(target, left - 1)),
            Answer::Addresses { serving, .. } => {
                let check = &self.tree.serving[serving];
                let lives = |child: &&String| !self.down.contains(&self.tree.health_checks[*child].ip_address);
                let threshold = match self.drained.contains(&serving.as_str()) {
                    true => check.drained_threshold,
                    false => check.child_health_threshold,
                };
                check.children.iter().filter(lives).count() >= threshold
            }
        }
    }

    fn name(
        &self,
        name: &str,
        nearest: Option<&str>,
        share: f64,
        left: usize,
        shares: &mut BTreeMap<Vec<IpAddr>, f64>,
    ) {
        assert!(left > 0, "{name} goes in a circle");
        let group = self.group(name);
        assert!(!group.is_empty(), "no record {name}");
        let healthy: Vec<&Record> = group.iter().copied().filter(|record| self.healthy(record, left)).collect();
        // When all of a group are unhealthy, all count as healthy.
        let open = if healthy.is_empty() { group.clone() } else { healthy };
        let mut go = |record: &Record, share: f64| match &record.answer {
            Answer::Addresses { records, .. } => *shares.entry(records.clone()).or_default() += share,
            Answer::Alias { name, .. } => self.name(name, nearest, share, left - 1, shares),
        };
        match &group[0].routing {
            Routing::Weighted { .. } => {
                let weight = |record: &Record| match record.routing {
                    Routing::Weighted { weight } => f64::from(weight),
                    _ => panic!("{name} mixes policies"),
                };
                let total: f64 = open.iter().map(|record| weight(record)).sum();
                open.iter().for_each(|record| go(record, share * weight(record) / total));
            }
            Routing::Failover { .. } => {
                let primary = |record: &&&Record| record.routing == Routing::Failover { primary: true };
                go(open.iter().find(primary).unwrap_or(&open[0]), share);
            }
            _ => {
                let identifier = nearest.unwrap_or("default");
                // An unhealthy one is left out: IP-based routing then takes the default, the others the next nearest.
                let chosen = open.iter().find(|record| record.set_identifier == identifier);
                let chosen = chosen.or_else(|| open.iter().find(|record| record.set_identifier == "default"));
                go(chosen.unwrap_or(&open[0]), share);
            }
        }
    }
}
