//! `meridian health`: one node's verdict on itself or its region, for whatever has no shell and no curl at hand.

use super::{Exit, Failed, table};
use crate::cli::HealthArgs;
use crate::fetch::{NODE_HEALTH_PATH, REGION_HEALTH_PATH, fetch};
use anyhow::Context;
use serde_json::Value;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub async fn run(args: &HealthArgs, out: &mut impl Write) -> anyhow::Result<Exit> {
    let node = args.url.clone().unwrap_or_else(|| format!("http://{}", reachable(args.listen)));
    let url =
        format!("{}{}", node.trim_end_matches('/'), if args.region { REGION_HEALTH_PATH } else { NODE_HEALTH_PATH });
    let (status, body) = fetch(&url, args.within)
        .await
        .with_context(|| format!("{url} could not be asked; is the node up, and is this its public port?"))?;
    let report: Option<Value> =
        serde_json::from_slice(&body).ok().filter(|report: &Value| report["checks"].is_object());
    let report = report.ok_or_else(|| Failed::world(format!("{url} says {status}, and not how a node is")))?;
    if args.json {
        writeln!(out, "{report}")?;
    } else {
        print(&report, out)?;
    }
    Ok(if status.is_success() { Exit::Fine } else { Exit::No })
}

fn print(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let slots: Vec<String> = report["slots"].as_array().into_iter().flatten().map(plain).collect();
    let workers = match slots.as_slice() {
        [] => "no worker".to_owned(),
        [one] => format!("worker {one}"),
        several => format!("workers {}", several.join(", ")),
    };
    writeln!(out, "{} of {}: {}", workers, plain(&report["region"]), plain(&report["status"]))?;
    let rows: Vec<[String; 5]> = (report["checks"].as_object().into_iter().flatten())
        .map(|(name, check)| {
            let detail = check["detail"].as_str().unwrap_or_default().to_owned();
            [name.clone(), plain(&check["status"]), plain(&check["observed"]), plain(&check["limit"]), detail]
        })
        .collect();
    table::print(out, ["CHECK", "STATUS", "OBSERVED", "LIMIT", "DETAIL"], &rows)
}

/// An address to listen on as one to call: an unspecified one means this host.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
