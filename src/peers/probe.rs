//! One look at a peer: its region health, at any of its addresses, within the time GeoDNS gives it.

use crate::client::dns;
use crate::fetch::{self, REGION_HEALTH_PATH};
use hickory_resolver::TokioResolver;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// More addresses of one region are not asked in one look.
const ADDRESSES: usize = 16;

/// The system's resolver, made when a name is first asked for, and shared.
#[derive(Clone, Default)]
pub struct Names(Arc<OnceLock<Result<TokioResolver, String>>>);

impl Names {
    /// A host without DNS settings serves all the same; it does not see its peers.
    fn resolver(&self) -> Result<&TokioResolver, String> {
        self.0.get_or_init(|| dns::resolver(&[])).as_ref().map_err(String::clone)
    }
}

/// Where a peer is asked. Its name is resolved again whenever the TTL of its addresses is over; a name that cannot be
/// resolved keeps those it had.
pub struct Target {
    url: String,
    host: String,
    port: u16,
    /// `None`: the host is an address.
    names: Option<Names>,
    addresses: Vec<IpAddr>,
    valid_until: Option<Instant>,
}

impl Target {
    /// Of `http://host:port`.
    pub fn new(url: &str, names: &Names) -> anyhow::Result<Target> {
        let (host, port) = fetch::endpoint(url)?;
        let addresses: Vec<IpAddr> = host.parse().into_iter().collect();
        let names = addresses.is_empty().then(|| names.clone());
        let url = format!("{}{REGION_HEALTH_PATH}", url.trim_end_matches('/'));
        Ok(Target { url, host, port, names, addresses, valid_until: None })
    }

    /// Whether the region says that it is well; else what it said.
    pub async fn look(&mut self, within: Duration) -> Result<(), String> {
        let by = tokio::time::Instant::now() + within;
        self.resolve(by).await?;
        let mut asked = JoinSet::new();
        for address in self.addresses.iter().take(ADDRESSES) {
            let (url, address) = (self.url.clone(), SocketAddr::new(*address, self.port));
            asked.spawn(async move { tokio::time::timeout_at(by, fetch::fetch_from(address, &url)).await });
        }
        let mut why = format!("{} has no address", self.host);
        while let Some(answered) = asked.join_next().await {
            why = match answered {
                Ok(Ok(Ok((status, _)))) if status.is_success() => return Ok(()),
                Ok(Ok(Ok((status, _)))) => format!("it says {status}"),
                Ok(Ok(Err(error))) => format!("{error:#}"),
                Ok(Err(_)) => format!("no answer within {within:?}"),
                Err(error) => error.to_string(),
            };
        }
        Err(why)
    }

    async fn resolve(&mut self, by: tokio::time::Instant) -> Result<(), String> {
        let Some(names) = &self.names else { return Ok(()) };
        let resolver = names.resolver()?;
        if self.valid_until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        let found = tokio::time::timeout_at(by, resolver.lookup_ip(self.host.as_str())).await;
        match found {
            Ok(Ok(found)) => {
                self.valid_until = Some(found.valid_until());
                self.addresses = found.iter().collect();
                Ok(())
            }
            _ if !self.addresses.is_empty() => Ok(()),
            Ok(Err(error)) => Err(format!("{} cannot be resolved: {error}", self.host)),
            Err(_) => Err(format!("{} is not resolved in time", self.host)),
        }
    }
}
