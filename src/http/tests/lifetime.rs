//! The limit of connections, and the end of the server.

use super::wire::{Raw, Version, ask, get};
use super::{Node, limits, wait_for};
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn connections_over_the_limit_are_told_and_health_still_answers() {
    let node = Node::with(crate::topology::Limits { connections: 2, ..limits() }).await;
    let mut held = [Raw::connect(node.address).await, Raw::connect(node.address).await];
    for raw in &mut held {
        raw.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    for version in [Version::One, Version::Two] {
        let got = ask(node.address, version, "GET /api/v1/id").await;
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("shed")));
        assert_eq!(ask(node.address, version, "GET /api/v1/health").await.status, 200);
    }
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    let got = raw.answer().await.unwrap();
    assert_eq!((got.header("connection"), got.header("retry-after")), ("close", "1"));
    assert!(raw.answer().await.is_none());
    drop(held);
    let served = async { while get(node.address, "GET /api/v1/id").await.status != 200 {} };
    super::within(served).await;
}

#[tokio::test]
async fn a_lame_duck_serves_everybody_and_shows_pools_the_way_out() {
    let node = Node::start().await;
    let mut pooled = Raw::connect(node.address).await;
    pooled.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    assert_eq!(pooled.answer().await.unwrap().header("connection"), "");
    node.api.lame_duck(true);
    pooled.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    let got = pooled.answer().await.unwrap();
    assert_eq!((got.status.as_u16(), got.header("connection")), (200, "close"));
    assert!(pooled.answer().await.is_none(), "closed after its last answer");
    for version in [Version::One, Version::Two] {
        let got = ask(node.address, version, "GET /api/v1/id").await;
        let expected = if version == Version::One { "close" } else { "" };
        assert_eq!((got.status.as_u16(), got.header("connection")), (200, expected), "{version:?}");
    }
}

#[tokio::test]
async fn a_drain_finishes_what_runs() {
    let mut node = Node::start().await;
    let address = node.address;
    let mut idle = Raw::connect(address).await;
    idle.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    idle.answer().await.unwrap();
    let one = tokio::spawn(async move { get(address, "GET /api/v1/ids?count=1000000 text/plain").await });
    let two = tokio::spawn(async move { ask(address, Version::Two, "GET /api/v1/ranges?count=1000000").await });
    wait_for("both to be at work", || node.load.in_flight() == 2).await;
    node.stop();
    assert!(idle.answer().await.is_none(), "an idle connection ends at once");
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert_eq!((one.status.as_u16(), one.header("connection")), (200, "close"));
    assert_eq!(one.text().lines().count(), 1_000_000);
    assert_eq!(two.status, 200);
    assert_eq!(node.stopped().await.cut, 0);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let mut node = Node::tuned(limits(), |settings| settings.drain = Duration::from_millis(50)).await;
    let mut raw = Raw::connect(node.address).await;
    raw.ask_with_body_to_come("POST /api/v1/id", 4).await;
    node.stop();
    assert_eq!(node.stopped().await.cut, 1, "the half-sent request is not waited for");
    assert!(raw.answer().await.is_none());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_who_has_not_said_which_http() {
    let mut node = Node::start().await;
    let (mut silent, mut half) = (Raw::connect(node.address).await, Raw::connect(node.address).await);
    half.send("PRI * HT").await;
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200, "both were accepted before");
    node.stop();
    assert_eq!(node.stopped().await.cut, 0);
    assert!(silent.answer().await.is_none() && half.answer().await.is_none());
}

#[tokio::test]
async fn who_leaves_gives_the_permit_back() {
    let node = Node::start().await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/ids?count=1000000 HTTP/1.1\r\n\r\n").await;
    wait_for("the request to be at work", || node.load.in_flight() == 1).await;
    drop(raw);
    wait_for("the permit", || node.load.in_flight() == 0 && node.load.stream_count() == 0).await;
}
