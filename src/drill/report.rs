//! What a drill says in the end: one JSON object, rows for a table, a section of Markdown. Pure.

use super::play::Outcome;
use super::script::Script;
use super::timing::Limits;
use super::verdict::{Bound, Numbers, Promise, Unit, numbers, promises, uniqueness};
use super::{Drill, Profile};
use crate::topology::Topology;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The whole verdict. The first fields are the worst of all acts.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub drill: &'static str,
    pub seed: u64,
    pub profile: &'static str,
    pub held: bool,
    pub detect_s: Option<f64>,
    pub switch_s: Option<f64>,
    pub outage_dns_s: Option<f64>,
    pub outage_list_s: Option<f64>,
    pub surge_s: Option<f64>,
    pub failback_s: Option<f64>,
    /// Of clients with a list, and of those behind the cache.
    pub failed_requests: u64,
    pub failed_requests_dns: u64,
    pub duplicates: u64,
    pub ids: u64,
    /// Acts that do not count: they broke a promise while the machine could not keep up.
    pub replayed: u32,
    pub load_factor: BTreeMap<String, f64>,
    pub promises: Vec<Row>,
    pub acts: Vec<Numbers>,
}

/// One promise over all runs of its act.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub act: String,
    pub promise: String,
    pub unit: Unit,
    pub bound: Bound,
    pub limit: f64,
    /// Of those in which it was seen at all.
    pub min: Option<f64>,
    pub median: Option<f64>,
    pub max: Option<f64>,
    pub runs: usize,
    pub held: usize,
}

impl Report {
    pub fn of(script: &Script, profile: Profile, outcome: &Outcome, topology: &Topology, limits: &Limits) -> Report {
        let record = &outcome.record;
        let acts: Vec<Numbers> = record.acts.iter().map(|act| numbers(record, act, topology, limits)).collect();
        let mut all: Vec<Promise> = Vec::new();
        for (numbers, played) in acts.iter().zip(&record.acts) {
            all.extend(promises(numbers, played, limits, topology));
        }
        // An act that was not played has kept nothing.
        for act in script.acts.iter().skip(record.acts.len()) {
            all.push(Promise { act: act.title.clone(), promise: "played".to_owned(), ..uniqueness(1) });
        }
        all.push(uniqueness(outcome.tally.duplicates));
        let worst = |number: fn(&Numbers) -> Option<f64>| acts.iter().filter_map(number).reduce(f64::max);
        let mut load_factor = BTreeMap::new();
        for (region, factor) in acts.iter().flat_map(|numbers| &numbers.load_factor) {
            let most: &mut f64 = load_factor.entry(region.clone()).or_default();
            *most = most.max(*factor);
        }
        Report {
            drill: script.drill.name(),
            seed: script.seed,
            profile: profile.name(),
            held: all.iter().all(|promise| promise.held),
            detect_s: worst(|numbers| numbers.detect_s),
            switch_s: worst(|numbers| numbers.switch_s),
            outage_dns_s: worst(|numbers| numbers.outage_dns_s),
            outage_list_s: worst(|numbers| numbers.outage_list_s),
            surge_s: worst(|numbers| numbers.standby_s.values().copied().reduce(f64::max)),
            failback_s: worst(|numbers| numbers.failback_s),
            failed_requests: acts.iter().map(|numbers| numbers.failed_requests).sum(),
            failed_requests_dns: acts.iter().map(|numbers| numbers.failed_requests_dns).sum(),
            duplicates: outcome.tally.duplicates,
            ids: outcome.tally.ids,
            replayed: outcome.replayed,
            load_factor,
            promises: rows(&all),
            acts,
        }
    }

    /// A heading and a table, for docs/results.
    pub fn markdown(&self, drill: Drill) -> String {
        let mut text = format!("## {}: {}\n\n", self.drill, drill.about());
        let verdict = if self.held { "all promises held" } else { "**a promise was broken**" };
        let _ = writeln!(text, "Profile {}, seed {}, {} ids drawn: {verdict}.\n", self.profile, self.seed, self.ids);
        text += "| act | promise | limit | min | median | max | held |\n|---|---|---|---|---|---|---|\n";
        for row in &self.promises {
            let cells = row.cells();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

/// Promises of the same act, together, in the order of their first appearance.
fn rows(promises: &[Promise]) -> Vec<Row> {
    let mut groups: Vec<(Row, Vec<f64>)> = Vec::new();
    for Promise { act, promise, unit, bound, limit, seen, held } in promises {
        let at = groups.iter().position(|(row, _)| row.act == *act && row.promise == *promise).unwrap_or_else(|| {
            let (act, promise) = (act.clone(), promise.clone());
            let (unit, bound, limit) = (*unit, *bound, *limit);
            let row = Row { act, promise, unit, bound, limit, min: None, median: None, max: None, runs: 0, held: 0 };
            groups.push((row, Vec::new()));
            groups.len() - 1
        });
        let (row, values) = &mut groups[at];
        row.runs += 1;
        row.held += usize::from(*held);
        values.extend(seen);
    }
    let finished = groups.into_iter().map(|(row, mut values)| {
        values.sort_by(f64::total_cmp);
        let middle = values.len().saturating_sub(1) / 2;
        Row { min: values.first().copied(), median: values.get(middle).copied(), max: values.last().copied(), ..row }
    });
    finished.collect()
}

impl Row {
    /// Act, promise, limit, min, median, max, verdict.
    pub fn cells(&self) -> [String; 7] {
        let bound = match self.bound {
            Bound::AtMost => "≤",
            Bound::Below => "<",
            Bound::AtLeast => "≥",
        };
        let seen = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| written(value, self.unit));
        let verdict = match (self.held == self.runs, self.runs) {
            (true, 1) => "held".to_owned(),
            (false, 1) => "BROKEN".to_owned(),
            (true, runs) => format!("held {runs}/{runs}"),
            (false, runs) => format!("BROKEN {}/{runs}", runs - self.held),
        };
        [
            self.act.clone(),
            self.promise.clone(),
            format!("{bound} {}", written(self.limit, self.unit)),
            seen(self.min),
            seen(self.median),
            seen(self.max),
            verdict,
        ]
    }
}

fn written(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value.abs() < 0.001 && value != 0.0 => "< 1 ms".to_owned(),
        Unit::Seconds if value.abs() < 1.0 && value != 0.0 => format!("{:.0} ms", value * 1_000.0),
        Unit::Seconds => format!("{value:.1} s"),
        Unit::Count => format!("{value:.0}"),
        Unit::Points => format!("{value:.2} points"),
        Unit::Factor => format!("{value:.2}x"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(act: &str, seen: Option<f64>, held: bool) -> Promise {
        let (act, promise) = (act.to_owned(), "authoritative switch".to_owned());
        Promise { act, promise, unit: Unit::Seconds, bound: Bound::AtMost, limit: 8.0, seen, held }
    }

    #[test]
    fn runs_of_an_act_are_one_row() {
        let seen = [Some(6.0), Some(9.5), None, Some(0.25), Some(7.0)];
        let mut all: Vec<Promise> =
            seen.iter().map(|seen| promise("a", *seen, seen.is_some_and(|s| s < 8.0))).collect();
        all.insert(2, promise("b", Some(1.0), true));
        let rows = rows(&all);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].cells(), ["a", "authoritative switch", "≤ 8.0 s", "250 ms", "6.0 s", "9.5 s", "BROKEN 2/5"]);
        assert_eq!(rows[1].cells()[6], "held");
    }
}
