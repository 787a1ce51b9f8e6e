//! PowerDNS: one Lua record a family, which knows every region's state and goes down the list of the client's network.
//!
//! `ifurlup` by itself can fall back from set to set, but not choose by weight among the living. So the record asks it
//! for each region's state first. Of a region whose addresses are listed in two sets it answers one set if any address
//! lives and both if none does: the length of the answer is the state.

use super::fidelity::{self, Aspect, Finding};
use super::layout::{Family, Layout};
use super::weights::whole;
use super::{REGION_HEALTH_PATH, Rendering, Server, header, zone};
use crate::topology::Topology;
use std::fmt::Write;
use std::net::IpAddr;

/// Enough for any choice; the shares are off by less than a thousandth.
const MOST_WEIGHT: u32 = 10_000;

/// Of a Lua record, between one pair of quotes.
const LONGEST_TEXT: usize = 240;

pub fn powerdns(topology: &Topology, server: &Server) -> Result<Rendering, String> {
    let layout = Layout::of(topology)?;
    let mut findings = Vec::new();
    layout.common_findings(&mut findings);
    let zone = &topology.dns.name;
    let zonefile_name = format!("{zone}.zone");
    let at = |name: &str| server.config_dir.join(name).display().to_string();
    let named = format!(
        "{}zone \"{zone}\" {{ type native; file \"{}\"; }};\n",
        header("powerdns", topology, "//"),
        at(&zonefile_name)
    );
    let files = vec![
        ("pdns.conf".to_owned(), config(&layout, server, &at("named.conf"))),
        ("named.conf".to_owned(), named),
        (zonefile_name, zonefile(&layout, server, &mut findings)),
    ];
    report(&layout, &mut findings);
    Ok(Rendering::new("powerdns", topology, files, fidelity::sorted(findings)))
}

fn config(layout: &Layout<'_>, server: &Server, named: &str) -> String {
    let listen: Vec<String> = server.listen.iter().map(ToString::to_string).collect();
    let mut text = header("powerdns", layout.topology, "#");
    let _ = write!(
        text,
        "launch=bind\nbind-config={named}\nlocal-address={}\nenable-lua-records=yes\n\
         # Clients behind a resolver are told apart by EDNS Client Subnet.\nedns-subnet-processing=yes\n\
         lua-health-checks-interval={}\n\
         # A state that nobody asked for is kept for long: forgotten, it begins as down.\n\
         lua-health-checks-expire-delay=86400\n\
         # Instructions of one record; the default of 1000 ends before a long list of networks does.\n\
         lua-records-exec-limit=100000\n\
         # Answers differ by client and time, so none may be kept.\ncache-ttl=0\nquery-cache-ttl=0\n",
        listen.join(","),
        layout.topology.health.interval.as_secs(),
    );
    if let Some(folder) = &server.run_dir {
        let _ = writeln!(text, "socket-dir={}", folder.display());
    }
    text
}

fn zonefile(layout: &Layout<'_>, server: &Server, findings: &mut Vec<Finding>) -> String {
    let topology = layout.topology;
    let ttl = topology.dns.ttl.as_secs();
    let mut text = format!("$ORIGIN {}.\n$TTL {ttl}\n", topology.dns.name);
    text += &header("powerdns", topology, ";");
    text += &zone::head(layout, &server.nameservers);
    let (inside, outside) = zone::endpoints(layout);
    for family in &layout.families {
        let record = family.record();
        let _ = writeln!(text, "@ {ttl} LUA {record} {}", chunks(&program(layout, *family, server.probe_port)));
        for (label, region) in &inside {
            let all = lua_list(&family.addresses(region));
            let url = url(topology, server.probe_port);
            let timeout = topology.health.timeout.as_secs();
            let line =
                format!("ifurlup('{url}', {{{all}}}, {{selector='all', backupSelector='all', timeout='{timeout}'}})");
            let _ = writeln!(text, "{label} {ttl} LUA {record} {}", chunks(&[line]));
        }
    }
    findings.push(zone::endpoint_finding(&topology.dns.name, &outside));
    findings.push(layout.pinned_ttl());
    text
}

fn url(topology: &Topology, port: u16) -> String {
    let scheme = if port == 443 { "https" } else { "http" };
    format!("{scheme}://{}:{port}{REGION_HEALTH_PATH}", topology.dns.name)
}

fn lua_list(addresses: &[IpAddr]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
    format!("{{{}}}", quoted.join(","))
}

