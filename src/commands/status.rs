//! `meridian status`: who holds which slot, as the coordination service sees it.

use super::{Exit, complain, fleet, table};
use crate::cli::StatusArgs;
use crate::clock::{self, Clock};
use crate::fetch::{NODE_HEALTH_PATH, fetch};
use crate::id::Millis;
use crate::lease::coordination::{Coordination, RegistrationRead, View};
use crate::lease::line;
use crate::topology::{Region, Topology};
use serde::Serialize;
use std::io::Write;
use std::time::Duration;

/// A node that takes longer to say how it is is not waited for.
const ASK_WITHIN: Duration = Duration::from_secs(1);

/// A slot with a holder, or a standby (`slot` and `holder` null, `standby` its place in line).
#[derive(Clone, Debug, Serialize)]
struct Row {
    region: String,
    datacenter: u16,
    slot: Option<u16>,
    holder: Option<String>,
    host: String,
    /// RFC 3339; the first time not granted.
    ceiling: Option<String>,
    /// Its owner is alive. A slot without one goes on issuing up to its ceiling, or was left by a crash.
    live: bool,
    /// RFC 3339; when the owner attached, or the standby joined the line.
    since: Option<String>,
    standby: Option<usize>,
    eligible: Option<bool>,
    http: Option<String>,
    version: Option<String>,
    /// How far the node says its clock is off, in milliseconds; `null` if it cannot be asked from here.
    clock_drift_ms: Option<f64>,
}

/// A region's view.
struct Seen<'a> {
    region: &'a Region,
    view: View,
    quota: u16,
}

pub async fn run(args: &StatusArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let clock = Clock::start(topology.epoch_unix_ms);
    let regions = fleet::regions(&topology, args.region.as_deref())?;
    // All flags first: a mistyped one is told once, and is not the world's fault.
    let places: Vec<_> = regions
        .into_iter()
        .map(|region| fleet::coordination(&args.coordination, region).map(|place| (region, place)))
        .collect::<anyhow::Result<_>>()?;
    let mut seen = Vec::new();
    let mut unseen = 0;
    for (region, coordination) in &places {
        match look(coordination, &topology, region).await {
            Ok(view) => seen.push(view),
            Err(error) => {
                unseen += 1;
                complain(format_args!("region {}: {error:#}", region.name));
            }
        }
    }
    let mut rows: Vec<Row> = seen.iter().flat_map(|seen| rows(seen, &clock)).collect();
    ask_clocks(&mut rows).await;
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
    } else {
        print(&seen, &rows, out)?;
    }
    Ok(if unseen == 0 { Exit::Fine } else { Exit::World })
}

async fn look<'a>(coordination: &Coordination, topology: &Topology, region: &'a Region) -> anyhow::Result<Seen<'a>> {
    let session = coordination.open(&fleet::expected(topology, region), topology.lease.session).await?;
    let view = tokio::time::timeout(Duration::from_secs(10), session.look()).await;
    session.close().await;
    let view = view.map_err(|_| anyhow::anyhow!("no answer within 10 s"))??;
    let admission = &view.admission.value;
    let surging = line::surging(admission, clock::real_us() / 1_000);
    let quota = if surging { admission.surge } else { admission.quota };
    Ok(Seen { region, view, quota })
}

