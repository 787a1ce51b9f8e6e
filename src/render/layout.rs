//! What all targets take from the manifest before they write anything.

use super::chain::Chain;
use super::fidelity::{Aspect, Finding};
use crate::topology::{Region, Topology};
use std::net::IpAddr;

/// A kind of address, and the record type that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }

    pub fn record(self) -> &'static str {
        match self {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        }
    }

    pub fn addresses(self, region: &Region) -> Vec<IpAddr> {
        region.addresses.iter().filter(|address| self.has(address)).copied().collect()
    }
}

/// The fleet as a DNS engine sees it.
pub struct Layout<'a> {
    pub topology: &'a Topology,
    /// One a region, in the manifest's order.
    pub chains: Vec<Chain>,
    /// Those of which every region has an address. Another one would send a region's clients elsewhere only because of
    /// how they asked.
    pub families: Vec<Family>,
}

impl<'a> Layout<'a> {
    pub fn of(topology: &'a Topology) -> Result<Layout<'a>, String> {
        let everywhere =
            |family: &Family| topology.regions.iter().all(|region| region.addresses.iter().any(|a| family.has(a)));
        let families: Vec<Family> = [Family::V4, Family::V6].into_iter().filter(everywhere).collect();
        if families.is_empty() {
            return Err("no kind of address is there in every region: give each region an ipv4 address (or each an \
                        ipv6 one), so that any of them can answer for any other"
                .to_owned());
        }
        Ok(Layout { topology, chains: Chain::all(&topology.routing()), families })
    }

    pub fn region(&self, name: &str) -> &'a Region {
        self.topology.region(name).expect("chains name regions of the manifest only")
    }

    /// Regions and the lists of their clients. What no list names is answered as the first region's clients are.
    pub fn with_chains(&self) -> impl Iterator<Item = (&'a Region, &Chain)> {
        self.topology.regions.iter().zip(&self.chains)
    }

    /// What is the same for each target.
    pub fn common_findings(&self, findings: &mut Vec<Finding>) {
        for family in [Family::V4, Family::V6] {
            if self.families.contains(&family) {
                continue;
            }
            let (with, without): (Vec<&Region>, Vec<&Region>) =
                self.topology.regions.iter().partition(|region| !family.addresses(region).is_empty());
            if let Some(region) = with.first() {
                findings.push(Finding::lost(
                    Aspect::Addresses,
                    format!("{} of {}", family.record(), region.name),
                    format!(
                        "no {} is answered: {} has no such address and could not stand in",
                        family.record(),
                        without[0].name
                    ),
                ));
            }
        }
        let unlisted: Vec<&str> =
            self.topology.regions.iter().filter(|r| r.networks.is_empty()).map(|r| r.name.as_str()).collect();
        if !unlisted.is_empty() {
            findings.push(Finding::changed(
                Aspect::Nearest,
                format!("{} without networks", unlisted.join(", ")),
                "no client is nearest to it: it is answered only in place of others",
            ));
        }
        findings.push(Finding::changed(
            Aspect::Rejoin,
            "a region that comes back takes its load over bit by bit",
            "answered to all its clients at once; they come as their answers expire, within the TTL",
        ));
        findings.push(Finding::changed(
            Aspect::OtherClients,
            "nothing is said of clients outside all networks",
            format!("answered as clients of {}, the first region", self.topology.regions[0].name),
        ));
    }

    /// Of a target whose TTLs are always the same.
    pub fn pinned_ttl(&self) -> Finding {
        let dns = &self.topology.dns;
        let ttl = dns.ttl.as_secs();
        match dns.floating_ttl {
            true => Finding::lost(
                Aspect::Ttl,
                format!("{ttl} s, floating"),
                format!("{ttl} s, always: it knows no floating TTL"),
            ),
            false => Finding::kept(Aspect::Ttl, format!("{ttl} s"), format!("{ttl} s")),
        }
    }

    /// Whether `all`, every address of a family, is some region's network already.
    pub fn claims(&self, all: &str) -> bool {
        self.topology.regions.iter().any(|region| region.networks.iter().any(|network| network == all))
    }
}
