//! Who serves a region's clients while regions are down. Every target and every tool asks here, so that no two of them
//! can answer differently.
//!
//! **The rule.** A living region serves its own clients. A dead region's load goes to the living members of its spill
//! set, by weight; if none of them lives, all of it goes to the first living region of its order. Load that must not
//! leave its residency zone goes to regions of that zone only. Load that nobody takes is shed.

use super::Topology;
use serde::Serialize;

/// While any one region is down, no other may carry more than this many times its normal load.
pub const SINGLE_FAILURE_LIMIT: f64 = 2.0;

/// What the rule needs to know about one region.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub region: String,
    /// Relative weight of its normal load.
    pub traffic: f64,
    pub spill: Vec<(String, f64)>,
    pub order: Vec<String>,
    /// `None`: its load may go anywhere.
    pub residency: Option<String>,
}

/// The routes of all regions, in the manifest's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    routes: Vec<Route>,
}

/// All load of the fleet while some regions are down, as fractions of the whole: they add up to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Loads<'a> {
    /// Of every region; 0 for those that are down.
    pub regions: Vec<(&'a str, f64)>,
    /// What nobody may or can take.
    pub shed: f64,
}

/// Load that is shed only because it must not leave its residency zone: what residency costs in a failure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeptHome {
    pub down: Vec<String>,
    pub region: String,
    pub zone: String,
    /// As a fraction of the whole fleet's load.
    pub load: f64,
}

/// How much a living region carries, as a multiple of its normal load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadFactor {
    pub down: Vec<String>,
    pub region: String,
    pub factor: f64,
}

impl Topology {
    pub fn routing(&self) -> Routing {
        let route = |region: &super::Region| Route {
            region: region.name.clone(),
            traffic: region.traffic,
            spill: region.spill.clone(),
            order: region.order.clone(),
            residency: region.residency.clone(),
        };
        Routing::new(self.regions.iter().map(route).collect())
    }
}

impl Routing {
    pub fn new(routes: Vec<Route>) -> Routing {
        Routing { routes }
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    fn route(&self, region: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.region == region)
    }

    /// Whether the load of `from` may be served by `to` at all.
    pub fn allows(&self, from: &Route, to: &str) -> bool {
        let same_zone = |to: &Route| from.residency.is_none() || from.residency == to.residency;
        from.region != to && self.route(to).is_some_and(same_zone)
    }

    /// **The rule**: who serves the clients of `region` while the regions of `down` are down, and which fraction of them
    /// each. The fractions add up to 1; nobody at all means that the load is shed.
    pub fn destinations(&self, region: &str, down: &[&str]) -> Vec<(&str, f64)> {
        let Some(route) = self.route(region) else { return Vec::new() };
        if !down.contains(&region) {
            return vec![(&route.region, 1.0)];
        }
        let takes = |to: &str| !down.contains(&to) && self.allows(route, to);
        let living: Vec<_> = route.spill.iter().filter(|(to, weight)| *weight > 0.0 && takes(to)).collect();
        let total: f64 = living.iter().map(|(_, weight)| weight).sum();
        if total > 0.0 {
            return living.into_iter().map(|(to, weight)| (to.as_str(), weight / total)).collect();
        }
        route.order.iter().find(|to| takes(to)).map(|to| (to.as_str(), 1.0)).into_iter().collect()
    }

