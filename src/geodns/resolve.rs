//! The same question as a client behind its own resolver asks it: from the client's address, without a subnet, and
//! whatever the resolver has cached is fine.

use super::ask::{Answer, Unanswered};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_net::{DnsHandle, NetError};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// The IPv4 addresses of `name`, asked of `resolver` from `client`, an address of this machine.
pub async fn resolve(resolver: SocketAddr, client: IpAddr, name: &str, within: Duration) -> Result<Answer, Unanswered> {
    let broken = |error: &dyn std::fmt::Display| Unanswered::Broken(error.to_string());
    let name = Name::from_str(&format!("{name}.")).map_err(|error| broken(&error))?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, RecordType::A));
    let exchange = UdpClientStream::builder(resolver, TokioRuntimeProvider::default())
        .with_timeout(Some(within))
        .with_bind_addr(Some(SocketAddr::new(client, 0)))
        .exchange();
    let request = DnsRequest::new(message, DnsRequestOptions::default());
    let response = tokio::time::timeout(within, exchange.send(request).first_answer())
        .await
        .map_err(|_| Unanswered::Silent(within))?
        .map_err(|error| match error {
            NetError::Timeout => Unanswered::Silent(within),
            other => broken(&other),
        })?;
    if response.metadata.response_code != ResponseCode::NoError {
        return Err(Unanswered::Refused(response.metadata.response_code.to_string()));
    }
    let addresses = response.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        _ => None,
    });
    let addresses: Vec<IpAddr> = addresses.collect();
    Ok(Answer { addresses, ttl: response.answers.iter().map(|record| record.ttl).min(), scope: None })
}
