//! `meridian check`: everything that is wrong with a manifest, and what its regions carry when others are down.

use super::Exit;
use crate::cli::CheckArgs;
use crate::manifest::Problem;
use crate::topology::spill::{KeptHome, LoadFactor, Routing, SINGLE_FAILURE_LIMIT};
use crate::topology::{Inspection, Topology, inspect};
use anyhow::Context;
use serde::Serialize;
use std::io::{self, Write};

/// Prints the report to `out`. An error means that the manifest could not be read or the report not written.
pub fn run(args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let file = args.manifest.path.display().to_string();
    let bytes = std::fs::read(&args.manifest.path).with_context(|| format!("cannot read the manifest {file}"))?;
    let inspection = inspect(&file, &bytes);
    let exit = if inspection.problems.is_empty() { Exit::Fine } else { Exit::No };
    match args.json {
        true => print_json(inspection, out),
        false => print_report(&file, &inspection, out),
    }
    .context("cannot write the report")?;
    Ok(exit)
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    problems: Vec<Problem>,
    /// Empty if the routes between the regions are not readable.
    load_factors: Vec<LoadFactor>,
    /// What residency costs: load that is shed in a failure, because nobody of its zone lives.
    kept_home: Vec<KeptHome>,
}

fn print_json(inspection: Inspection, out: &mut impl Write) -> io::Result<()> {
    let routing = inspection.routing.as_ref();
    let load_factors = routing.map(Routing::all_load_factors).unwrap_or_default();
    let kept_home = |routing: &Routing| routing.failures().iter().flat_map(|down| routing.kept_home(down)).collect();
    let kept_home = routing.map(kept_home).unwrap_or_default();
    let problems = inspection.problems.into_vec();
    let report = Report { ok: problems.is_empty(), problems, load_factors, kept_home };
    serde_json::to_writer(&mut *out, &report)?;
    writeln!(out)
}

fn print_report(file: &str, inspection: &Inspection, out: &mut impl Write) -> io::Result<()> {
    match &inspection.topology {
        Some(topology) => print_summary(file, topology, out)?,
        None => {
            for problem in inspection.problems.iter() {
                writeln!(out, "{problem}")?;
            }
            let count = inspection.problems.len();
            let s = if count == 1 { "" } else { "s" };
            writeln!(out, "\n{file}: {count} problem{s} found")?;
        }
    }
    match &inspection.routing {
        Some(routing) if routing.routes().len() > 1 => print_load_factors(routing, out),
        _ => Ok(()),
    }
}

fn print_summary(file: &str, topology: &Topology, out: &mut impl Write) -> io::Result<()> {
    let Topology { digest, fleet, epoch, layout, regions, .. } = topology;
    let (count, s) = (regions.len(), if regions.len() == 1 { "" } else { "s" });
    let quota: u32 = regions.iter().map(|region| u32::from(region.workers.quota)).sum();
    writeln!(out, "{file}: fine")?;
    writeln!(out, "fleet {fleet}: {count} region{s}, {quota} workers, layout {}, epoch {epoch}", layout.name)?;
    writeln!(out, "sha256 {digest}")
}

/// One row a failure, one column a region.
fn print_load_factors(routing: &Routing, out: &mut impl Write) -> io::Result<()> {
    let failures = routing.failures();
    let first = failures.iter().map(|down| down.join(" + ").len()).max().unwrap_or(0).max("down".len());
    let widths: Vec<usize> = routing.routes().iter().map(|route| route.region.len().max("1.00x".len())).collect();

    writeln!(out, "\nload of each region while others are down (1.00x is its normal load):\n")?;
    write!(out, "  {:first$}", "down")?;
    for (route, width) in routing.routes().iter().zip(&widths) {
        write!(out, "  {:>width$}", route.region)?;
    }
    writeln!(out)?;
    for down in &failures {
        let factors = routing.load_factors(down);
        write!(out, "  {:first$}", down.join(" + "))?;
        for (route, width) in routing.routes().iter().zip(&widths) {
            let cell = match factors.iter().find(|load| load.region == route.region) {
                // Halves are rounded up, as people do it.
                Some(load) => format!("{:.2}x", (load.factor * 100.0).round() / 100.0),
                None => "-".to_owned(),
            };
            write!(out, "  {cell:>width$}")?;
        }
        writeln!(out, "{}", remark(routing, down, &factors))?;
    }
    Ok(())
}

fn remark(routing: &Routing, down: &[&str], factors: &[LoadFactor]) -> String {
    let mut remark = String::new();
    let over = factors.iter().any(|load| load.factor > SINGLE_FAILURE_LIMIT);
    match (over, down.len()) {
        (false, _) => {}
        (true, 1) => remark += &format!("  above {SINGLE_FAILURE_LIMIT}x: refused"),
        (true, _) => remark += &format!("  above {SINGLE_FAILURE_LIMIT}x: the excess is shed"),
    }
    let mut homeless = routing.loads(down).shed * 100.0;
    for KeptHome { region, zone, load, .. } in routing.kept_home(down) {
        homeless -= load * 100.0;
        remark += &format!("  {:.1}% of all load ({region}) may not leave zone {zone}: shed", load * 100.0);
    }
    if homeless > 0.05 {
        remark += &format!("  {homeless:.1}% of all load has nowhere to go: shed");
    }
    remark
}
