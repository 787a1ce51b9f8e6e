//! What clients should not send. The server says what is wrong, and goes on.

use super::wire::{Got, Raw, Version, ask, get, send};
use super::{Node, limits};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Write;
use std::time::Duration;

/// Status, the headers that matter, and the document.
fn shown(got: &Got) -> String {
    let mut text = format!("{}", got.status.as_u16());
    for name in ["content-type", "cache-control", "allow", "retry-after"] {
        if !got.header(name).is_empty() {
            let _ = write!(text, "\n{name}: {}", got.header(name));
        }
    }
    if got.body.is_empty() { text } else { format!("{text}\n{}", serde_json::to_string_pretty(&got.json()).unwrap()) }
}

#[tokio::test]
async fn every_mistake_has_its_problem() {
    let node = Node::start().await;
    let mut all = String::new();
    for request in [
        "GET /api/v1/ids?count=0",
        "GET /api/v1/ids?count=-1",
        "GET /api/v1/ids?count=1000001",
        "GET /api/v1/ids?count=1000000000000",
        "POST /api/v1/ranges?count=0",
        "GET /api/v1/ids?count=abc",
        "GET /api/v1/ids?count=10%5E12",
        "GET /api/v1/ids?count=",
        "GET /api/v1/ids?count",
        "GET /api/v1/ids?count=5&count=6",
        "GET /api/v1/ids?cuont=5",
        "GET /api/v1/id?count=5",
        "GET /api/v1/ids/abc",
        "GET /api/v1/ids/-5",
        "GET /api/v1/ids/18446744073709551615",
        "GET /api/v1/ids/99999999999999999999999",
        "GET /api/v1/ids/%F0%9F%A6%80",
        "GET /api/v1/idz",
        "GET /nowhere/at/all/that/anybody/knows",
        "GET /api/v1/id text/html",
        "GET /api/v1/ids image/png",
        "GET /api/v1/ranges text/plain",
        "DELETE /api/v1/id",
        "PUT /api/v1/ids?count=1",
        "POST /api/v1/health",
        "POST /api/v1/ids/5",
        "OPTIONS /",
        "BREW /api/v1/id",
    ] {
        let got = get(node.address, request).await;
        let other = ask(node.address, Version::Two, request).await;
        assert_eq!((other.status, other.text()), (got.status, got.text()), "{request}");
        let _ = writeln!(all, "{request}\n{}\n", shown(&got));
    }
    insta::assert_snapshot!("mistakes", all);
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us), Default::default(), "mistakes are not the node's");
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
}

#[tokio::test]
async fn a_node_that_cannot_issue_says_so_at_once() {
    let mut node = Node::start().await;
    let mut all = String::new();
    let request = "GET /api/v1/id";
    node.issuer.install(None);
    let _ = writeln!(all, "no grant\n{}\n", shown(&get(node.address, request).await));
    node.lease().seal();
    let _ = writeln!(all, "sealed\n{}\n", shown(&get(node.address, request).await));
    node.issuer.install(None);
    let mut raw = Raw::connect(node.address).await;
    raw.ask_with_body_to_come("POST /api/v1/id", 4).await;
    node.stop();
    super::wait_for("the port to close", || std::net::TcpStream::connect(node.address).is_err()).await;
    raw.send("body").await;
    let _ = writeln!(all, "on its way out\n{}\n", shown(&raw.answer().await.unwrap()));
    insta::assert_snapshot!("cannot_issue", all);
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us).failed, 3);
}

#[tokio::test]
async fn ahead_of_the_clock_is_shedding() {
    let node = Node::start().await;
    let mut refused = None;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let address = node.address;
        asked.spawn(async move { get(address, "GET /api/v1/ranges?count=1000000").await });
    }
    while let Some(got) = asked.join_next().await {
        let got = got.unwrap();
        if got.status != 200 {
            refused = Some(got);
        }
    }
    let refused = refused.expect("sixteen million ids take four seconds, more than the second a request may wait");
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (429, Some("ahead_of_clock")));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let recent = node.outcomes.recent(node.clock.now().boot_us);
    assert!(recent.shed > 0 && recent.failed == 0, "{recent:?}");
}

