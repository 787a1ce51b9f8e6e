//! One run from the first server to the verdict.

use crate::flags::{Flags, Plan};
use crate::phases::{self, Phase};
use crate::scene::Scene;
use crate::{page, roster};
use std::path::Path;
use std::process::ExitCode;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/workers.md");

/// More standbys woken by a departure than this, on average, is a herd.
pub const WOKEN_AT_MOST: f64 = 4.0;

/// More claims for each slot that was granted than this, on average, and the line does not part those who wait.
const CLAIMS_AT_MOST: f64 = 6.0;

/// All of a run.
#[derive(serde::Serialize)]
pub struct Run {
    pub slots: usize,
    pub standbys: usize,
    pub session_ms: u128,
    pub window_ms: u128,
    pub phases: Vec<Phase>,
    pub ids: u64,
    pub duplicates: u64,
    /// Why the run failed; empty: it did not.
    pub failures: Vec<String>,
}

pub fn run(flags: &Flags) -> ExitCode {
    let plan = flags.plan();
    let (slots, standbys) = (roster::slots(plan.datacenters), roster::roles(roster::STANDBYS, plan.datacenters).len());
    eprintln!(
        "workers: {slots} slots of {} datacenters, {standbys} standbys, three ZooKeeper servers, session {:?}, window {:?}",
        plan.datacenters, plan.session, plan.window
    );
    let mut scene = Scene::set(&plan);
    let mut run = Run {
        slots,
        standbys,
        session_ms: plan.session.as_millis(),
        window_ms: plan.window.as_millis(),
        phases: Vec::new(),
        ids: 0,
        duplicates: 0,
        failures: Vec::new(),
    };
    type Step = fn(&mut Scene, &Plan) -> Phase;
    let steps: [Step; 6] = [
        phases::claim_all,
        phases::line_up,
        phases::steady,
        phases::kill_a_third,
        phases::restart,
        phases::long_outage,
    ];
    for step in steps {
        let phase = step(&mut scene, &plan);
        eprintln!("\r\x1b[Kworkers: {}", page::line(&phase));
        let reached = phase.reached;
        if !reached {
            let held = scene.look().slots_held();
            run.failures.push(format!("{}: {held} of {slots} slots held after {:?}", phase.name, plan.bound));
        }
        let woken = phase.standbys_woken / phase.departures.max(1) as f64;
        if phase.departures > 0 && woken > WOKEN_AT_MOST {
            run.failures
                .push(format!("{}: a departure woke {woken:.1} standbys, more than {WOKEN_AT_MOST}", phase.name));
        }
        let claims = phase.claims_per_grant();
        if claims > CLAIMS_AT_MOST {
            run.failures.push(format!("{}: {claims:.1} claims for a slot, more than {CLAIMS_AT_MOST}", phase.name));
        }
        run.phases.push(phase);
        if !reached {
            break;
        }
    }
    let tally = scene.end();
    (run.ids, run.duplicates) = (tally.ids, tally.duplicates);
    if tally.duplicates > 0 {
        run.failures.push(format!("{} duplicates, {:?} among them", tally.duplicates, tally.examples));
    }
    if tally.ids == 0 {
        run.failures.push("no ids were drawn".to_owned());
    }
    match flags.json {
        true => println!("{}", serde_json::to_string(&run).expect("plain data")),
        false => println!("{}", page::tables(&run)),
    }
    for failure in &run.failures {
        eprintln!("workers: FAILED: {failure}");
    }
    if !run.failures.is_empty() {
        return ExitCode::FAILURE;
    }
    if flags.full {
        page::write(Path::new(PAGE), &run, &plan);
    }
    eprintln!("workers: {} ids, no duplicate ... ok", run.ids);
    ExitCode::SUCCESS
}
