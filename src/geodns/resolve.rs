//! The same question as a client behind its own resolver asks it: from the client's address, without a subnet, and
//! whatever the resolver has cached is fine.

use super::ask::{Answer, Unanswered, exchange, rooted};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::RecordType;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The IPv4 addresses of `name`, asked of `resolver` from `client`, an address of this machine.
pub async fn resolve(resolver: SocketAddr, client: IpAddr, name: &str, within: Duration) -> Result<Answer, Unanswered> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(rooted(name)?, RecordType::A));
    Ok(Answer::of(&*exchange(question, resolver, Some(client), within).await?))
}
