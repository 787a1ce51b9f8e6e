//! The zone that an authoritative server serves: the fleet's name is its apex, and regions' endpoints lie below it.

use super::fidelity::{Aspect, Finding};
use super::layout::Layout;
use crate::topology::{Region, Topology};
use std::net::IpAddr;

/// A server as the zone's NS records name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Without a final dot.
    pub name: String,
    /// Needed below the zone's own name, or nobody could find it.
    pub addresses: Vec<IpAddr>,
}

impl NameServer {
    /// `ns1` and `ns2` beside the zone, which need no addresses in it.
    pub fn defaults(topology: &Topology) -> Vec<NameServer> {
        let name = &topology.dns.name;
        let parent = name.split_once('.').map_or(name.as_str(), |(_, parent)| parent);
        ["ns1", "ns2"].map(|label| NameServer { name: format!("{label}.{parent}"), addresses: Vec::new() }).into()
    }

    /// `NAME` or `NAME=ADDRESS+ADDRESS`.
    pub fn parse(text: &str, zone: &str) -> Result<NameServer, String> {
        let (name, addresses) = text.split_once('=').unwrap_or((text, ""));
        let name = name.trim_end_matches('.');
        let label = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !name.contains('.') || name.len() > 253 || !name.split('.').all(label) {
            return Err(format!("{name:?} is not the full name of a name server, such as ns1.example.com"));
        }
        let mut found = Vec::new();
        for address in addresses.split('+').filter(|address| !address.is_empty()) {
            let address = address.parse().map_err(|_| format!("{address:?} is not an ip address of {name}"))?;
            found.push(address);
        }
        if below(name, zone).is_some() && found.is_empty() {
            return Err(format!("{name} lies in the zone {zone} itself: say where it is, as {name}=192.0.2.53"));
        }
        Ok(NameServer { name: name.to_owned(), addresses: found })
    }
}

/// The labels of `name` in front of `zone`; `@` for the zone itself.
pub fn below<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    if name == zone {
        return Some("@");
    }
    name.strip_suffix(zone)?.strip_suffix('.')
}

/// SOA, NS and the addresses of name servers within the zone, as both engines read them.
pub fn head(layout: &Layout<'_>, nameservers: &[NameServer]) -> String {
    let topology = layout.topology;
    let (zone, ttl) = (&topology.dns.name, topology.dns.ttl.as_secs());
    // Shows which manifest a server serves. Such zones are never transferred, so it need not grow.
    let serial = u32::from_str_radix(&topology.digest[..8], 16).unwrap_or(1).max(1);
    let mut text = format!(
        "; the serial is the first eight digits of the manifest's sha256, as a number\n\
         @ {ttl} SOA {}. hostmaster.{zone}. ( {serial} 7200 1800 259200 {ttl} )\n",
        nameservers[0].name
    );
    for NameServer { name, addresses } in nameservers {
        text += &format!("@ {ttl} NS {name}.\n");
        if let Some(label) = below(name, zone) {
            for address in addresses {
                let record = if address.is_ipv4() { "A" } else { "AAAA" };
                text += &format!("{label} {ttl} {record} {address}\n");
            }
        }
    }
    text
}

/// The regions whose endpoints lie in the zone, with the label of each, and the endpoints that do not.
pub fn endpoints<'a>(layout: &Layout<'a>) -> (Vec<(&'a str, &'a Region)>, Vec<&'a str>) {
    let zone = &layout.topology.dns.name;
    let mut inside = Vec::new();
    let mut outside = Vec::new();
    for region in &layout.topology.regions {
        match below(&region.endpoint, zone) {
            Some(label) => inside.push((label, region)),
            None => outside.push(region.endpoint.as_str()),
        }
    }
    (inside, outside)
}

/// What a server of the zone makes of the regions' endpoints.
pub fn endpoint_finding(zone: &str, outside: &[&str]) -> Finding {
    match outside {
        [] => Finding::kept(Aspect::Endpoints, "one a region", "its living addresses, or all of them when none lives"),
        _ => Finding::lost(
            Aspect::Endpoints,
            outside.join(", "),
            format!("outside the zone {zone}: keep their records where they are"),
        ),
    }
}
