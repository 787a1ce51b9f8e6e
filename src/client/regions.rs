//! Where to ask, in which order: a list, or what the manifest says for a region.

use super::error::Error;
use super::line::Source;
use crate::topology::Topology;
use std::net::IpAddr;

/// The public port of nodes and of the load balancers in front of them.
pub const PUBLIC_PORT: u16 = 8080;

/// Regions, the preferred one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Regions(pub(super) Vec<Region>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub name: String,
    pub sites: Vec<Site>,
}

/// A URL of a region. A name may stand for many addresses; all of them are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub source: Source,
    /// Used until the name is resolved, and if it cannot be.
    pub addresses: Vec<IpAddr>,
}

impl Regions {
    pub fn new() -> Regions {
        Regions::default()
    }

    /// The next region in order, at these URLs (`http://host:port`). A host that is a name is resolved again whenever
    /// its TTL is over.
    pub fn region<U: AsRef<str>>(
        mut self,
        name: impl Into<String>,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Regions, Error> {
        let name = name.into();
        let site = |url: U| Source::parse(url.as_ref()).map(|source| Site { source, addresses: Vec::new() });
        let sites = urls.into_iter().map(site).collect::<anyhow::Result<Vec<Site>>>();
        let sites = sites.map_err(|error| Error::Settings(format!("region {name}: {error:#}")))?;
        if sites.is_empty() {
            return Err(Error::Settings(format!("region {name}: give at least one URL, http://host:port")));
        }
        self.0.push(Region { name, sites });
        Ok(self)
    }

    /// One region a URL, in this order.
    pub fn at<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Regions, Error> {
        urls.into_iter().try_fold(Regions::new(), |regions, url| regions.region(url.as_ref(), [url.as_ref()]))
    }

    /// The regions of a manifest as a client in `own` is to ask them: its own, then those of its `order`, then the rest
    /// of its spill set; none outside its residency zone. Endpoints are resolved; the manifest's addresses serve until
    /// then.
    pub fn of(topology: &Topology, own: &str) -> Result<Regions, Error> {
        let unknown = || Error::UnknownRegion {
            region: own.to_owned(),
            known: topology.regions.iter().map(|region| region.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let region = topology.region(own).ok_or_else(unknown)?;
        let routing = topology.routing();
        let route = routing.routes().iter().find(|route| route.region == own).ok_or_else(unknown)?;
        let mut spill = region.spill.clone();
        spill.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let others = region.order.iter().chain(spill.iter().map(|(name, _)| name));
        let mut regions = Regions::new();
        for name in std::iter::once(&region.name).chain(others.filter(|name| routing.allows(route, name))) {
            let Some(next) = topology.region(name) else { continue };
            if regions.names().any(|known| known == name) {
                continue;
            }
            regions = regions.region(name, [format!("http://{}:{PUBLIC_PORT}", next.endpoint)])?;
            if let Some(site) = regions.0.last_mut().and_then(|region| region.sites.first_mut()) {
                site.addresses = next.addresses.clone();
            }
        }
        Ok(regions)
    }

    /// In order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|region| region.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../regions/meridian.yaml");

    fn shipped() -> Topology {
        Topology::parse("test", SHIPPED.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn names(topology: &Topology, own: &str) -> Vec<String> {
        Regions::of(topology, own).unwrap().names().map(str::to_owned).collect()
    }

    #[test]
    fn the_own_region_first_then_its_order() {
        assert_eq!(names(&shipped(), "us-east"), ["us-east", "us-west", "eu-west", "apac"]);
        assert_eq!(names(&shipped(), "apac")[0], "apac");
        let error = Regions::of(&shipped(), "mars").unwrap_err();
        assert_eq!(error.to_string(), r#"no region "mars"; the manifest has us-east, us-west, eu-west, apac"#);
    }

    #[test]
    fn a_client_of_a_residency_zone_never_leaves_it() {
        let mut topology = shipped();
        for place in [0, 2] {
            topology.regions[place].residency = Some("eu".into());
        }
        assert_eq!(names(&topology, "eu-west"), ["eu-west", "us-east"]);
    }

    #[test]
    fn a_list_with_a_mistake_says_which() {
        let error = Regions::at(["http://a:1", "https://b:1"]).unwrap_err().to_string();
        assert!(error.contains("https://b:1") && error.contains("plain HTTP"), "{error}");
        assert!(Regions::new().region("a", [] as [&str; 0]).is_err());
    }
}
