//! gdnsd: the geoip plugin finds the list of the client's network and goes down it; spill sets are pseudo datacenters
//! of the weighted plugin, which stand behind their region in that list.

use super::fidelity::{self, Aspect, Finding};
use super::layout::{Family, Layout};
use super::weights::whole;
use super::{REGION_HEALTH_PATH, Rendering, Server, header, zone};
use crate::topology::{Region, Topology};
use std::fmt::Write;

/// The kind of probe that the regions' addresses have.
pub(super) const SERVICE: &str = "region_health";

/// gdnsd's largest weight of one address.
const MOST_WEIGHT: u32 = 1_048_575;
/// gdnsd's largest interval.
const MOST_SECONDS: u64 = 254;

pub fn gdnsd(topology: &Topology, server: &Server) -> Result<Rendering, String> {
    let layout = Layout::of(topology)?;
    let mut findings = Vec::new();
    layout.common_findings(&mut findings);
    let files = vec![
        ("config".to_owned(), config(&layout, server, &mut findings)),
        (format!("zones/{}", topology.dns.name), zonefile(&layout, server, &mut findings)),
    ];
    Ok(Rendering::new("gdnsd", topology, files, fidelity::sorted(findings)))
}

/// A name that no region can have: theirs know no underscore.
fn spill_name(region: &str) -> String {
    format!("spill_{region}")
}

fn config(layout: &Layout<'_>, server: &Server, findings: &mut Vec<Finding>) -> String {
    let mut text = header("gdnsd", layout.topology, "#");
    options(server, &mut text);
    service(layout, server, findings, &mut text);
    text += "plugins => {\n  geoip => {\n";
    maps(layout, &mut text);
    resources(layout, &mut text);
    text += "  }\n";
    spill_sets(layout, findings, &mut text);
    text += "}\n";
    let regions = layout.chains.len();
    findings.push(Finding::kept(Aspect::Nearest, "networks", "the geoip plugin's nets, also by EDNS Client Subnet"));
    findings.push(Finding::kept(Aspect::Order, "first living region", "the list behind the spill set"));
    findings.push(Finding::kept(Aspect::Residency, "load stays in its zone", "no list names a region outside it"));
    let whole_chains = layout.chains.iter().all(|chain| chain.is_complete(regions));
    let left = if whole_chains { "when all regions are down" } else { "when nobody of a region's list lives" };
    findings.push(Finding::changed(
        Aspect::NobodyLeft,
        "the load is shed",
        format!("fails open: {left}, clients get their own region's addresses, which must refuse by itself"),
    ));
    text
}

fn options(server: &Server, text: &mut String) {
    let listen: Vec<String> = server.listen.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "\noptions => {{\n  listen => [ {} ]", listen.join(", "));
    if let Some(folder) = &server.run_dir {
        let _ = writeln!(text, "  run_dir => {0}/run\n  state_dir => {0}/state", quoted(&folder.display().to_string()));
    }
    *text += "  min_ttl => 1            # a floating TTL may go down to it\n}\n\n";
}

/// As gdnsd's configuration takes any text: what is special is escaped.
fn quoted(text: &str) -> String {
    text.chars().fold(String::new(), |mut quoted, c| {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"/._-".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
        quoted
    })
}

