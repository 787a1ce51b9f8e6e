//! `meridian decode`: what ids say about themselves.

use super::{Exit, complain, fleet, table};
use crate::cli::DecodeArgs;
use crate::clock;
use crate::id::Parts;
use crate::topology::Topology;
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Row {
    id: String,
    time: String,
    region: Option<String>,
    datacenter: u16,
    worker: u16,
    sequence: u64,
}

pub fn run(args: &DecodeArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let mut rows = Vec::new();
    let mut wrong = 0;
    for id in &args.ids {
        match decode(&topology, id) {
            Ok(row) => rows.push(row),
            Err(why) => {
                wrong += 1;
                complain(format_args!("{id:?}: {why}"));
            }
        }
    }
    if args.json {
        for row in &rows {
            writeln!(out, "{}", serde_json::to_string(row)?)?;
        }
    } else if !rows.is_empty() {
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let region = row.region.unwrap_or_else(|| "(none)".into());
                let (datacenter, worker) = (row.datacenter.to_string(), row.worker.to_string());
                [row.id, row.time, region, datacenter, worker, row.sequence.to_string()]
            })
            .collect();
        table::print(out, ["ID", "TIME", "REGION", "DATACENTER", "WORKER", "SEQUENCE"], &rows)?;
    }
    Ok(if wrong == 0 { Exit::Fine } else { Exit::No })
}

fn decode(topology: &Topology, text: &str) -> Result<Row, String> {
    let layout = topology.layout;
    // Digits only: `parse` alone would take "+5" for an id.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse::<u64>().ok().filter(|_| digits);
    let id = id.ok_or_else(|| "an id is a decimal number of up to 19 digits".to_owned())?;
    let Parts { timestamp, origin, sequence } =
        layout.decode(id).ok_or_else(|| format!("no id of the layout {} has its highest bits set", layout.name))?;
    let region = topology.regions.iter().find(|region| region.datacenter == origin.datacenter);
    Ok(Row {
        id: id.to_string(),
        time: clock::rfc3339(topology.epoch_unix_ms + timestamp.0 as i64),
        region: region.map(|region| region.name.clone()),
        datacenter: origin.datacenter,
        worker: origin.worker,
        sequence,
    })
}
