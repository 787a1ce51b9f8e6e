//! `meridian init`: the persistent znodes of one region or of all.

use super::{Exit, fleet};
use crate::cli::InitArgs;
use crate::lease::coordination::Initialised;
use anyhow::Context;
use serde::Serialize;
use std::io::Write;

#[derive(Serialize)]
struct Row<'a> {
    region: &'a str,
    datacenter: u16,
    tree_created: bool,
    slots_created: u16,
    admission_changed: bool,
}

pub async fn run(args: &InitArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    for region in fleet::regions(&topology, args.region.as_deref())? {
        let coordination = fleet::coordination(&args.coordination, region)?;
        let blueprint = fleet::blueprint(&topology, region);
        let done = coordination.init(&blueprint).await.with_context(|| format!("region {}", region.name))?;
        let Initialised { tree_created, slots_created, admission_changed } = done;
        if args.json {
            let (region, datacenter) = (region.name.as_str(), region.datacenter);
            let row = Row { region, datacenter, tree_created, slots_created, admission_changed };
            writeln!(out, "{}", serde_json::to_string(&row)?)?;
            continue;
        }
        let tree = if tree_created { "made" } else { "already there" };
        write!(out, "{} (datacenter {}): tree {tree}", region.name, region.datacenter)?;
        if slots_created > 0 {
            write!(out, ", {slots_created} slots made")?;
        }
        if admission_changed {
            write!(out, ", quota brought up to date")?;
        }
        writeln!(out)?;
    }
    Ok(Exit::Fine)
}
