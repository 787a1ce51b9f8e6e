//! The real server on a loopback port, asked by real clients of gRPC, well-behaved and not.

mod abuse;
mod calls;
mod limits;
mod streams;

use super::proto::id_service_client::IdServiceClient;
use super::proto::{NextRequest, StreamRequest};
use crate::http::tests::{Node, wire};
use std::collections::HashSet;
use std::time::Duration;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// A connection of its own.
async fn channel(node: &Node) -> Channel {
    Endpoint::from_shared(format!("http://{}", node.address)).unwrap().connect().await.unwrap()
}

async fn client(node: &Node) -> IdServiceClient<Channel> {
    IdServiceClient::new(channel(node).await).max_decoding_message_size(16 * 1024 * 1024)
}

async fn next(client: &mut IdServiceClient<Channel>, count: u32) -> Result<Vec<u64>, Status> {
    Ok(client.next(NextRequest { count }).await?.into_inner().ids)
}

fn endless(batch: u32) -> StreamRequest {
    StreamRequest { count: 0, batch }
}

fn by<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> &'a str {
    metadata.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The code, and the stable name of what went wrong.
fn told(status: &Status) -> (Code, &str) {
    (status.code(), text(status.metadata(), "meridian-code"))
}

fn check_unique(ids: &[u64], count: usize) {
    assert_eq!(ids.len(), count);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), count, "an id came twice");
}

/// The value of a metric, 0 while it is not there.
async fn metric(node: &Node, name: &str) -> u64 {
    let got = wire::get(node.ops, "GET /metrics").await;
    let line = got.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("0");
    line.parse().unwrap()
}

async fn wait_for_metric(node: &Node, name: &str, value: u64) {
    crate::http::tests::within(async { while metric(node, name).await != value {} }).await;
}

const STREAMS: &str = r#"meridian_grpc_streams{method="Stream"}"#;
