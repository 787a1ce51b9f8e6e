//! What clients of each network must be answered while some regions are down, and whether an answer is that.

use super::ask::Answer;
use crate::topology::{Region, Topology};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How resolvers cut a client's address: they tell no more about anybody.
const SUBNET_V4: u8 = 24;
const SUBNET_V6: u8 = 56;

/// One network of clients, and who may serve it now.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation<'a> {
    /// As the manifest spells it.
    pub client: &'a str,
    pub nearest: &'a str,
    pub members: Vec<Member<'a>>,
    /// Nobody may serve it: engines cannot say so and fail open, so the dead region itself is the member.
    pub shed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    pub region: &'a str,
    /// Of the network's clients; all members' add up to 1.
    pub share: f64,
    pub addresses: Vec<IpAddr>,
}

/// For each client network of the manifest, in its order.
pub fn expected<'a>(topology: &'a Topology, down: &[&str], ipv4: bool) -> Vec<Expectation<'a>> {
    let routing = topology.routing();
    let addresses = |region: &Region| -> Vec<IpAddr> {
        region.addresses.iter().filter(|address| address.is_ipv4() == ipv4).copied().collect()
    };
    let mut all = Vec::new();
    for region in &topology.regions {
        let ruled = routing.destinations(&region.name, down);
        let members = |(to, share): &(&str, f64)| {
            let to = topology.region(to)?;
            Some(Member { region: &to.name, share: *share, addresses: addresses(to) })
        };
        let mut members: Vec<Member<'a>> = ruled.iter().filter_map(members).collect();
        let shed = members.is_empty();
        if shed {
            members.push(Member { region: &region.name, share: 1.0, addresses: addresses(region) });
        }
        for client in &region.networks {
            all.push(Expectation { client, nearest: &region.name, members: members.clone(), shed });
        }
    }
    all
}

/// The subnet by which a resolver would ask for a client of this network.
pub fn subnet(network: &str) -> Option<(IpAddr, u8)> {
    let (base, prefix) = network.split_once('/')?;
    let (base, prefix): (IpAddr, u8) = (base.parse().ok()?, prefix.parse().ok()?);
    let longest = if base.is_ipv4() { 32 } else { 128 };
    let usual = if base.is_ipv4() { SUBNET_V4 } else { SUBNET_V6 };
    let length = prefix.max(usual).min(longest);
    // The second subnet of a network that has several: its first would also be what an empty address matches.
    let second = |bits: u128| match length > prefix {
        true => bits | 1 << (longest - length),
        false => bits,
    };
    let address = match base {
        IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from(u32::try_from(second(u32::from(base).into())).ok()?)),
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(second(base.into()))),
    };
    Some((address, length))
}

impl<'a> Expectation<'a> {
    /// Every address that may be answered.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.members.iter().flat_map(|member| member.addresses.iter().copied()).collect()
    }

    /// Which member an answer sends clients to: all of its addresses belong to it. None: to nobody who may serve them.
    pub fn member(&self, answer: &Answer) -> Option<&Member<'a>> {
        let of = |member: &&Member<'a>| answer.addresses.iter().all(|address| member.addresses.contains(address));
        self.members.iter().find(of).filter(|_| !answer.addresses.is_empty())
    }

    /// Why an answer is not what it must be.
    pub fn objection(&self, answer: &Answer, longest_ttl: u64) -> Option<String> {
        if answer.addresses.is_empty() {
            return (!self.shed).then(|| "no address".to_owned());
        }
        if self.member(answer).is_none() {
            return Some("not whom the manifest names".to_owned());
        }
        let ttl = answer.ttl.map(u64::from).unwrap_or(0);
        (ttl > longest_ttl).then(|| format!("ttl {ttl} is above the manifest's {longest_ttl}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_cut_as_resolvers_do() {
        let check = |network: &str, expect: &str| {
            let (address, length) = subnet(network).unwrap();
            assert_eq!(format!("{address}/{length}"), expect, "{network}");
        };
        check("10.0.0.0/16", "10.0.1.0/24");
        check("10.0.7.0/24", "10.0.7.0/24");
        check("10.0.7.16/28", "10.0.7.16/28");
        check("0.0.0.0/0", "0.0.1.0/24");
        check("2001:db8:4::/48", "2001:db8:4:100::/56");
        check("2001:db8:4::/64", "2001:db8:4::/64");
    }

    fn shipped() -> Topology {
        let bytes = include_bytes!("../../regions/meridian.yaml");
        Topology::parse("shipped", bytes).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn answer(addresses: &[&str]) -> Answer {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Answer { addresses, ttl: Some(60), scope: None }
    }

    #[test]
    fn one_member_is_enough_and_a_mixture_is_not() {
        let topology = shipped();
        let all = expected(&topology, &["us-east"], true);
        let east = all.iter().find(|expectation| expectation.nearest == "us-east").unwrap();
        assert_eq!(east.members.iter().map(|member| member.region).collect::<Vec<_>>(), ["us-west", "eu-west"]);
        assert_eq!(east.objection(&answer(&["192.0.2.2"]), 60), None);
        assert_eq!(east.objection(&answer(&["192.0.2.3"]), 60), None);
        for wrong in [&["192.0.2.2", "192.0.2.3"][..], &["192.0.2.1"], &["192.0.2.4"], &[]] {
            assert!(east.objection(&answer(wrong), 60).is_some(), "{wrong:?}");
        }
        assert!(east.objection(&answer(&["192.0.2.2"]), 59).is_some());
    }

    /// Nobody is left: an engine that fails open or answers nothing does no harm; one that names others does.
    #[test]
    fn whom_nobody_may_serve_is_answered_by_nobody_else() {
        let mut topology = shipped();
        topology.regions[2].residency = Some("eu".to_owned());
        let all = expected(&topology, &["eu-west"], true);
        let west = all.iter().find(|expectation| expectation.nearest == "eu-west").unwrap();
        assert!(west.shed);
        assert_eq!(west.objection(&answer(&["192.0.2.3"]), 60), None);
        assert_eq!(west.objection(&answer(&[]), 60), None);
        assert!(west.objection(&answer(&["192.0.2.1"]), 60).is_some());
    }
}