fn rows(seen: &Seen<'_>, clock: &Clock) -> Vec<Row> {
    let Seen { region, view, .. } = seen;
    let time = |at: Millis| Some(clock::rfc3339(clock.unix_ms_of(at)));
    let registration = |name: &str| view.registrations.iter().find(|r| r.name == name);
    let blank = |host: &str| Row {
        region: region.name.clone(),
        datacenter: region.datacenter,
        slot: None,
        holder: None,
        host: host.to_owned(),
        ceiling: None,
        live: false,
        since: None,
        standby: None,
        eligible: None,
        http: None,
        version: None,
        clock_drift_ms: None,
    };
    let of_card = |row: Row, card: Option<&RegistrationRead>| Row {
        eligible: card.map(|card| card.value.eligible),
        http: card.map(|card| card.value.http.clone()),
        version: card.map(|card| card.value.version.clone()),
        ..row
    };
    let held = view.slots.iter().filter(|slot| slot.owner.is_some() || slot.value.holder.is_some()).map(|slot| {
        let card = slot.owner.as_ref().and_then(|owner| registration(&owner.value.worker));
        let row = Row {
            slot: Some(slot.slot),
            holder: slot.value.holder.as_ref().map(|guid| guid.0.clone()),
            ceiling: time(slot.value.ceiling),
            live: slot.owner.is_some(),
            since: slot.owner.as_ref().map(|owner| clock::rfc3339(owner.created.0)),
            ..blank(&slot.value.host)
        };
        of_card(row, card)
    });
    let owned =
        |r: &RegistrationRead| view.slots.iter().any(|s| s.owner.as_ref().is_some_and(|o| o.value.worker == r.name));
    let waiting = view.registrations.iter().filter(|r| !owned(r)).enumerate().map(|(rank, r)| {
        let since = Some(clock::rfc3339(r.created.0));
        of_card(Row { since, standby: Some(rank), ..blank(&r.value.host) }, Some(r))
    });
    held.chain(waiting).collect()
}

/// Asks each node itself, all at once: only it knows its clock. One that does not answer in time is left out.
async fn ask_clocks(rows: &mut [Row]) {
    let mut asked = tokio::task::JoinSet::new();
    for (number, row) in rows.iter().enumerate() {
        if let Some(http) = row.http.clone() {
            asked.spawn(async move { (number, clock_drift(&http).await) });
        }
    }
    while let Some(answered) = asked.join_next().await {
        if let Ok((number, drift_ms)) = answered {
            rows[number].clock_drift_ms = drift_ms;
        }
    }
}

async fn clock_drift(http: &str) -> Option<f64> {
    let (_, body) = fetch(&format!("{http}{NODE_HEALTH_PATH}"), ASK_WITHIN).await.ok()?;
    let health: serde_json::Value = serde_json::from_slice(&body).ok()?;
    health.pointer("/checks/clock_drift_ms/observed")?.as_f64()
}

fn print(seen: &[Seen<'_>], rows: &[Row], out: &mut impl Write) -> anyhow::Result<()> {
    for Seen { region, view, quota } in seen {
        let live = view.slots.iter().filter(|slot| slot.owner.is_some()).count();
        let drained = match &view.drain {
            Some(drain) => format!(", drained by {} since {}: {}", drain.by, drain.since, drain.reason),
            None => String::new(),
        };
        writeln!(out, "{} (datacenter {}): {live} of {quota} slots live{drained}", region.name, region.datacenter)?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let dash = || "-".to_owned();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let state = match (row.live, row.standby, row.eligible) {
                (_, Some(_), Some(false)) => "ineligible".to_owned(),
                (_, Some(rank), _) => format!("standby {rank}"),
                (true, ..) => "live".to_owned(),
                (false, ..) => "gone".to_owned(),
            };
            [
                row.region.clone(),
                row.slot.map_or_else(dash, |slot| slot.to_string()),
                state,
                row.host.clone(),
                row.http.clone().unwrap_or_else(dash),
                row.clock_drift_ms.map_or_else(dash, |drift_ms| format!("{drift_ms:.1} ms")),
                row.since.clone().unwrap_or_else(dash),
                row.ceiling.clone().unwrap_or_else(dash),
                row.holder.clone().unwrap_or_else(dash),
            ]
        })
        .collect();
    table::print(
        out,
        ["REGION", "SLOT", "STATE", "HOST", "HTTP", "CLOCK OFF BY", "SINCE", "CEILING", "HOLDER"],
        &rows,
    )?;
    Ok(())
}
