//! `docs/results/drills.md`: what the drills measured.

use crate::run::Performance;
use serde_json::Value;
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/drills.md");

pub fn write(played: &[Performance]) {
    let mut text = "# Drills\n\nWhat `meridian drill` measured: real nodes, one real ZooKeeper a region, real gdnsd with \
                    the files of `meridian render`, real unbound with its cache in front of the clients, all on one \
                    machine, several drills side by side. Written by `make drills-full`. A broken promise would stand in \
                    bold.\n\nClients *behind the cache* look the name up for each request and give it a second, 20 times \
                    a second in each region. Clients *with a list* are `meridian::client`, 50 draws a second in each \
                    region. Every id is counted.\n"
        .to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let _ = writeln!(text, "\n{cores} cores, Linux {}, load average {load} at the end.", kernel.trim());
    for Performance { line, report } in played {
        let Ok(report) = report else { continue };
        section(line, report, &mut text);
    }
    std::fs::write(PAGE, text).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    println!("wrote {PAGE}");
}

fn section(line: &[String], report: &Value, text: &mut String) {
    let _ = writeln!(
        text,
        "\n## {}, {} profile\n",
        report["drill"].as_str().unwrap_or("?"),
        report["profile"].as_str().unwrap_or("?")
    );
    let _ = writeln!(text, "`meridian drill {}`: {} ids\n", line.join(" "), report["ids"]);
    *text += "| act | what | promise | min | median | max | held |\n|---|---|---|---:|---:|---:|---:|\n";
    for row in report["promises"].as_array().into_iter().flatten() {
        let unit = row["unit"].as_str().unwrap_or_default();
        let bound = match row["bound"].as_str() {
            Some("at_most") => "≤",
            Some("below") => "<",
            _ => "≥",
        };
        let held = row["held"] == row["runs"];
        let cell = |key: &str| written(&row[key], unit);
        let verdict = format!("{}/{}", row["held"], row["runs"]);
        let verdict = if held { verdict } else { format!("**{verdict}**") };
        let (act, promise) = (row["act"].as_str().unwrap_or("?"), row["promise"].as_str().unwrap_or("?"));
        let (limit, min, median, max) = (cell("limit"), cell("min"), cell("median"), cell("max"));
        let _ = writeln!(text, "| {act} | {promise} | {bound} {limit} | {min} | {median} | {max} | {verdict} |");
    }
}

fn written(value: &Value, unit: &str) -> String {
    let Some(value) = value.as_f64() else { return "never".to_owned() };
    match unit {
        "seconds" if value.abs() < 1.0 => format!("{:.0} ms", value * 1_000.0),
        "seconds" => format!("{value:.1} s"),
        "points" => format!("{value:.2}"),
        "factor" => format!("{value:.2}x"),
        _ => format!("{value:.0}"),
    }
}
