//! `meridian drain` and `undrain`: a region leaves GeoDNS in order, and comes back.

use super::{Exit, Failed, fleet};
use crate::cli::{DrainArgs, UndrainArgs};
use crate::clock;
use crate::lease::coordination::{Coordination, Failure, Refusal, Session, Survey};
use crate::lease::znode::{self, Drain};
use crate::render;
use crate::topology::spill::SINGLE_FAILURE_LIMIT;
use crate::topology::{Region, Topology};
use anyhow::Context;
use serde::Serialize;
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// One question to a coordination service, or one order.
const WITHIN: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Serialize)]
struct Done<'a> {
    region: &'a str,
    drained: bool,
    /// Of the drain that was there before, if any.
    before: Option<Drain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<&'a Drain>,
    /// Regions that are out now, this one included if it is.
    down: Vec<&'a str>,
    /// Who serves the region's clients meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    carried_by: Vec<Carrier>,
}

#[derive(Serialize)]
struct Carrier {
    region: String,
    /// Of the drained region's load.
    fraction: f64,
    /// The whole load of the carrier, as a multiple of its normal load.
    factor: f64,
}

/// How one of the other regions is.
struct Neighbour<'a> {
    region: &'a Region,
    /// `Err`: why it could not take over.
    able: Result<(), String>,
}

pub async fn drain(args: &DrainArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let region = fleet::region(&topology, &args.region)?;
    let reason = args.reason.trim();
    if reason.is_empty() {
        return Err(Failed::usage("--reason: say why, for whoever finds the region drained"));
    }
    let place = |region| fleet::coordination(&args.coordination, region).map(|place| (region, place));
    let (_, here) = place(region)?;
    let others = topology.regions.iter().filter(|other| other.name != region.name);
    let others: Vec<_> = others.map(place).collect::<anyhow::Result<_>>()?;

    let neighbours = neighbours(&topology, others).await;
    let mut down: Vec<&str> = vec![&region.name];
    down.extend(neighbours.iter().filter(|n| n.able.is_err()).map(|n| n.region.name.as_str()));
    if neighbours.iter().all(|neighbour| neighbour.able.is_err()) && !args.force {
        let why = |n: &Neighbour<'_>| Some(format!("\n  {}: {}", n.region.name, n.able.as_ref().err()?));
        let list: String = neighbours.iter().filter_map(why).collect();
        return Err(Failed::no(format!(
            "{} is the last healthy region; no other could take its clients:{list}\n--force drains it all the same",
            region.name
        )));
    }

    let drain = Drain {
        v: znode::VERSION,
        by: args.by.clone().unwrap_or_else(whoever),
        reason: reason.to_owned(),
        since: clock::timestamp(),
    };
    let before = order(&topology, region, here, Some(&drain)).await?;
    switch_gdnsd(args.gdnsd_admin_state.as_deref(), region, true)?;
    let carried_by = carriers(&topology, region, &down);
    if args.json {
        let done = Done { region: &region.name, drained: true, before, drain: Some(&drain), down, carried_by };
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        return Ok(Exit::Fine);
    }
    if let Some(Drain { by, since, reason, .. }) = before {
        writeln!(out, "{} was drained already, by {by} since {since}: {reason}", region.name)?;
    }
    writeln!(out, "{} is drained: GeoDNS hears 503 within 2 s, and clients that still come are served.", region.name)?;
    match carried_by.is_empty() {
        true => writeln!(out, "Nobody may or can take its clients: they are shed once DNS has moved.")?,
        false => {
            let part = |c: &Carrier| {
                let shed = if c.factor > SINGLE_FAILURE_LIMIT { ", of which the excess is shed" } else { "" };
                format!("{:.1} % to {} (then {:.2}x its load{shed})", c.fraction * 100.0, c.region, c.factor)
            };
            let parts: Vec<String> = carried_by.iter().map(part).collect();
            writeln!(out, "Its clients go {}.", parts.join(", "))?;
        }
    }
    writeln!(out, "Bring it back with: meridian undrain {}", region.name)?;
    Ok(Exit::Fine)
}

