//! What is refused, with which code, and what it costs.

use super::*;
use crate::grpc::proto::RangesRequest;
use crate::http::tests::{limits, wait_for, within};
use crate::topology::Limits;
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

#[tokio::test]
async fn a_node_that_cannot_issue_says_so_at_once() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    node.issuer.install(None);
    for count in [1, 100_000] {
        let refused = next(&mut client, count).await.unwrap_err();
        assert_eq!(told(&refused), (Code::Unavailable, "no_lease"));
        assert_eq!(text(refused.metadata(), "retry-after-ms"), "1000");
    }
    node.lease().seal();
    for count in [1, 100_000] {
        assert_eq!(told(&next(&mut client, count).await.unwrap_err()), (Code::Unavailable, "lease_spent"));
    }
    let mut stream = client.stream(endless(0)).await.unwrap().into_inner();
    assert_eq!(told(&within(stream.message()).await.unwrap_err()), (Code::Unavailable, "lease_spent"));
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us).failed, 5);
    node.lease();
    assert_eq!(next(&mut client, 2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn too_much_at_once_is_shed() {
    let node = Node::with(Limits { in_flight: 1, ..limits() }).await;
    let mut client = client(&node).await;
    let held = node.load.enter().await.unwrap();
    let refused = next(&mut client, 1).await.unwrap_err();
    assert_eq!(
        (told(&refused), text(refused.metadata(), "retry-after-ms")),
        ((Code::ResourceExhausted, "shed"), "1000")
    );
    let mut health = HealthClient::new(channel(&node).await);
    assert!(health.check(HealthCheckRequest::default()).await.is_ok(), "a full node is not ill");
    drop(held);
    let held = node.load.stream().unwrap();
    assert_eq!(told(&client.stream(endless(0)).await.unwrap_err()), (Code::ResourceExhausted, "shed"));
    for count in [100_000, 16_384] {
        assert_eq!(told(&next(&mut client, count).await.unwrap_err()), (Code::ResourceExhausted, "shed"));
    }
    assert_eq!(next(&mut client, 100).await.unwrap().len(), 100);
    drop(held);
    let _stream = client.stream(endless(0)).await.unwrap();
    wait_for("the stream to be open", || node.load.stream_count() == 1).await;
    assert_eq!(next(&mut client, 1).await.unwrap().len(), 1, "a stream holds no permit of those who want one id");
}

#[tokio::test]
async fn ahead_of_the_clock_is_shedding() {
    let node = Node::start().await;
    let client = client(&node).await;
    let mut asked = JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        asked.spawn(async move { client.ranges(RangesRequest { count: 1_000_000 }).await });
    }
    let refused: Vec<Status> = within(asked.join_all()).await.into_iter().filter_map(Result::err).collect();
    assert!(!refused.is_empty() && refused.len() < 8, "eight million ids take two seconds, twice what one may wait");
    for status in refused {
        assert_eq!(told(&status), (Code::ResourceExhausted, "ahead_of_clock"));
        assert!(text(status.metadata(), "retry-after-ms").parse::<u64>().unwrap() >= 1);
    }
    let recent = node.outcomes.recent(node.clock.now().boot_us);
    assert!(recent.shed > 0 && recent.failed == 0, "{recent:?}");
}

#[tokio::test]
async fn who_cannot_wait_is_told_at_once_and_takes_nothing() {
    let node = Node::start().await;
    let mut client = client(&node).await;
    let refused = client.next(by(Duration::from_millis(200), NextRequest { count: 1_000_000 })).await.unwrap_err();
    assert!(is_late(&refused), "{refused:?}");
    let refused = client.ranges(by(Duration::from_millis(200), RangesRequest { count: 1_000_000 })).await.unwrap_err();
    assert!(is_late(&refused), "{refused:?}");
    assert_eq!(metric(&node, "meridian_ids_total").await, 0, "244 ms do not fit into 200");
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us), Default::default(), "the limit was the caller's");
    let served = client.next(by(Duration::from_secs(20), NextRequest { count: 1_000_000 })).await.unwrap();
    assert_eq!(served.into_inner().ids.len(), 1_000_000);
}

/// The caller's own clock may be first on a busy machine.
fn is_late(status: &Status) -> bool {
    matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled)
}

#[tokio::test]
async fn connections_over_the_limit_are_told_and_health_still_answers() {
    let node = Node::with(Limits { connections: 1, ..limits() }).await;
    let mut held = client(&node).await;
    assert_eq!(next(&mut held, 1).await.unwrap().len(), 1);
    assert_eq!(told(&next(&mut client(&node).await, 1).await.unwrap_err()), (Code::ResourceExhausted, "shed"));
    assert_eq!(told(&client(&node).await.stream(endless(0)).await.unwrap_err()), (Code::ResourceExhausted, "shed"));
    let mut health = HealthClient::new(channel(&node).await);
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
    assert_eq!(next(&mut held, 1).await.unwrap().len(), 1);
}
