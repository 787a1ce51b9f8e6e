//! The rules of the routes between regions: who may take whose load, and how much that makes for each.

use super::rule::{self, Unique};
use super::spill::{Route, Routing, SINGLE_FAILURE_LIMIT};
use crate::manifest::{self, At, Field, Named, Place, Problems, nearest, quoted};

/// Every region's name, and its residency zone as far as that is readable.
pub struct Neighbours<'a>(Vec<(&'a str, Option<&'a str>)>);

impl<'a> Neighbours<'a> {
    pub fn of(list: &'a Named<manifest::Region>) -> Neighbours<'a> {
        let zone = |body: &'a Field<manifest::Region>| body.as_ref()?.residency.as_ref().map(|at| at.value.as_str());
        Neighbours(list.iter().map(|(name, body)| (name.value.as_str(), zone(body))).collect())
    }

    /// Whether `zone` keeps load away from `to`. What is unreadable keeps nothing away.
    fn outside(&self, zone: Option<&str>, to: &str) -> bool {
        let Some(zone) = zone.filter(|zone| *zone != "any") else { return false };
        self.0.iter().any(|(name, other)| *name == to && other.is_some_and(|other| other != zone))
    }

    pub fn route(&self, name: &At<String>, body: &manifest::Region, problems: &mut Problems) -> Option<Route> {
        let traffic = body.traffic.as_ref().and_then(|at| rule::weight(at, problems));
        let residency = body.residency.as_ref().and_then(|at| match at.as_str() {
            "any" => Some(None),
            _ => rule::name(at, problems).map(Some),
        });
        let zone = body.residency.as_ref().map(|at| at.value.as_str());
        let may_take: Vec<&str> = self.0.iter().map(|(to, _)| *to).collect();
        let may_take: Vec<&str> =
            may_take.into_iter().filter(|to| *to != name.value && !self.outside(zone, to)).collect();

        let spill = body.spill.as_ref().and_then(|spill| {
            if spill.is_empty() && !may_take.is_empty() {
                let allowed = format!("at least one of {}", may_take.join(", "));
                let fix = format!("say who serves its clients while it is down, such as {{ {}: 1 }}", may_take[0]);
                problems.add(&spill.place, "the spill set is empty", allowed, fix);
                return None;
            }
            let judged: Vec<Option<(String, f64)>> = spill
                .iter()
                .map(|(to, weight)| {
                    let to = self.member(to, &to.place, &name.value, zone, &may_take, problems);
                    let weight = weight.as_ref().and_then(|at| rule::weight(at, problems));
                    Some((to?, weight?))
                })
                .collect();
            judged.into_iter().collect::<Option<Vec<_>>>()
        });
        let order = body.order.as_ref().and_then(|order| {
            let mut once = Unique::new();
            rule::members(order, |at| {
                let to = self.member(at, &at.place, &name.value, zone, &may_take, problems)?;
                once.admit(to, &at.place, "each region once", "remove one of the two", problems)
            })
        });
        Some(Route {
            region: name.value.clone(),
            traffic: traffic?,
            spill: spill?,
            order: order?,
            residency: residency?,
        })
    }

    /// Another region that may take the load of `own`.
    fn member(
        &self,
        to: &str,
        at: &Place,
        own: &str,
        zone: Option<&str>,
        may_take: &[&str],
        problems: &mut Problems,
    ) -> Option<String> {
        if may_take.contains(&to) {
            return Some(to.to_owned());
        }
        let allowed = if may_take.is_empty() { "nobody".to_owned() } else { may_take.join(", ") };
        if to == own {
            let what = format!("{own} cannot take its own load while it is down");
            problems.add(at, what, allowed, "remove it, or name another region");
        } else if let Some(zone) = zone.filter(|_| self.outside(zone, to)) {
            let what = format!("{to} is outside the residency zone {zone}, which the load of {own} never leaves");
            problems.add(at, what, allowed, "name regions of the same zone, or set residency: any");
        } else {
            let fix = match nearest(to, may_take.iter().copied()) {
                Some(meant) => format!("did you mean {meant}?"),
                None if may_take.is_empty() => "remove it".to_owned(),
                None => "name a region of this file".to_owned(),
            };
            problems.add(at, format!("there is no region {}", quoted(to)), allowed, fix);
        }
        None
    }
}

/// No region may carry more than the limit while any one other is down.
pub fn single_failures(list: &Named<manifest::Region>, routing: &Routing, problems: &mut Problems) {
    for (name, body) in list {
        let Some(spill) = body.as_ref().and_then(|body| body.spill.as_ref()) else { continue };
        let factors = routing.load_factors(&[name]);
        let over: Vec<String> = factors
            .iter()
            .filter(|load| load.factor > SINGLE_FAILURE_LIMIT)
            .map(|load| format!("{} would carry {}x its normal load", load.region, load.factor))
            .collect();
        if over.is_empty() {
            continue;
        }
        let fix = match routing.proposal(name) {
            Some((split, factor)) => {
                let split: Vec<String> = split.iter().map(|(to, weight)| format!("{to}: {weight}")).collect();
                format!("split the load, for example {{ {} }}, which is {factor}x each", split.join(", "))
            }
            None => format!(
                "no split stays within {SINGLE_FAILURE_LIMIT}x, because {name} has more traffic than all regions it may \
                 spill to together: move traffic away from it or add a region",
                name = name.value
            ),
        };
        let what = format!("while {} is down, {}", name.value, over.join(" and "));
        let allowed = format!("at most {SINGLE_FAILURE_LIMIT}x for any single failure");
        problems.add(&spill.place, what, allowed, fix);
    }
}