pub async fn undrain(args: &UndrainArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let region = fleet::region(&topology, &args.region)?;
    let here = fleet::coordination(&args.coordination, region)?;
    let before = order(&topology, region, here, None).await?;
    switch_gdnsd(args.gdnsd_admin_state.as_deref(), region, false)?;
    if args.json {
        let (down, carried_by) = (Vec::new(), Vec::new());
        let done = Done { region: &region.name, drained: false, before, drain: None, down, carried_by };
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
        return Ok(Exit::Fine);
    }
    match before {
        None => writeln!(out, "{} was not drained", region.name)?,
        Some(Drain { by, since, reason, .. }) => writeln!(
            out,
            "{} is no longer drained (it was by {by} since {since}: {reason}). It says 200 again \
             once it was well for its hold.",
            region.name
        )?,
    }
    Ok(Exit::Fine)
}

/// Asks all of them at once.
async fn neighbours<'a>(topology: &Topology, places: Vec<(&'a Region, Coordination)>) -> Vec<Neighbour<'a>> {
    let mut asked = tokio::task::JoinSet::new();
    let mut regions = Vec::new();
    for (number, (region, place)) in places.into_iter().enumerate() {
        let expected = fleet::expected(topology, region);
        let session_timeout = topology.lease.session;
        asked.spawn(async move {
            let survey = async {
                let session = place.open(&expected, session_timeout).await.map_err(|error| error.to_string())?;
                let survey = session.survey().await.map_err(|failure| failure.to_string());
                session.close().await;
                survey
            };
            (number, bounded(survey).await)
        });
        regions.push(region);
    }
    let mut able: Vec<Result<(), String>> = regions.iter().map(|_| Err("it could not be asked".to_owned())).collect();
    while let Some(answered) = asked.join_next().await {
        if let Ok((number, survey)) = answered {
            able[number] = survey.and_then(is_able);
        }
    }
    regions.into_iter().zip(able).map(|(region, able)| Neighbour { region, able }).collect()
}

fn is_able(survey: Survey) -> Result<(), String> {
    match survey {
        Survey { drain: Some(Drain { by, reason, .. }), .. } => Err(format!("is drained by {by}: {reason}")),
        Survey { live: 0, .. } => Err("has no live worker".to_owned()),
        _ => Ok(()),
    }
}

async fn bounded<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| Err(format!("no answer within {WITHIN:?}")))
}

/// Drains a region or ends its drain; gives the drain that was there before.
async fn order(
    topology: &Topology,
    region: &Region,
    place: Coordination,
    drain: Option<&Drain>,
) -> anyhow::Result<Option<Drain>> {
    let expected = fleet::expected(topology, region);
    let done = async {
        let session =
            place.as_operator().open(&expected, topology.lease.session).await.map_err(|error| error.to_string())?;
        let done = replace(&session, drain).await;
        session.close().await;
        done.map_err(|failure| match failure {
            Failure::Refused(Refusal::NoAuth) => {
                "not authorised: this tree was made with an admin identity; give --zookeeper-admin-auth".to_owned()
            }
            failure => failure.to_string(),
        })
    };
    bounded(done).await.map_err(|why| anyhow::anyhow!("region {}: {why}", region.name))
}

async fn replace(session: &Session, drain: Option<&Drain>) -> Result<Option<Drain>, Failure> {
    let before = session.survey().await?.drain;
    session.set_drain(drain).await?;
    Ok(before)
}

/// The region itself says it already; this is for those who do not want to wait for the probes.
fn switch_gdnsd(file: Option<&Path>, region: &Region, down: bool) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let before = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let text = render::admin_state(&before, &region.addresses, down);
    // Whole or not at all: gdnsd reads whenever the file changes.
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let done = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, file));
    let state = if down { "drained" } else { "no longer drained" };
    done.with_context(|| format!("{} is {state}, but {} cannot be written", region.name, file.display()))
}

fn carriers(topology: &Topology, region: &Region, down: &[&str]) -> Vec<Carrier> {
    let routing = topology.routing();
    let factors = routing.load_factors(down);
    let factor = |name: &str| factors.iter().find(|f| f.region == name).map_or(0.0, |f| f.factor);
    let carrier = |(name, fraction): (&str, f64)| Carrier { region: name.to_owned(), fraction, factor: factor(name) };
    routing.destinations(&region.name, down).into_iter().map(carrier).collect()
}

/// Who runs this, as far as the environment tells.
fn whoever() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}
