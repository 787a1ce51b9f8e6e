//! Every worker the format has, at once: all slots of all datacenter ids on one real ensemble of three ZooKeeper servers,
//! each worker with a session, a keeper and a grant of its own, each drawing ids all the time.
//!
//! The harness starts itself again as carriers: three processes hold the workers, one the standbys, so that killing one
//! of them is what the death of a third of a fleet is: no session is closed, no last word written. Whatever a worker
//! issued counts once it is in its carrier's pipe, which outlives the carrier.

mod carrier;
mod flags;
mod manifest;
mod page;
mod phases;
mod roster;
mod run;
mod scene;
mod seen;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod word;

use clap::Parser;
use flags::Flags;
use std::process::ExitCode;

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let (Some(carrier), Some(manifest)) = (flags.carry, &flags.manifest) {
        return carrier::carry(carrier, manifest);
    }
    if !flags.is_meant() {
        return ExitCode::SUCCESS;
    }
    run::run(&flags)
}
