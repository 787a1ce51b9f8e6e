//! What each call answers.

use super::*;
use crate::grpc::proto::RangesRequest;
use crate::http::tests::wire::{Version, ask};
use crate::http::tests::{ORIGIN, wait_for, within};
use crate::id::SNOWFLAKE64;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::JoinSet;
use tonic::codegen::tokio_stream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn next_gives_as_many_as_asked() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let mut all = Vec::new();
    for (count, given) in [(0, 1), (1, 1), (7, 7), (5_000, 5_000), (100_000, 100_000), (1_000_000, 1_000_000)] {
        let ids = next(&mut client, count).await.unwrap();
        assert_eq!(ids.len(), given);
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| SNOWFLAKE64.decode(*id).unwrap().origin == ORIGIN));
        all.extend(ids);
    }
    check_unique(&all, 1_105_009);
    for count in [1_000_001, u32::MAX] {
        let refused = next(&mut client, count).await.unwrap_err();
        assert_eq!(told(&refused), (Code::InvalidArgument, "count_out_of_range"), "{count}");
    }
    assert_eq!(next(&mut client, 1).await.unwrap().len(), 1);
    assert_eq!(metric(&node, "meridian_ids_total").await, 1_105_010);
    let requests = |code: &str| format!(r#"meridian_grpc_requests_total{{method="Next",code="{code}"}}"#);
    wait_for_metric(&node, &requests("ok"), 7).await;
    wait_for_metric(&node, &requests("invalid_argument"), 2).await;
    wait_for("the permits", || node.load.in_flight() == 0 && node.load.stream_count() == 0).await;
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us).served, 7, "health judges gRPC as well");
}

#[tokio::test]
async fn ranges_are_exactly_as_many_ids() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let mut all = Vec::new();
    for (count, given) in [(0, 1), (1, 1), (10_000, 10_000), (1_000_000, 1_000_000u64)] {
        let response = client.ranges(RangesRequest { count }).await.unwrap().into_inner();
        assert_eq!(response.layout, "snowflake64");
        let ids: Vec<u64> =
            response.ranges.iter().flat_map(|range| range.first..range.first + u64::from(range.count)).collect();
        assert_eq!(ids.len() as u64, given);
        all.extend(ids);
    }
    check_unique(&all, 1_010_002);
    for count in [1_000_001, u64::MAX] {
        let refused = client.ranges(RangesRequest { count }).await.unwrap_err();
        assert_eq!(told(&refused), (Code::InvalidArgument, "count_out_of_range"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_share_no_id() {
    let node = Node::start().await;
    let client = client(&node).await;
    let mut callers = JoinSet::new();
    for caller in 0..64u32 {
        let mut client = client.clone();
        callers.spawn(async move {
            let mut ids = Vec::new();
            for n in 0..25 {
                ids.extend(next(&mut client, (caller + n) % 5).await.unwrap());
            }
            ids
        });
    }
    let all = within(callers.join_all()).await.concat();
    check_unique(&all, 64 * 25 / 5 * (1 + 1 + 2 + 3 + 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_speaks_all_of_it_at_once() {
    let node = Node::start().await;
    let grpc = client(&node).await;
    let address = node.address;
    let mut callers = JoinSet::new();
    for caller in 0..24 {
        let mut grpc = grpc.clone();
        callers.spawn(async move {
            let mut ids: Vec<u64> = Vec::new();
            for n in 0..20u32 {
                let count = 1 + n * 37;
                match caller % 3 {
                    0 => ids.extend(next(&mut grpc, count).await.unwrap()),
                    kind => {
                        let version = if kind == 1 { Version::One } else { Version::Two };
                        let got = ask(address, version, &format!("GET /api/v1/ids?count={count}")).await;
                        let list: Vec<String> = serde_json::from_slice(&got.body).unwrap();
                        ids.extend(list.iter().map(|id| id.parse::<u64>().unwrap()));
                    }
                }
            }
            ids
        });
    }
    let mut stream =
        client(&node).await.stream(StreamRequest { count: 100_000, batch: 1_000 }).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(message) = within(stream.message()).await.unwrap() {
        all.extend(message.ids);
    }
    all.extend(within(callers.join_all()).await.concat());
    check_unique(&all, 100_000 + 24 * (20 + 37 * 190));
}

#[tokio::test]
async fn health_is_the_verdict() {
    let node = Node::start().await;
    let mut client = HealthClient::new(channel(&node).await);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for (well, expected) in [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)] {
        node.well.store(well, Relaxed);
        for service in ["", "meridian.v1.IdService"] {
            let response = client.check(ask(service)).await.unwrap().into_inner();
            assert_eq!(response.status(), expected, "{service:?}");
        }
    }
    assert_eq!(client.check(ask("meridian.v1.Nothing")).await.unwrap_err().code(), Code::NotFound);

    let mut watch = client.watch(ask("meridian.v1.IdService")).await.unwrap().into_inner();
    let mut unknown = client.watch(ask("meridian.v1.Nothing")).await.unwrap().into_inner();
    let status = within(unknown.message()).await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::ServiceUnknown);
    for (well, expected) in
        [(false, ServingStatus::NotServing), (true, ServingStatus::Serving), (false, ServingStatus::NotServing)]
    {
        node.well.store(well, Relaxed);
        assert_eq!(within(watch.message()).await.unwrap().unwrap().status(), expected);
    }
    drop((watch, unknown));
    wait_for_metric(&node, r#"meridian_grpc_streams{method="Watch"}"#, 0).await;
}

#[tokio::test]
async fn reflection_says_what_there_is() {
    use tonic_reflection::pb::{v1, v1alpha};
    let node = Node::start().await;
    let here = ["grpc.health.v1.Health", "meridian.v1.IdService"];
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel(&node).await);
    let ask = |message| v1::ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = [
        ask(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ask(v1::server_reflection_request::MessageRequest::FileContainingSymbol("meridian.v1.IdService".into())),
    ];
    let mut answers = client.server_reflection_info(tokio_stream::iter(questions)).await.unwrap().into_inner();
    let answer = within(answers.message()).await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(here.iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");
    let answer = within(answers.message()).await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(answer, v1::server_reflection_response::MessageResponse::FileDescriptorResponse(_)), "{answer:?}");

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&node).await);
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let question = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let mut answers = client.server_reflection_info(tokio_stream::iter([question])).await.unwrap().into_inner();
    let answer = within(answers.message()).await.unwrap().unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    assert!(here.iter().all(|name| list.service.iter().any(|found| found.name == *name)), "{list:?}");
}
