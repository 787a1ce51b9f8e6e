//! Names of regions: their addresses, asked for again whenever their TTL is over. The only place that makes a resolver.

use super::line::Source;
use super::roster::{Roster, pause};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A TTL of nothing is not taken at its word.
const SHORTEST: Duration = Duration::from_secs(1);

/// Nor is one of a year.
const LONGEST: Duration = Duration::from_secs(3_600);

/// For one server to answer, before the next is asked.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Asks these servers, or those of the system.
pub fn resolver(nameservers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let mut builder = match nameservers {
        [] => TokioResolver::builder_tokio().map_err(|error| format!("the system's DNS settings: {error}"))?,
        servers => {
            let server = |server: &SocketAddr| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            };
            let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.cache_size = 0; // we ask when the TTL is over, and want the answer of then
    builder.build().map_err(|error| error.to_string())
}

/// Keeps the addresses of one site up to date, for ever. A name that cannot be resolved keeps those it had.
pub async fn follow(resolver: Arc<TokioResolver>, roster: Arc<Roster>, region: usize, site: usize, source: Source) {
    let mut failures = 0;
    loop {
        let now = Instant::now();
        let again = match resolver.lookup_ip(source.host.as_str()).await {
            Ok(found) => {
                let mut addresses: Vec<IpAddr> = found.iter().collect();
                addresses.sort_unstable(); // answers come in any order, and that is no change
                addresses.dedup();
                tracing::debug!(host = source.host, ?addresses, "resolved");
                roster.set_trouble(region, None);
                roster.seat(region, site, &source, addresses.into_iter());
                failures = 0;
                let until = Instant::from_std(found.valid_until());
                until.clamp(now + SHORTEST, now + LONGEST)
            }
            Err(error) => {
                roster.set_trouble(region, Some(format!("{} cannot be resolved: {error}", source.host)));
                failures += 1;
                now + SHORTEST + pause(failures)
            }
        };
        sleep_until(again).await;
    }
}