#[tokio::test]
async fn too_much_at_once_is_shed() {
    let node = Node::with(crate::topology::Limits { in_flight: 1, ..limits() }).await;
    let held = node.load.enter().await.unwrap();
    for version in [Version::One, Version::Two] {
        let got = ask(node.address, version, "GET /api/v1/id").await;
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (503, Some("shed")));
        assert_eq!(got.header("retry-after"), "1");
        for call in ["GET /api/v1/health", "GET /api/v1/region/health"] {
            assert_eq!(ask(node.address, version, call).await.status, 200, "a full node is not ill");
        }
    }
    drop(held);
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
    let held = node.load.stream().unwrap();
    for count in [100_000, 4_096] {
        let got = get(node.address, &format!("GET /api/v1/ids?count={count}")).await;
        assert_eq!(got.json()["code"], "shed", "long answers have a bound of their own");
    }
    assert_eq!(get(node.address, "GET /api/v1/ids?count=100").await.status, 200);
    drop(held);
    assert_eq!(get(node.address, "GET /api/v1/ids?count=100000").await.status, 200);
}

#[tokio::test]
async fn heads_are_bounded() {
    let node = Node::start().await;
    // Somewhat too large, far too large, and too many.
    for (version, size) in [(Version::One, 20_000), (Version::Two, 20_000), (Version::One, 1_000_000)] {
        if version == Version::Two || size < 30_000 {
            let request =
                Request::builder().uri(format!("http://{}/api/v1/id", node.address)).header("x", "y".repeat(size));
            let got = send(node.address, version, request.body(Full::<Bytes>::default()).unwrap()).await;
            assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (431, Some("headers_too_large")));
        }
        let mut raw = Raw::connect(node.address).await;
        raw.try_send(format!("GET /api/v1/id HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(size))).await;
        let got = raw.answer().await.unwrap();
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (431, Some("headers_too_large")));
        assert!(raw.answer().await.is_none(), "the connection ends");
    }
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("GET /api/v1/id HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(500))).await;
    assert_eq!(raw.answer().await.unwrap().json()["code"], "headers_too_large");
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000))).await;
    assert_eq!(raw.answer().await.unwrap().json()["code"], "headers_too_large");
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let node = Node::start().await;
    for bytes in
        ["hello\r\n\r\n", "GET /api/v1/id HTTP/3.7\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n", "\0\0\0\r\n\r\n"]
    {
        let mut raw = Raw::connect(node.address).await;
        raw.send(bytes).await;
        let got = raw.answer().await.unwrap();
        assert_eq!((got.status.as_u16(), got.header("content-type")), (400, "application/problem+json"), "{bytes:?}");
        assert_eq!(got.json()["code"], "request_invalid");
        assert!(raw.answer().await.is_none());
    }
}