fn service(layout: &Layout<'_>, server: &Server, findings: &mut Vec<Finding>, text: &mut String) {
    let health = &layout.topology.health;
    let (interval, timeout) = (health.interval.as_secs(), health.timeout.as_secs());
    let (down, up) = (health.unhealthy_threshold, health.healthy_threshold);
    let possible = interval.min(MOST_SECONDS);
    let _ = write!(
        text,
        "service_types => {{\n  {SERVICE} => {{\n    plugin => http_status\n    port => {}\n    \
         url_path => {REGION_HEALTH_PATH}\n    vhost => {}\n    ok_codes => [ 200 ]\n    interval => {possible}\n    \
         timeout => {timeout}\n    down_thresh => {down}\n    up_thresh => {up}\n    \
         ok_thresh => 1        # one good probe clears the count: only bad ones in a row take a region down\n  }}\n}}\n\n",
        server.probe_port, layout.topology.dns.name,
    );
    let of = |aspect, asked: String, possible: String| match asked == possible {
        true => Finding::kept(aspect, asked, possible),
        false => Finding::changed(aspect, asked, possible),
    };
    findings.push(of(Aspect::Interval, format!("{interval} s"), format!("{possible} s")));
    findings.push(Finding::kept(Aspect::Timeout, format!("{timeout} s"), format!("{timeout} s")));
    findings.push(Finding::kept(Aspect::UnhealthyThreshold, format!("{down} in a row"), "down_thresh, ok_thresh 1"));
    findings.push(Finding::kept(Aspect::HealthyThreshold, format!("{up} in a row"), "up_thresh"));
    findings.push(Finding::kept(Aspect::ProbeVerdict, "status 200", "status 200; plain HTTP, no TLS"));
    findings.push(Finding::changed(
        Aspect::FirstAnswers,
        "thresholds",
        "a start or restart decides by one probe of each region, and answers only then",
    ));
}

/// Which list each client goes down.
fn maps(layout: &Layout<'_>, text: &mut String) {
    let mut datacenters: Vec<String> = layout.chains.iter().map(|chain| chain.region.clone()).collect();
    let spilling = layout.chains.iter().filter(|chain| !chain.spill.is_empty());
    datacenters.extend(spilling.map(|chain| spill_name(&chain.region)));
    let lists: Vec<String> = layout
        .chains
        .iter()
        .map(|chain| {
            let mut list = vec![chain.region.clone()];
            if !chain.spill.is_empty() {
                list.push(spill_name(&chain.region));
            }
            list.extend(chain.last.iter().cloned());
            list.join(", ")
        })
        .collect();
    let _ =
        writeln!(text, "    maps => {{\n      nearest => {{\n        datacenters => [ {} ]", datacenters.join(", "));
    *text += "        nets => {\n";
    for (region, list) in layout.topology.regions.iter().zip(&lists) {
        for network in &region.networks {
            let _ = writeln!(text, "          {network} => [ {list} ]");
        }
    }
    for all in ["0.0.0.0/0", "::/0"] {
        if !layout.claims(all) {
            let _ = writeln!(text, "          {all} => [ {} ]   # everybody else", lists[0]);
        }
    }
    *text += "        }\n      }\n    }\n";
}

/// What each name of the lists stands for.
fn resources(layout: &Layout<'_>, text: &mut String) {
    let _ = write!(
        text,
        "    resources => {{\n      ids => {{\n        map => nearest\n        service_types => {SERVICE}\n        \
         up_thresh => 0.0001   # a region lives while any of its addresses does\n        dcmap => {{\n"
    );
    for (region, chain) in layout.with_chains() {
        let _ = writeln!(text, "          {} => {}", region.name, addresses(layout, region));
        if !chain.spill.is_empty() {
            let name = spill_name(&region.name);
            let _ = writeln!(text, "          {name} => %weighted!{name}");
        }
    }
    *text += "        }\n      }\n    }\n";
}

fn addresses(layout: &Layout<'_>, region: &Region) -> String {
    let of = |family: Family| -> String {
        let list = family.addresses(region).into_iter().enumerate();
        let list: Vec<String> = list.map(|(number, address)| format!("lb{} => {address}", number + 1)).collect();
        format!("{{ {} }}", list.join(", "))
    };
    match layout.families.as_slice() {
        [one] => of(*one),
        _ => format!("{{ addrs_v4 => {}, addrs_v6 => {} }}", of(Family::V4), of(Family::V6)),
    }
}

