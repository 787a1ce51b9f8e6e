//! `meridian get`: ids through the regional client.

use super::{Exit, Failed, fleet};
use crate::cli::GetArgs;
use crate::client::{Client, Error, Ids, Prefetch, Regions, Settings};
use std::io::Write;
use std::time::Duration;

/// Ids asked for at once: one request.
const AT_ONCE: u32 = 1 << 16;

pub async fn run(args: &GetArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let timeout = Duration::from_secs_f64(args.timeout);
    let attempt_timeout = Settings::default().attempt_timeout.min(timeout);
    // Nobody comes back for more: nothing is fetched ahead.
    let prefetch = Prefetch { min: 1, horizon: Duration::ZERO, ..Prefetch::default() };
    let settings = Settings { attempt_timeout, deadline: timeout, prefetch, ..Settings::default() };
    let (regions, settings) = match &args.region {
        Some(region) if args.targets.is_empty() => {
            let topology = fleet::read(&args.manifest)?;
            let layout = topology.layout;
            fleet::region(&topology, region)?;
            (Regions::of(&topology, region).map_err(usage)?, Settings { layout, ..settings })
        }
        _ => (Regions::at(&args.targets).map_err(|error| Failed::usage(format!("--target: {error}")))?, settings),
    };
    let client = Client::with(regions, settings).map_err(usage)?;

    let mut left = args.count;
    let mut first = true;
    let mut line = String::new();
    while left > 0 {
        let ids = match client.ids(left.min(AT_ONCE)).await {
            Ok(ids) => ids,
            Err(error) => {
                if args.json && !first {
                    writeln!(out, "]")?; // what came is an array all the same
                }
                return Err(error.into());
            }
        };
        left -= ids.len() as u32;
        line.clear();
        write(&ids, args.json, &mut first, &mut line);
        out.write_all(line.as_bytes())?;
    }
    if args.json {
        writeln!(out, "]")?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn usage(error: Error) -> anyhow::Error {
    Failed::usage(error.to_string())
}

fn write(ids: &Ids, json: bool, first: &mut bool, line: &mut String) {
    let mut digits = itoa::Buffer::new();
    for id in ids.iter() {
        if json {
            line.push_str(if std::mem::replace(first, false) { "[\"" } else { ",\"" });
            line.push_str(digits.format(id));
            line.push('"');
        } else {
            line.push_str(digits.format(id));
            line.push('\n');
        }
    }
}
