//! Runs one configuration and says what came of it, in one line.

use crate::configurations::Configuration;
use crate::lease::Lease;
use crate::mutants::Case;
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const THREADS: usize = 2;
/// A run that takes longer than this has not completed, and fails.
const LIMIT: Duration = Duration::from_secs(240);
const LONG_LIMIT: Duration = Duration::from_secs(3600);

/// The checker takes all the cores there are: one run at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub fn long() -> bool {
    std::env::var("MERIDIAN_MODEL").is_ok_and(|size| size == "long")
}

pub struct Verdict {
    pub name: String,
    pub unique: usize,
    pub generated: usize,
    pub depth: usize,
    pub took: Duration,
    pub outcome: String,
}

impl Verdict {
    pub fn print(&self) {
        let Verdict { name, unique, generated, depth, took, outcome } = self;
        let seconds = took.as_secs_f64();
        let row = format!("| {name} | {unique} | {generated} | {depth} | {seconds:.1} | {outcome} |");
        println!("{row}");
        if let Ok(table) = std::env::var("MERIDIAN_MODEL_TABLE") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(&table);
            let written = file.and_then(|mut file| writeln!(file, "{row}"));
            written.unwrap_or_else(|error| panic!("cannot append to {table}: {error}"));
        }
    }
}

/// The protocol itself: explored to the end, nothing broken, everything worth seeing seen, and not vacuous.
pub fn holds(configuration: &Configuration) {
    let Configuration { name, scope, at_least } = *configuration;
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let model = Lease { scope, mutant: None };
    let limit = if long() { LONG_LIMIT } else { LIMIT };
    let start = Instant::now();
    let builder = model.clone().checker().threads(THREADS).timeout(limit).finish_when(HasDiscoveries::AnyFailures);
    let checker = builder.spawn_bfs().join();
    let took = start.elapsed();
    let unique = checker.unique_state_count();
    let failure = if took >= limit {
        Some(format!("not complete after {took:?}"))
    } else if unique < at_least {
        Some(format!("only {unique} states, expected {at_least}"))
    } else {
        model.properties().iter().find_map(|property| disproof(&model, &checker, property))
    };
    let outcome = if failure.is_some() { "FAILS" } else { "complete, holds" }.to_string();
    let (generated, depth) = (checker.state_count(), checker.max_depth());
    Verdict { name: name.to_string(), unique, generated, depth, took, outcome }.print();
    if let Some(failure) = failure {
        panic!("{name}: {failure}");
    }
}

/// Why this property does not stand as it should, with the steps that lead there.
fn disproof(model: &Lease, checker: &impl Checker<Lease>, property: &Property<Lease>) -> Option<String> {
    let name = property.name;
    match (&property.expectation, checker.discovery(name)) {
        (Expectation::Sometimes, None) => Some(format!("never seen: {name}")),
        (Expectation::Sometimes, Some(_)) | (Expectation::Always, None) => None,
        (Expectation::Always, Some(path)) => {
            let last = path.last_state().clone();
            let steps: Vec<String> = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
            let stuck = model.stuck(&last);
            Some(format!("broken: {name}\n{}\n{last:#?}\n{stuck:?}", steps.join("\n")))
        }
        (Expectation::Eventually, _) => unreachable!("the lease has no such property"),
    }
}

/// A mutant must break the property it is said to break.
pub fn caught(case: &Case) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{:?}", case.mutant);
    let model = Lease { scope: case.scope, mutant: Some(case.mutant) };
    let start = Instant::now();
    let stop = HasDiscoveries::AnyOf([case.breaks].into());
    let checker =
        model.clone().checker().threads(THREADS).timeout(Duration::from_secs(60)).finish_when(stop).spawn_bfs().join();
    let path = checker.discovery(case.breaks);
    let length = path.map(|path| path.into_actions().len());
    let outcome = match length {
        Some(length) => format!("breaks \"{}\" in {length} steps", case.breaks),
        None => "SURVIVES".to_string(),
    };
    let verdict = Verdict {
        name: name.clone(),
        unique: checker.unique_state_count(),
        generated: checker.state_count(),
        depth: checker.max_depth(),
        took: start.elapsed(),
        outcome,
    };
    verdict.print();
    assert!(length.is_some(), "{name} does not break \"{}\": the model is blind to it", case.breaks);
    // A catch says something only if the same world, as deep, holds without the mutant.
    let depth = verdict.depth;
    let control = Lease { mutant: None, ..model }.checker().threads(THREADS).target_max_depth(depth);
    let control = control.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    assert!(control.discovery(case.breaks).is_none(), "{name}: \"{}\" breaks without the mutant too", case.breaks);
}