fn spill_sets(layout: &Layout<'_>, findings: &mut Vec<Finding>, text: &mut String) {
    if layout.chains.iter().all(|chain| chain.spill.is_empty()) {
        findings.push(Finding::kept(Aspect::Spill, "none", "none"));
        return;
    }
    let _ = write!(
        text,
        "  weighted => {{\n    service_types => {SERVICE}\n    \
         up_thresh => 0.0000001  # a set lives while any of its regions does\n"
    );
    let mut worst: f64 = 0.0;
    let mut several = false;
    for chain in layout.chains.iter().filter(|chain| !chain.spill.is_empty()) {
        let _ = writeln!(text, "    {} => {{", spill_name(&chain.region));
        for family in &layout.families {
            let members: Vec<_> =
                chain.spill.iter().map(|(to, weight)| (to, weight, family.addresses(layout.region(to)))).collect();
            // A region weighs what its living addresses weigh together.
            let each: Vec<f64> = members.iter().map(|(_, weight, list)| *weight / list.len() as f64).collect();
            let (each, off) = whole(&each, MOST_WEIGHT);
            worst = worst.max(off);
            let key = if *family == Family::V4 { "addrs_v4" } else { "addrs_v6" };
            let _ = writeln!(text, "      {key} => {{");
            for ((to, _, list), weight) in members.iter().zip(each) {
                several |= list.len() > 1;
                let list = list.iter().enumerate();
                let list: Vec<_> = list.map(|(n, address)| format!("lb{} => [ {address}, {weight} ]", n + 1)).collect();
                // The prefix keeps names of regions apart from the plugin's own words.
                let _ = writeln!(text, "        to_{to} => {{ {} }}", list.join(", "));
            }
            *text += "      }\n";
        }
        *text += "    }\n";
    }
    *text += "  }\n";
    let exact = "the weighted plugin's pseudo datacenter; the choice is made anew for each query";
    findings.push(match worst > 0.0005 {
        true => Finding::changed(
            Aspect::Spill,
            "weights are any numbers",
            format!("whole numbers up to {MOST_WEIGHT}: shares are off by up to {:.3} %", worst * 100.0),
        ),
        false => Finding::kept(Aspect::Spill, "living members by weight", exact),
    });
    findings.push(match several {
        true => Finding::changed(
            Aspect::Addresses,
            "several of a region are all answered",
            "those that live; in a spill set a region's share shrinks with its dead addresses",
        ),
        false => Finding::kept(Aspect::Addresses, "all of a region are answered", "those that live"),
    });
    if layout.families.len() > 1 {
        findings.push(Finding::changed(
            Aspect::Addresses,
            "a region lives or not",
            "a region with all addresses of one family down counts as down for both",
        ));
    }
}

fn zonefile(layout: &Layout<'_>, server: &Server, findings: &mut Vec<Finding>) -> String {
    let dns = &layout.topology.dns;
    let seconds = dns.ttl.as_secs();
    // MAX/MIN. A bare number would be MAX/half of it.
    let (ttl, comment, finding) = match dns.floating_ttl {
        true => (
            format!("{seconds}/1"),
            "; floating: counts down to the time of the next possible change\n",
            Finding::kept(Aspect::Ttl, format!("{seconds} s, floating"), format!("{seconds} s down to 1 s")),
        ),
        false => (
            format!("{seconds}/{seconds}"),
            "; pinned: the same at any time\n",
            Finding::kept(Aspect::Ttl, format!("{seconds} s"), format!("{seconds} s, always")),
        ),
    };
    findings.push(finding);
    let mut text = header("gdnsd", layout.topology, ";");
    text += &zone::head(layout, &server.nameservers);
    text += comment;
    let _ = writeln!(text, "@ {ttl} DYNA geoip!ids");
    let (inside, outside) = zone::endpoints(layout);
    for (label, region) in inside {
        let _ = writeln!(text, "{label} {ttl} DYNA geoip!ids/{}", region.name);
    }
    findings.push(zone::endpoint_finding(&dns.name, &outside));
    text
}
