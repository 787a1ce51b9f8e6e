//! `meridian dns`: what clients of each network are answered, next to what the manifest says.

use super::{Exit, Failed, complain, fleet, table};
use crate::cli::DnsArgs;
use crate::geodns::ask::{Answer, Question, Unanswered, ask};
use crate::geodns::probe;
use crate::geodns::survey::{Expectation, expected, subnet};
use crate::shutdown::Signals;
use crate::topology::Topology;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// For one answer, a repeated question included.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// One server and one client network.
#[derive(Clone, Debug, Serialize)]
struct Row {
    /// The network, as the manifest spells it.
    client: String,
    answers: Vec<IpAddr>,
    ttl: Option<u32>,
    scope: Option<u8>,
    /// Every address that would be right. Of several regions, one at a time.
    expected: Vec<IpAddr>,
    ok: bool,
    /// Whose clients these are.
    region: String,
    server: SocketAddr,
    /// The regions answered, and how often, as fractions of the samples.
    shares: BTreeMap<String, f64>,
    /// What is wrong, or why there is no answer.
    problem: Option<String>,
    #[serde(skip)]
    silent: bool,
}

pub async fn run(args: &DnsArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let topology = fleet::read(&args.manifest)?;
    let stated = args.down.as_ref().map(|names| stated(&topology, names)).transpose()?;
    // A round is bounded, so a signal in one is heard behind it. Without --watch it ends the process as usual.
    let mut signals = args.watch.map(|_| Signals::listen()).transpose()?;
    loop {
        let exit = round(args, &topology, stated.as_deref(), out).await?;
        let (Some(seconds), Some(signals)) = (args.watch, &mut signals) else { return Ok(exit) };
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            _ = signals.next() => return Ok(exit),
        }
    }
}

/// The regions of `--down`.
fn stated(topology: &Topology, names: &[String]) -> anyhow::Result<Vec<String>> {
    let mut down = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty() && *name != "none") {
        down.push(fleet::region(topology, name)?.name.clone());
    }
    if !down.is_empty() && names.iter().any(|name| name == "none") {
        return Err(Failed::usage("--down: none and a region exclude each other"));
    }
    Ok(down)
}

async fn round(
    args: &DnsArgs,
    topology: &Topology,
    stated: Option<&[String]>,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let down = match stated {
        Some(down) => down.to_vec(),
        None => probe::down(topology, args.probe_port).await,
    };
    let names: Vec<&str> = down.iter().map(String::as_str).collect();
    // The family that every region has; the engines' files know no other either.
    let ipv4 = topology.regions.iter().all(|region| region.addresses.iter().any(IpAddr::is_ipv4));
    let expectations = expected(topology, &names, ipv4);
    let mut rows = Vec::new();
    for server in &args.servers {
        for expectation in &expectations {
            rows.push(row(args, topology, *server, expectation, ipv4).await?);
        }
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&rows)?)?;
    } else {
        print(args, topology, &down, &expectations, &rows, out)?;
    }
    out.flush()?;
    for server in &args.servers {
        let mut asked = rows.iter().filter(|row| row.server == *server);
        if !rows.is_empty() && asked.all(|row| row.silent) {
            complain(format_args!("{server} does not answer; name the authoritative servers with --server"));
        }
    }
    Ok(match () {
        () if rows.iter().any(|row| !row.ok && !row.silent) => Exit::No,
        () if rows.iter().any(|row| row.silent) => Exit::World,
        () => Exit::Fine,
    })
}

async fn row(
    args: &DnsArgs,
    topology: &Topology,
    server: SocketAddr,
    expectation: &Expectation<'_>,
    ipv4: bool,
) -> anyhow::Result<Row> {
    let Some(subnet) = subnet(expectation.client) else {
        return Err(Failed::bug(format!("{} is no network", expectation.client)));
    };
    let question = Question { server, name: &topology.dns.name, ipv4, subnet };
    let mut row = Row {
        client: expectation.client.to_owned(),
        answers: Vec::new(),
        ttl: None,
        scope: None,
        expected: expectation.addresses(),
        ok: true,
        region: expectation.nearest.to_owned(),
        server,
        shares: BTreeMap::new(),
        problem: None,
        silent: false,
    };
    for _ in 0..args.samples {
        match ask(&question, ANSWER_WITHIN).await {
            Ok(answer) => note(&mut row, topology, expectation, &answer),
            Err(why) => {
                row.ok = false;
                row.silent = row.answers.is_empty() && !matches!(why, Unanswered::Refused(_));
                row.problem = Some(why.to_string());
                break; // more of it tells nothing new
            }
        }
    }
    row.answers.sort();
    row.shares.values_mut().for_each(|share| *share /= f64::from(args.samples));
    Ok(row)
}

fn note(row: &mut Row, topology: &Topology, expectation: &Expectation<'_>, answer: &Answer) {
    for address in &answer.addresses {
        if !row.answers.contains(address) {
            row.answers.push(*address);
        }
    }
    // The longest TTL and the narrowest scope: what is worst for the next change.
    row.ttl = row.ttl.max(answer.ttl);
    row.scope = row.scope.max(answer.scope);
    let owner = |address: &IpAddr| topology.regions.iter().find(|region| region.addresses.contains(address));
    let name = answer.addresses.first().map(|first| owner(first).map_or("unknown", |region| region.name.as_str()));
    *row.shares.entry(name.unwrap_or("nobody").to_owned()).or_default() += 1.0;
    if let Some(objection) = expectation.objection(answer, topology.dns.ttl.as_secs()) {
        row.ok = false;
        row.problem.get_or_insert(objection);
    }
}

fn print(
    args: &DnsArgs,
    topology: &Topology,
    down: &[String],
    expectations: &[Expectation<'_>],
    rows: &[Row],
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let living = if down.is_empty() { "all regions live".to_owned() } else { format!("down: {}", down.join(", ")) };
    writeln!(out, "{} ({living})\n", topology.dns.name)?;
    let dash = || "-".to_owned();
    let cells = rows.iter().enumerate().map(|(number, row)| {
        let expectation = &expectations[number % expectations.len()];
        let members = expectation.members.iter().map(|member| match expectation.members.len() {
            1 => member.region.to_owned(),
            _ => format!("{} {:.1} %", member.region, member.share * 100.0),
        });
        let members: Vec<String> = members.collect();
        let answered = row.shares.iter().map(|(region, share)| match args.samples {
            1 => region.clone(),
            _ => format!("{region} {:.1} %", share * 100.0),
        });
        let answered: Vec<String> = answered.collect();
        let addresses: Vec<String> = row.answers.iter().map(ToString::to_string).collect();
        [
            row.server.to_string(),
            row.client.clone(),
            row.region.clone(),
            if expectation.shed { "nobody".to_owned() } else { members.join(" or ") },
            if answered.is_empty() { dash() } else { answered.join(", ") },
            if addresses.is_empty() { dash() } else { addresses.join(" ") },
            row.ttl.map_or_else(dash, |ttl| ttl.to_string()),
            row.scope.map_or_else(dash, |scope| format!("/{scope}")),
            row.problem.clone().unwrap_or_else(|| "ok".to_owned()),
        ]
    });
    let cells: Vec<[String; 9]> = cells.collect();
    table::print(
        out,
        ["SERVER", "CLIENT", "NEAREST", "EXPECTED", "ANSWERED", "ADDRESSES", "TTL", "SCOPE", "VERDICT"],
        &cells,
    )?;
    Ok(())
}
