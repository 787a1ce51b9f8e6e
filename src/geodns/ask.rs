//! One DNS question with EDNS Client Subnet: the only place that knows hickory.

use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::udp::UdpClientStream;
use hickory_net::xfer::FirstAnswer;
use hickory_net::{DnsHandle, NetError};
use hickory_proto::op::{DnsRequest, DnsRequestOptions, DnsResponse, Edns, Message, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, RData, Record, RecordType};
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
    let name = rooted(question.name)?;
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

    let response = exchange(message, question.server, None, within).await?;
    if response.metadata.truncation {
        return Err(Unanswered::Broken(format!("more addresses than fit into {PAYLOAD_BYTES} bytes")));
    }
    let scope = response.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet)).and_then(|option| match option {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        _ => None,
    });
    Ok(Answer { scope, ..Answer::of(&response) })
}

/// Sends one question and waits for its answer; `from` is an address of this machine.
pub(super) async fn exchange(
    question: Message,
    server: SocketAddr,
    from: Option<IpAddr>,
    within: Duration,
) -> Result<DnsResponse, Unanswered> {
    let exchange = UdpClientStream::builder(server, TokioRuntimeProvider::default())
        .with_timeout(Some(within))
        .with_bind_addr(from.map(|from| SocketAddr::new(from, 0)))
        .exchange();
    let request = DnsRequest::new(question, DnsRequestOptions::default());
    let response = tokio::time::timeout(within, exchange.send(request).first_answer())
        .await
        .map_err(|_| Unanswered::Silent(within))?
        .map_err(|error| match error {
            NetError::Timeout => Unanswered::Silent(within),
            other => Unanswered::Broken(other.to_string()),
        })?;
    match response.metadata.response_code {
        ResponseCode::NoError => Ok(response),
        code => Err(Unanswered::Refused(code.to_string())),
    }
}

impl Answer {
    /// What it says, but for a subnet.
    pub(super) fn of(response: &Message) -> Answer {
        let address = |record: &Record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let mut addresses: Vec<IpAddr> = response.answers.iter().filter_map(address).collect();
        addresses.sort();
        Answer { addresses, ttl: response.answers.iter().map(|record| record.ttl).min(), scope: None }
    }
}

/// A name as it is asked for: from the root.
pub(super) fn rooted(name: &str) -> Result<Name, Unanswered> {
    Name::from_str(&format!("{name}.")).map_err(|error| Unanswered::Broken(error.to_string()))
}