#[tokio::test]
async fn bodies_are_bounded() {
    let node = Node::start().await;
    let head = "POST /api/v1/id HTTP/1.1\r\n";
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("{head}content-length: 100\r\n\r\n{}", "x".repeat(100))).await;
    assert_eq!(raw.answer().await.unwrap().status, 200, "a small body is ignored");
    // The same connection, and too much, with its length told or not.
    raw.send(format!("{head}content-length: 3000000\r\n\r\n")).await;
    raw.try_send("x".repeat(3_000_000)).await;
    let got = raw.answer().await.unwrap();
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (413, Some("body_too_large")));
    assert_eq!(got.header("connection"), "close");
    assert!(raw.answer().await.is_none());
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
    for _ in 0..100 {
        raw.try_send(format!("400\r\n{}\r\n", "x".repeat(1024))).await;
    }
    raw.try_send("0\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().json()["code"], "body_too_large");
    // Who asks first is told before sending.
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("{head}content-length: 3000000\r\nexpect: 100-continue\r\n\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().status, 413);
    let request = Request::builder().method("POST").uri(format!("http://{}/api/v1/id", node.address));
    let got = send(node.address, Version::Two, request.body(Full::from(vec![b'x'; 200_000])).unwrap()).await;
    assert_eq!(got.json()["code"], "body_too_large");
    let mut raw = Raw::connect(node.address).await;
    raw.send(format!("{head}transfer-encoding: chunked\r\n\r\nnonsense\r\n")).await;
    assert_eq!(raw.answer().await.unwrap().json()["code"], "body_invalid");
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
}

#[tokio::test]
async fn who_is_slow_is_cut() {
    let brief = Duration::from_millis(50);
    let node = Node::with(crate::topology::Limits { header_time: brief, ..limits() }).await;
    for half in ["GET /api/v1/id HT", "GET /api/v1/id HTTP/1.1\r\nx: y\r\n", "P", "PRI * HTTP/2.0\r\n"] {
        let mut raw = Raw::connect(node.address).await;
        raw.send(half).await;
        let got = raw.answer().await.unwrap();
        assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (408, Some("request_timeout")), "{half:?}");
        assert!(raw.answer().await.is_none());
    }
    // Half a preface, and nothing more to come: no HTTP at all.
    let mut raw = Raw::connect(node.address).await;
    raw.send("PRI * HTTP/2.0\r\n").await;
    raw.half_close().await;
    assert_eq!(raw.answer().await.map(|got| got.status.as_u16()), Some(400));
    // Half a body, and half a second request.
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    raw.send("POST /api/v1/id HTTP/1.1\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert_eq!(raw.answer().await.unwrap().json()["code"], "request_timeout");
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    raw.send("GET").await;
    assert_eq!(raw.answer().await.unwrap().status, 408);
    assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
}

#[tokio::test]
async fn who_is_idle_is_cut() {
    let node = Node::with(crate::topology::Limits { idle: Duration::from_millis(300), ..limits() }).await;
    let mut silent = Raw::connect(node.address).await;
    assert!(silent.answer().await.is_none());
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/id HTTP/1.1\r\n\r\n").await;
    assert_eq!(raw.answer().await.unwrap().status, 200);
    assert!(raw.answer().await.is_none());
    for pieces in [["", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ["PRI * HTTP", "/2.0\r\n\r\nSM\r\n\r\n"]] {
        let mut two = Raw::connect(node.address).await;
        for piece in pieces {
            two.send(piece).await;
            // Somebody else's answer: the piece was read before it.
            assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
        }
        two.send("\0\0\0\x04\0\0\0\0\0").await;
        assert_eq!(two.rest().await.get(3), Some(&4), "settings came, then the end");
    }
}

#[tokio::test]
async fn who_does_not_read_is_cut() {
    let node = Node::with(crate::topology::Limits { idle: Duration::from_millis(400), ..limits() }).await;
    let mut raw = Raw::connect(node.address).await;
    raw.send("GET /api/v1/ids?count=1000000 HTTP/1.1\r\n\r\n").await;
    super::wait_for("the answer to be under way", || node.load.stream_count() == 1).await;
    super::wait_for("the answer to be given up", || node.load.stream_count() == 0).await;
    assert!(raw.rest().await.len() < 22_000_000);
}

/// Requests that look right, taken apart and put together again, and plain noise.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "GET ",
        "POST ",
        "HEAD ",
        "/api/v1/ids",
        "?count=",
        "5",
        " HTTP/1.1",
        "\r\n",
        "\r\n\r\n",
        "host: x",
        "content-length: ",
        "transfer-encoding: chunked",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\0\0\x04\0\0\0\0\0",
        "expect: 100-continue",
        "\0\0\x04\x01\x05\0\0\0\x01",
        "0\r\n\r\n",
        "99999999999999999999",
    ]);
    let piece = prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

#[test]
fn no_bytes_kill_the_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let node =
        runtime.block_on(Node::with(crate::topology::Limits { header_time: Duration::from_millis(200), ..limits() }));
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&noise(), |bytes| {
            runtime.block_on(async {
                let mut raw = Raw::connect(node.address).await;
                raw.try_send(&bytes).await;
                raw.half_close().await;
                raw.rest().await;
                assert_eq!(get(node.address, "GET /api/v1/id").await.status, 200);
            });
            Ok(())
        })
        .unwrap();
    assert!(!node.server.is_finished());
}
