//! One DNS question with EDNS Client Subnet: the only place that knows hickory.

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_net::{DnsHandle, NetError};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// What fits every path unfragmented; what DNS servers recommend.
const PAYLOAD_BYTES: u16 = 1232;

/// One server, as clients of one network would ask it through their resolver.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub server: SocketAddr,
    pub name: &'a str,
    /// Of IPv4 addresses, or of IPv6 ones.
    pub ipv4: bool,
    /// The client's subnet, as a resolver cuts it.
    pub subnet: (IpAddr, u8),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Sorted.
    pub addresses: Vec<IpAddr>,
    /// The shortest of them; none without addresses.
    pub ttl: Option<u32>,
    /// For how many bits of the subnet the answer holds; none if the server ignored the subnet.
    pub scope: Option<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It answered, but not the question: SERVFAIL, REFUSED, NXDOMAIN…
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Broken(String),
}

/// Asks by UDP and waits at most this long; asks a second time in between, because packets get lost.
pub async fn ask(question: &Question<'_>, within: Duration) -> Result<Answer, Unanswered> {
    match once(question, within / 2).await {
        Err(Unanswered::Silent(_)) => once(question, within / 2).await.map_err(|error| match error {
            Unanswered::Silent(_) => Unanswered::Silent(within),
            other => other,
        }),
        answered => answered,
    }
}

async fn once(question: &Question<'_>, within: Duration) -> Result<Answer, Unanswered> {
    let broken = |error: &dyn std::fmt::Display| Unanswered::Broken(error.to_string());
    let name = Name::from_str(&format!("{}.", question.name)).map_err(|error| broken(&error))?;
    let record = if question.ipv4 { RecordType::A } else { RecordType::AAAA };
    let mut message = Message::query();
    // An authoritative server has nobody to ask.
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name, record));
    let (address, prefix) = question.subnet;
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD_BYTES).set_version(0);
    edns.options_mut().insert(EdnsOption::Subnet(ClientSubnet::new(address, prefix, 0)));
    message.set_edns(edns);

    let exchange = UdpClientStream::builder(question.server, TokioRuntimeProvider::default())
        .with_timeout(Some(within))
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
    if response.metadata.truncation {
        return Err(broken(&format!("more addresses than fit into {PAYLOAD_BYTES} bytes")));
    }
    let mut addresses: Vec<IpAddr> = response
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect();
    addresses.sort();
    let scope = response.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)).and_then(|option| match option {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        _ => None,
    });
    Ok(Answer { addresses, ttl: response.answers.iter().map(|record| record.ttl).min(), scope })
}
