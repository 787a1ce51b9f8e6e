//! Addresses, blocks of addresses, and the ensembles named by a connect string.

use super::rule::is_host;
use crate::manifest::{At, Place, Problems, quoted};
use std::net::{IpAddr, Ipv6Addr};

/// A CIDR block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    base: IpAddr,
    prefix: u8,
}

impl Block {
    /// `Err` says what the text should have been, where that is clear.
    pub fn parse(text: &str) -> Result<Block, Option<String>> {
        let (base, prefix) = text.split_once('/').ok_or(None)?;
        let base: IpAddr = base.parse().map_err(|_| None)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| digits).ok_or(None)?;
        let block = Block { base, prefix };
        if prefix > block.width() {
            return Err(None);
        }
        let network = block.network(prefix);
        if network != block.bits() {
            let base = match base {
                IpAddr::V4(_) => IpAddr::V4((network as u32).into()),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(network)),
            };
            return Err(Some(format!("{base}/{prefix}")));
        }
        Ok(block)
    }

    pub fn overlaps(&self, other: &Block) -> bool {
        let shorter = self.prefix.min(other.prefix);
        self.base.is_ipv4() == other.base.is_ipv4() && self.network(shorter) == other.network(shorter)
    }

    fn width(&self) -> u8 {
        if self.base.is_ipv4() { 32 } else { 128 }
    }

    fn bits(&self) -> u128 {
        match self.base {
            IpAddr::V4(base) => u32::from(base).into(),
            IpAddr::V6(base) => base.into(),
        }
    }

    /// The address with everything behind the prefix cleared.
    fn network(&self, prefix: u8) -> u128 {
        let host_bits = u32::from(self.width() - prefix);
        self.bits().checked_shr(host_bits).and_then(|head| head.checked_shl(host_bits)).unwrap_or(0)
    }
}

/// Blocks that must not overlap each other.
#[derive(Default)]
pub struct Blocks(Vec<(Block, String, Place)>);

impl Blocks {
    pub fn admit(&mut self, at: &At<String>, problems: &mut Problems) -> Option<String> {
        let block = match Block::parse(at) {
            Ok(block) => block,
            Err(meant) => {
                let what = format!("{} is not a cidr block", quoted(at));
                let fix = match meant {
                    Some(meant) => format!("clear the bits behind the prefix: {meant}"),
                    None => "write address/prefix, such as 10.0.0.0/16".to_owned(),
                };
                problems.add(&at.place, what, "an ipv4 or ipv6 network and the length of its prefix", fix);
                return None;
            }
        };
        if let Some((_, text, first)) = self.0.iter().find(|(seen, ..)| seen.overlaps(&block)) {
            let what = format!("{} overlaps {text} of {} on line {}", at.value, first.key, first.line);
            problems.add(&at.place, what, "blocks that share no address", "shrink, move or remove one of the two");
            return None;
        }
        self.0.push((block, at.value.clone(), at.place.clone()));
        Some(at.value.clone())
    }
}

/// An address that a client can be sent to.
pub fn address(at: &At<String>, problems: &mut Problems) -> Option<IpAddr> {
    const ALLOWED: &str = "an ipv4 or ipv6 address of a load balancer";
    match at.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            let what = format!("{address} is not the address of one host");
            problems.add(&at.place, what, ALLOWED, "write the address that clients connect to");
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            let what = format!("{} is not an ip address", quoted(at));
            problems.add(&at.place, what, ALLOWED, "write one without port, prefix or name, such as 192.0.2.1");
            None
        }
    }
}

/// `host:port,host:port/chroot`.
pub fn ensemble(at: &At<String>, problems: &mut Problems) -> Option<String> {
    const ALLOWED: &str = "host:port, joined by commas, and optionally a chroot such as /meridian at the end";
    let (hosts, chroot) = match at.find('/') {
        Some(slash) => (&at.value[..slash], Some(&at.value[slash..])),
        None => (at.as_str(), None),
    };
    let before = problems.len();
    let mut seen: Vec<&str> = Vec::new();
    for server in hosts.split(',') {
        if let Err(fix) = server_of_ensemble(server) {
            problems.add(&at.place, format!("{} is not a zookeeper server", quoted(server)), ALLOWED, fix);
        } else if seen.contains(&server) {
            problems.add(&at.place, format!("{server} is listed twice"), "each server once", "remove one of the two");
        }
        seen.push(server);
    }
    if let Some(chroot) = chroot
        && chroot
            .split('/')
            .skip(1)
            .any(|part| part.is_empty() || part == "." || part == ".." || part.contains([',', ' ']))
    {
        let what = format!("{} is not a chroot", quoted(chroot));
        problems.add(&at.place, what, ALLOWED, "end with one path without empty parts, dots or a final slash");
    }
    (problems.len() == before).then(|| at.value.clone())
}

fn server_of_ensemble(server: &str) -> Result<(), &'static str> {
    let (host, port) = server.rsplit_once(':').ok_or("add the port, usually :2181")?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => is_host(host),
    };
    if !host_fits {
        return Err("write a host name, an ipv4 address or an ipv6 address in brackets, without spaces");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("write a port from 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_overlap_when_one_holds_the_other() {
        let check = |a: &str, b: &str, expect: bool| {
            let (a, b) = (Block::parse(a).unwrap(), Block::parse(b).unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (expect, expect), "{a:?} {b:?}");
        };
        check("10.0.0.0/16", "10.0.1.0/24", true);
        check("10.0.0.0/16", "10.1.0.0/16", false);
        check("0.0.0.0/0", "192.0.2.1/32", true);
        check("::/0", "2001:db8::/32", true);
        check("::/0", "10.0.0.0/8", false);
    }

    #[test]
    fn bits_behind_the_prefix_are_pointed_out() {
        assert_eq!(Block::parse("10.0.0.1/16"), Err(Some("10.0.0.0/16".to_owned())));
        assert_eq!(Block::parse("2001:db8::1/32"), Err(Some("2001:db8::/32".to_owned())));
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0/8", "::/129"] {
            assert_eq!(Block::parse(text), Err(None), "{text}");
        }
    }
}