/// The Lua of one record type, a statement or two a line. A leading semicolon tells PowerDNS that this is a program and
/// no expression.
fn program(layout: &Layout<'_>, family: Family, port: u16) -> Vec<String> {
    let topology = layout.topology;
    let timeout = topology.health.timeout.as_secs();
    let mut lua = vec![
        format!(";local url = '{}'", url(topology, port)),
        format!("local options = {{selector='all', backupSelector='all', timeout='{timeout}'}}"),
        "local all = {".to_owned(),
    ];
    for region in &topology.regions {
        lua.push(format!("['{}'] = {},", region.name, lua_list(&family.addresses(region))));
    }
    let choice = [
        "} local lives = {}",
        "for name, list in pairs(all) do",
        "local up = ifurlup(url, {list, list}, options)",
        "if #up <= #list then lives[name] = up end",
        "end",
        "local function answer(own, spill, last)",
        "if lives[own] then return lives[own] end",
        "local set, of = {}, {}",
        "for _, member in ipairs(spill) do",
        "local weight, name = member[1], member[2]",
        "if lives[name] then table.insert(set, {weight, all[name][1]}) of[all[name][1]] = name end",
        "end",
        "if #set > 0 then return lives[of[pickwrandom(set)]] end",
        "for _, name in ipairs(last) do",
        "if lives[name] then return lives[name] end",
        "end",
        "return all[own]",
        "end",
    ];
    lua.extend(choice.map(str::to_owned));
    let mut answers = Vec::new();
    for chain in &layout.chains {
        let weights: Vec<f64> = chain.spill.iter().map(|(_, weight)| *weight).collect();
        let (weights, _) = whole(&weights, MOST_WEIGHT);
        let spill = chain.spill.iter().zip(weights).map(|((to, _), weight)| format!("{{{weight}, '{to}'}}"));
        let last: Vec<String> = chain.last.iter().map(|to| format!("'{to}'")).collect();
        let spill = spill.collect::<Vec<_>>().join(", ");
        answers.push(format!("return answer('{}', {{{spill}}}, {{{}}})", chain.region, last.join(", ")));
    }
    for (region, answer) in topology.regions.iter().zip(&answers) {
        let networks: Vec<String> = region.networks.iter().map(|network| format!("'{network}'")).collect();
        if !networks.is_empty() {
            lua.push(format!("if netmask({{{}}}) then {answer} end", networks.join(", ")));
        }
    }
    lua.push(answers[0].clone());
    lua
}

/// In quotes, as texts of a zone file, which may be 255 bytes long. PowerDNS puts a space between them again.
fn chunks(lua: &[String]) -> String {
    let mut chunks = Vec::new();
    for line in lua {
        let mut chunk = String::new();
        for word in line.split(' ') {
            if !chunk.is_empty() && chunk.len() + 1 + word.len() > LONGEST_TEXT {
                chunks.push(format!("\"{chunk}\""));
                chunk.clear();
            }
            if !chunk.is_empty() {
                chunk.push(' ');
            }
            chunk += word;
        }
        chunks.push(format!("\"{chunk}\""));
    }
    match chunks.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join("\n  ")),
    }
}

fn report(layout: &Layout<'_>, findings: &mut Vec<Finding>) {
    let health = &layout.topology.health;
    let interval = format!("{} s", health.interval.as_secs());
    let timeout = format!("{} s", health.timeout.as_secs());
    let count = |number: u32| match number {
        1 => ("1".to_owned(), true),
        _ => (format!("{number} in a row"), false),
    };
    let threshold = |aspect, number| match count(number) {
        (asked, true) => Finding::kept(aspect, asked, "1"),
        (asked, false) => Finding::lost(aspect, asked, "1: it knows no thresholds, every single probe decides"),
    };
    findings.extend([
        Finding::kept(Aspect::Nearest, "networks", "netmask(), also by EDNS Client Subnet"),
        Finding::changed(
            Aspect::Spill,
            "living members by weight",
            format!("pickwrandom() in whole weights up to {MOST_WEIGHT}, anew for each query"),
        ),
        Finding::kept(Aspect::Order, "first living region", "the list behind the spill set"),
        Finding::kept(Aspect::Residency, "load stays in its zone", "no list names a region outside it"),
        Finding::changed(
            Aspect::NobodyLeft,
            "the load is shed",
            "fails open: clients get their own region's addresses, which must refuse by itself",
        ),
        Finding::kept(Aspect::Addresses, "all of a region are answered", "those that live"),
        Finding::kept(Aspect::Interval, interval.clone(), interval),
        Finding::kept(Aspect::Timeout, timeout.clone(), timeout),
        threshold(Aspect::UnhealthyThreshold, health.unhealthy_threshold),
        threshold(Aspect::HealthyThreshold, health.healthy_threshold),
        Finding::kept(Aspect::ProbeVerdict, "status 200", "status 200; port 443 by HTTPS, others by plain HTTP"),
        Finding::lost(
            Aspect::FirstAnswers,
            "probed at any time",
            "probes begin with the first query, of some regions an interval later; until its first probe is answered a \
             region counts as down",
        ),
    ]);
    if layout.families.len() > 1 {
        findings.push(Finding::changed(
            Aspect::Addresses,
            "a region lives or not",
            "A goes by the IPv4 addresses, AAAA by the IPv6 ones",
        ));
    }
}