    /// Where all load of the fleet is while the regions of `down` are down.
    pub fn loads(&self, down: &[&str]) -> Loads<'_> {
        let whole: f64 = self.routes.iter().map(|route| route.traffic).sum();
        let mut regions: Vec<(&str, f64)> = self.routes.iter().map(|route| (route.region.as_str(), 0.0)).collect();
        let mut shed = 0.0;
        for route in &self.routes {
            let load = route.traffic / whole;
            let destinations = self.destinations(&route.region, down);
            if destinations.is_empty() {
                shed += load;
            }
            for (to, fraction) in destinations {
                for (_, carried) in regions.iter_mut().filter(|(name, _)| *name == to) {
                    *carried += load * fraction;
                }
            }
        }
        Loads { regions, shed }
    }

    /// The load factor of every living region while the regions of `down` are down.
    pub fn load_factors(&self, down: &[&str]) -> Vec<LoadFactor> {
        let whole: f64 = self.routes.iter().map(|route| route.traffic).sum();
        let loads = self.loads(down).regions.into_iter().zip(&self.routes);
        let living = loads.filter(|((region, _), _)| !down.contains(region));
        let factor = |((region, load), route): ((&str, f64), &Route)| LoadFactor {
            down: down.iter().map(|region| (*region).to_owned()).collect(),
            region: region.to_owned(),
            factor: rounded(load * whole / route.traffic),
        };
        living.map(factor).collect()
    }

    /// What of the dead regions' load is shed while somebody lives, but nobody of its zone.
    pub fn kept_home(&self, down: &[&str]) -> Vec<KeptHome> {
        let whole: f64 = self.routes.iter().map(|route| route.traffic).sum();
        let anybody = self.routes.iter().any(|route| !down.contains(&route.region.as_str()));
        let homeless = |route: &&Route| anybody && self.destinations(&route.region, down).is_empty();
        let kept = |route: &Route| {
            let zone = route.residency.clone()?;
            let down = down.iter().map(|region| (*region).to_owned()).collect();
            Some(KeptHome { down, region: route.region.clone(), zone, load: rounded(route.traffic / whole) })
        };
        self.routes.iter().filter(homeless).filter_map(kept).collect()
    }

    /// Every failure of one region, then every failure of two.
    pub fn failures(&self) -> Vec<Vec<&str>> {
        let names: Vec<&str> = self.routes.iter().map(|route| route.region.as_str()).collect();
        let singles = names.iter().map(|name| vec![*name]);
        let pairs = names.iter().enumerate().flat_map(|(i, a)| names[i + 1..].iter().map(|b| vec![*a, *b]));
        singles.chain(pairs).collect()
    }

    /// The load factor of every living region for each of [`Routing::failures`].
    pub fn all_load_factors(&self) -> Vec<LoadFactor> {
        self.failures().iter().flat_map(|down| self.load_factors(down)).collect()
    }

    /// A spill set for `region` that keeps every other region within [`SINGLE_FAILURE_LIMIT`] while it alone is down,
    /// and the load factor each member then has. Prefers the set it has, then the nearest of its order, then the others.
    ///
    /// Weights like the members' traffic give all of them the same factor, so if any split over these members stays
    /// within the limit, this one does.
    pub fn proposal(&self, region: &str) -> Option<(Vec<(&str, f64)>, f64)> {
        let route = self.route(region)?;
        let mut candidates: Vec<&str> = Vec::new();
        let wished = route.spill.iter().map(|(to, _)| to).chain(&route.order);
        for to in wished.chain(self.routes.iter().map(|route| &route.region)) {
            if self.allows(route, to) && !candidates.contains(&to.as_str()) {
                candidates.push(to);
            }
        }
        let least = route.spill.iter().filter(|(to, _)| candidates.contains(&to.as_str())).count();
        let mut members: Vec<(&str, f64)> = Vec::new();
        let mut traffic = 0.0;
        for to in candidates {
            let weight = self.route(to)?.traffic;
            members.push((to, weight));
            traffic += weight;
            let factor = 1.0 + route.traffic / traffic;
            if members.len() >= least && rounded(factor) <= SINGLE_FAILURE_LIMIT {
                return Some((members, rounded(factor)));
            }
        }
        None
    }
}

