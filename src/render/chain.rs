//! The rule as a list, which is how DNS engines think: first this region, then that set, then these one by one.
//!
//! [`Routing::destinations`] is the rule; this says the same in another shape, and a property below holds the two
//! together for any fleet and any failure.

use crate::topology::spill::{Route, Routing};

/// Who serves the clients of one region, in the order of who is asked first.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    pub region: String,
    /// When the region is down: those of them that live, by weight.
    pub spill: Vec<(String, f64)>,
    /// When none of these live either: the first that does. Members of the spill set are left out, being dead by then.
    pub last: Vec<String>,
}

impl Chain {
    pub fn of(routing: &Routing, route: &Route) -> Chain {
        let allowed = |to: &str| routing.allows(route, to);
        let spill: Vec<(String, f64)> =
            route.spill.iter().filter(|(to, weight)| *weight > 0.0 && allowed(to)).cloned().collect();
        let mut last: Vec<String> = Vec::new();
        for to in &route.order {
            if allowed(to) && !last.contains(to) && !spill.iter().any(|(member, _)| member == to) {
                last.push(to.clone());
            }
        }
        Chain { region: route.region.clone(), spill, last }
    }

    pub fn all(routing: &Routing) -> Vec<Chain> {
        routing.routes().iter().map(|route| Chain::of(routing, route)).collect()
    }

    /// Whether every other region stands in it, so that it ends only when nobody lives at all.
    pub fn is_complete(&self, regions: usize) -> bool {
        1 + self.spill.len() + self.last.len() == regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Walks the list as an engine would.
    fn walk(chain: &Chain, down: &[&str]) -> Vec<(String, f64)> {
        let lives = |region: &str| !down.contains(&region);
        if lives(&chain.region) {
            return vec![(chain.region.clone(), 1.0)];
        }
        let living: Vec<_> = chain.spill.iter().filter(|(to, _)| lives(to)).cloned().collect();
        let total: f64 = living.iter().map(|(_, weight)| weight).sum();
        if !living.is_empty() {
            return living.into_iter().map(|(to, weight)| (to, weight / total)).collect();
        }
        chain.last.iter().find(|to| lives(to)).map(|to| (to.clone(), 1.0)).into_iter().collect()
    }

    fn routings() -> impl Strategy<Value = Routing> {
        (1usize..=6).prop_flat_map(|count| {
            let name = move || (0..count).prop_map(|index| format!("r{index}"));
            let zone = proptest::option::of((0..2u8).prop_map(|zone| format!("z{zone}")));
            let spill = proptest::collection::btree_map(name(), 0.1f64..100.0, 0..=count);
            let order = proptest::collection::vec(name(), 0..=count);
            proptest::collection::vec((spill, order, zone), count).prop_map(|regions| {
                let route = |(index, (spill, order, residency))| Route {
                    region: format!("r{index}"),
                    traffic: 1.0,
                    spill: std::collections::BTreeMap::into_iter(spill).collect(),
                    order,
                    residency,
                };
                Routing::new(regions.into_iter().enumerate().map(route).collect())
            })
        })
    }

    proptest! {
        #[test]
        fn the_list_is_the_rule((routing, dead) in routings().prop_flat_map(|routing| {
            let count = routing.routes().len();
            (Just(routing), proptest::collection::vec(any::<bool>(), count))
        })) {
            let down: Vec<&str> = routing.routes().iter().zip(&dead).filter(|(_, dead)| **dead).map(|(r, _)| r.region.as_str()).collect();
            for chain in Chain::all(&routing) {
                let ruled: Vec<(String, f64)> =
                    routing.destinations(&chain.region, &down).into_iter().map(|(to, share)| (to.to_owned(), share)).collect();
                prop_assert_eq!(walk(&chain, &down), ruled);
            }
        }
    }
}
