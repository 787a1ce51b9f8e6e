//! The real binary speaks gRPC on its public port, beside HTTP, from its first id to its end.

mod support;

use std::collections::HashSet;
use std::time::Duration;
use support::program::{Program, meridian};
use support::{DEADLINE, wait_for};
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[allow(clippy::all)]
mod proto {
    include!("../src/grpc/meridian.v1.rs");
}

use proto::id_service_client::IdServiceClient;
use proto::{NextRequest, RangesRequest, StreamRequest};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

#[tokio::test]
async fn a_node_speaks_grpc_from_its_first_id_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let listen = ["--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--coordination", &place];
    let args = [&["serve", "--region", "eu-west", "--init", "--json", "--health-off", "ntp_synchronized"], &listen[..]];
    let mut program = Program::start(meridian(&args.concat()));
    let bound: serde_json::Value = serde_json::from_str(&program.line()).unwrap();
    let http = bound["http"].as_str().unwrap().to_owned();
    let channel = Endpoint::from_shared(http.clone()).unwrap().connect().await.unwrap();

    let health = HealthClient::new(channel.clone());
    wait_for("the node to be well", async || {
        let asked = HealthCheckRequest { service: "meridian.v1.IdService".into() };
        let status = health.clone().check(asked).await.unwrap().into_inner().status();
        (status == ServingStatus::Serving).then_some(())
    })
    .await;

    let mut client = IdServiceClient::new(channel);
    let mut ids: Vec<u64> = within(client.next(NextRequest { count: 1_000 })).await.unwrap().into_inner().ids;
    let ranges = within(client.ranges(RangesRequest { count: 20_000 })).await.unwrap().into_inner().ranges;
    ids.extend(ranges.iter().flat_map(|range| range.first..range.first + u64::from(range.count)));
    let mut stream = within(client.stream(StreamRequest { count: 50_000, batch: 0 })).await.unwrap().into_inner();
    while let Some(message) = within(stream.message()).await.unwrap() {
        ids.extend(message.ids);
    }
    let asked = http.clone();
    let got =
        tokio::task::spawn_blocking(move || support::web::get(&asked, "/api/v1/ids?count=100", "application/json"));
    ids.extend(got.await.unwrap().unwrap().ids());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 71_100);

    let mut stream = within(client.stream(StreamRequest::default())).await.unwrap().into_inner();
    within(stream.message()).await.unwrap().unwrap();
    program.signal(libc::SIGTERM);
    let end = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    assert_eq!(within(end).await.code(), Code::Unavailable, "the stream is told that the node leaves");
    let ended = tokio::time::timeout(Duration::from_secs(60), tokio::task::spawn_blocking(|| program.wait()));
    assert_eq!(ended.await.unwrap().unwrap().code(), Some(0));
}