/// To four places: what is left of 2.0 after floating point arithmetic is 2.0.
fn rounded(factor: f64) -> f64 {
    (factor * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(region: &str, traffic: f64, spill: &[(&str, f64)], order: &[&str]) -> Route {
        Route {
            region: region.to_owned(),
            traffic,
            spill: spill.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect(),
            order: order.iter().map(|to| (*to).to_owned()).collect(),
            residency: None,
        }
    }

    fn brief() -> Routing {
        Routing::new(vec![
            route("us-east", 40.0, &[("us-west", 25.0), ("eu-west", 15.0)], &["us-west", "eu-west", "apac"]),
            route("us-west", 25.0, &[("us-east", 1.0)], &["us-east", "apac", "eu-west"]),
            route("eu-west", 20.0, &[("us-east", 1.0)], &["us-east", "apac", "us-west"]),
            route("apac", 15.0, &[("us-west", 1.0)], &["us-west", "us-east", "eu-west"]),
        ])
    }

    fn factors(routing: &Routing, down: &[&str]) -> Vec<(String, f64)> {
        routing.load_factors(down).into_iter().map(|load| (load.region, load.factor)).collect()
    }

    fn named(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
        expected.iter().map(|(region, factor)| ((*region).to_owned(), *factor)).collect()
    }

    #[test]
    fn the_regions_of_the_brief() {
        let routing = brief();
        let check = |down: &[&str], expected: &[(&str, f64)]| assert_eq!(factors(&routing, down), named(expected));
        check(&[], &[("us-east", 1.0), ("us-west", 1.0), ("eu-west", 1.0), ("apac", 1.0)]);
        check(&["us-east"], &[("us-west", 2.0), ("eu-west", 1.75), ("apac", 1.0)]);
        check(&["us-west"], &[("us-east", 1.625), ("eu-west", 1.0), ("apac", 1.0)]);
        check(&["eu-west"], &[("us-east", 1.5), ("us-west", 1.0), ("apac", 1.0)]);
        check(&["apac"], &[("us-east", 1.0), ("us-west", 1.6), ("eu-west", 1.0)]);
        check(&["us-east", "us-west"], &[("eu-west", 3.0), ("apac", 2.6667)]);
        check(&["us-east", "us-west", "eu-west"], &[("apac", 6.6667)]);
        assert_eq!(routing.loads(&["us-east", "us-west", "eu-west", "apac"]).shed, 1.0);
    }

    #[test]
    fn the_next_nearest_alone_is_too_much_and_a_split_is_proposed() {
        let mut routing = brief();
        routing.routes[0].spill = vec![("us-west".to_owned(), 1.0)];
        assert_eq!(factors(&routing, &["us-east"])[0], ("us-west".to_owned(), 2.6));
        assert_eq!(routing.proposal("us-east"), Some((vec![("us-west", 25.0), ("eu-west", 20.0)], 1.8889)));
    }

    #[test]
    fn a_region_larger_than_all_others_has_no_split() {
        let routing =
            Routing::new(vec![route("a", 60.0, &[("b", 1.0)], &["b"]), route("b", 40.0, &[("a", 1.0)], &["a"])]);
        assert_eq!(routing.proposal("a"), None);
        assert_eq!(routing.proposal("b"), Some((vec![("a", 60.0)], 1.6667)));
    }

    #[test]
    fn load_never_leaves_its_zone() {
        let mut routing = brief();
        routing.routes[2].residency = Some("eu".to_owned());
        assert_eq!(routing.destinations("eu-west", &["eu-west"]), []);
        assert_eq!(routing.loads(&["eu-west"]).shed, 0.2);
        let [kept] = &routing.kept_home(&["eu-west"])[..] else { panic!("one region has a zone") };
        assert_eq!((kept.region.as_str(), kept.zone.as_str(), kept.load), ("eu-west", "eu", 0.2));
        assert_eq!(routing.kept_home(&["us-east"]), []);
        assert_eq!(routing.kept_home(&["us-east", "us-west", "eu-west", "apac"]), [], "nobody could take it anyway");
        assert_eq!(routing.destinations("us-east", &["us-east"]).len(), 2, "others may still come in");
    }

    /// Any fleet of 1 to 7 regions. Spill sets and orders may be incomplete, empty or name regions that do not exist.
    fn routings() -> impl Strategy<Value = Routing> {
        (1usize..=7).prop_flat_map(|count| {
            let name = move || (0..count + 1).prop_map(|index| format!("r{index}"));
            let zone = proptest::option::of((0..2u8).prop_map(|zone| format!("z{zone}")));
            let spill = proptest::collection::btree_map(name(), 0.1f64..100.0, 0..=count);
            let order = proptest::collection::vec(name(), 0..=count);
            proptest::collection::vec((0.1f64..100.0, spill, order, zone), count).prop_map(|regions| {
                let route = |(index, (traffic, spill, order, residency))| Route {
                    region: format!("r{index}"),
                    traffic,
                    spill: std::collections::BTreeMap::into_iter(spill).collect(),
                    order,
                    residency,
                };
                Routing::new(regions.into_iter().enumerate().map(route).collect())
            })
        })
    }

    fn routings_with_failures() -> impl Strategy<Value = (Routing, Vec<String>)> {
        routings().prop_flat_map(|routing| {
            let names: Vec<String> = routing.routes().iter().map(|route| route.region.clone()).collect();
            let count = names.len();
            (Just(routing), proptest::sample::subsequence(names, 0..=count))
        })
    }

    proptest! {
        #[test]
        fn load_is_carried_or_shed_but_never_lost((routing, down) in routings_with_failures()) {
            let down: Vec<&str> = down.iter().map(String::as_str).collect();
            let loads = routing.loads(&down);
            let carried: f64 = loads.regions.iter().map(|(_, load)| load).sum();
            prop_assert!((carried + loads.shed - 1.0).abs() < 1e-9);
            for (region, load) in &loads.regions {
                prop_assert!(!down.contains(region) || *load == 0.0, "{region} is down and carries {load}");
            }
        }

        #[test]
        fn nothing_is_shed_while_somebody_lives_and_every_order_is_complete((routing, down) in routings_with_failures()) {
            let names: Vec<String> = routing.routes().iter().map(|route| route.region.clone()).collect();
            let complete = routing.routes().iter().cloned().map(|mut route| {
                route.order = names.clone();
                route.residency = None;
                route
            });
            let routing = Routing::new(complete.collect());
            let down: Vec<&str> = down.iter().map(String::as_str).collect();
            let expected = if down.len() == names.len() { 1.0 } else { 0.0 };
            prop_assert!((routing.loads(&down).shed - expected).abs() < 1e-9);
        }

        #[test]
        fn destinations_live_are_allowed_and_add_up((routing, down) in routings_with_failures()) {
            let down: Vec<&str> = down.iter().map(String::as_str).collect();
            for route in routing.routes() {
                let destinations = routing.destinations(&route.region, &down);
                let total: f64 = destinations.iter().map(|(_, fraction)| fraction).sum();
                prop_assert!(destinations.is_empty() || (total - 1.0).abs() < 1e-9);
                for (to, _) in destinations {
                    prop_assert!(!down.contains(&to));
                    prop_assert!(to == route.region || routing.allows(route, to));
                }
            }
        }

        #[test]
        fn a_failure_elsewhere_never_relieves_a_region((routing, down) in routings_with_failures()) {
            let down: Vec<&str> = down.iter().map(String::as_str).collect();
            for load in routing.load_factors(&down) {
                prop_assert!(load.factor >= 1.0, "{load:?}");
            }
        }

        #[test]
        fn a_proposal_keeps_its_promise_and_is_made_whenever_one_exists(routing in routings()) {
            for (index, route) in routing.routes().iter().enumerate() {
                let room: f64 = routing.routes().iter().filter(|to| routing.allows(route, &to.region)).map(|to| to.traffic).sum();
                let Some((split, promised)) = routing.proposal(&route.region) else {
                    prop_assert!(route.traffic > room - 1e-9, "{} fits into {room}", route.traffic);
                    continue;
                };
                prop_assert!(promised <= SINGLE_FAILURE_LIMIT);
                let mut tried = routing.clone();
                tried.routes[index].spill = split.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect();
                for load in tried.load_factors(&[&route.region]) {
                    prop_assert!(load.factor <= promised + 1e-3, "{load:?}");
                }
            }
        }
    }
}
