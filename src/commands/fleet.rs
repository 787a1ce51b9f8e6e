//! From a manifest to the parts of one region: what every command that meets a coordination service starts with.

use super::Failed;
use crate::cli::{CoordinationArgs, ManifestArg};
use crate::lease::coordination::{Blueprint, Coordination, Expected};
use crate::lease::file::Directory;
use crate::lease::state::Settings;
use crate::lease::znode::{self, Admission, Guid, Tree};
use crate::lease::zookeeper::{Credentials, Ensemble, Identity};
use crate::manifest::nearest;
use crate::topology::{Region, Topology};
use anyhow::Context;
use std::time::Duration;

/// Reads and checks the manifest. Its problems are the error, one a line.
pub fn read(manifest: &ManifestArg) -> anyhow::Result<Topology> {
    let file = manifest.path.display().to_string();
    let bytes = std::fs::read(&manifest.path)
        .with_context(|| format!("cannot read the manifest {file}; name one with --manifest"))?;
    Topology::parse(&file, &bytes)
        .map_err(|problems| Failed::no(format!("the manifest does not hold; `meridian check` says more:\n{problems}")))
}

/// The region of this name, or an error that names those there are.
pub fn region<'a>(topology: &'a Topology, name: &str) -> anyhow::Result<&'a Region> {
    topology.region(name).ok_or_else(|| {
        let names: Vec<&str> = topology.regions.iter().map(|region| region.name.as_str()).collect();
        let guess = nearest(name, names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        Failed::usage(format!(
            "the manifest has no region {name:?}, only {}{}",
            names.join(", "),
            guess.unwrap_or_default()
        ))
    })
}

/// The region asked for, or all of them.
pub fn regions<'a>(topology: &'a Topology, name: Option<&str>) -> anyhow::Result<Vec<&'a Region>> {
    match name {
        Some(name) => Ok(vec![region(topology, name)?]),
        None => Ok(topology.regions.iter().collect()),
    }
}

/// Where the nodes of a region meet: the flags, or else the manifest.
pub fn coordination(args: &CoordinationArgs, region: &Region) -> anyhow::Result<Coordination> {
    if let Some(coordination) = &args.coordination {
        return match coordination.strip_prefix("file:") {
            Some(folder) if !folder.is_empty() => Ok(Coordination::File(Directory::new(folder))),
            _ => Err(Failed::usage(format!("--coordination {coordination:?}: write file:DIR"))),
        };
    }
    let connect = args.zookeeper.as_deref().unwrap_or(&region.zookeeper);
    let ensemble = Ensemble::new(connect).map_err(|error| Failed::usage(error.to_string()))?;
    Ok(Coordination::Zookeeper(match credentials(args)? {
        Some(credentials) => ensemble.with_credentials(credentials),
        None => ensemble,
    }))
}

fn credentials(args: &CoordinationArgs) -> anyhow::Result<Option<Credentials>> {
    let identity = |text: &str| Identity::parse(text).map_err(Failed::usage);
    let Some(node) = &args.zookeeper_auth else { return Ok(None) };
    let admin = args.zookeeper_admin_auth.as_deref().map(identity).transpose()?;
    Ok(Some(Credentials { node: identity(node)?, admin }))
}

/// What the tree of a region must say of itself.
pub fn expected(topology: &Topology, region: &Region) -> Expected {
    Expected {
        fleet: topology.fleet.clone(),
        datacenter: region.datacenter,
        epoch: topology.epoch.clone(),
        layout: topology.layout.name.to_owned(),
    }
}

/// What `init` makes for a region. New slots start a window ahead of the clock, so that a tree made anew cannot overlap
/// what holders in the old one may still issue.
pub fn blueprint(topology: &Topology, region: &Region) -> Blueprint {
    let workers = &region.workers;
    Blueprint {
        tree: Tree {
            v: znode::VERSION,
            fleet: topology.fleet.clone(),
            datacenter: region.datacenter,
            epoch: topology.epoch.clone(),
            layout: topology.layout.name.to_owned(),
            genesis: Guid::random(),
        },
        admission: Admission {
            v: znode::VERSION,
            quota: workers.quota,
            fixed: workers.fixed,
            surge: workers.surge,
            surge_until: None,
            surge_for: Vec::new(),
            digest: topology.digest.clone(),
        },
        slots: topology.layout.workers(),
        window_ms: millis(topology.lease.window),
        epoch_unix_ms: topology.epoch_unix_ms,
    }
}

/// The numbers of the lease for one region.
pub fn settings(topology: &Topology, region: &Region, lame_duck: Duration) -> Settings {
    let lease = &topology.lease;
    Settings {
        layout: topology.layout,
        datacenter: region.datacenter,
        dynamic: topology.pools.dynamic.clone(),
        session_ms: millis(lease.session),
        window_ms: millis(lease.window),
        first_window_ms: millis(lease.first_window),
        max_borrow_ms: millis(lease.max_borrow),
        lame_duck_ms: millis(lame_duck),
        #[cfg(feature = "broken")]
        flaw: None,
    }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
