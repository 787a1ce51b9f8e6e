//! Every call in every representation, over either version.

use super::wire::{Raw, Version, ask, collect, get};
use super::{Node, ORIGIN, within};
use crate::id::SNOWFLAKE64;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

fn ids(accept: &str, body: &[u8]) -> Vec<u64> {
    let number = |text: &str| text.parse().unwrap();
    let text = || std::str::from_utf8(body).unwrap();
    match accept {
        "application/json" => serde_json::from_slice::<Vec<&str>>(body).unwrap().into_iter().map(number).collect(),
        "application/x-ndjson" => text().lines().map(|line| number(serde_json::from_str(line).unwrap())).collect(),
        "text/plain" => text().lines().map(number).collect(),
        "application/octet-stream" => {
            body.chunks_exact(8).map(|id| u64::from_be_bytes(id.try_into().unwrap())).collect()
        }
        _ => panic!("{accept}"),
    }
}

fn ranges(body: &Value) -> Vec<u64> {
    assert_eq!(body["layout"], "snowflake64");
    let ranges = body["ranges"].as_array().unwrap().iter();
    ranges
        .flat_map(|range| {
            let first: u64 = range["first"].as_str().unwrap().parse().unwrap();
            first..first + range["count"].as_u64().unwrap()
        })
        .collect()
}

fn check_ids(ids: &[u64], count: usize) {
    assert_eq!(ids.len(), count);
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "ascending, so unique");
    assert!(ids.iter().all(|id| SNOWFLAKE64.decode(*id).unwrap().origin == ORIGIN));
}

const REPRESENTATIONS: [&str; 4] =
    ["application/json", "application/x-ndjson", "text/plain", "application/octet-stream"];

#[tokio::test]
async fn one_id() {
    let node = Node::start().await;
    for version in [Version::One, Version::Two] {
        for method in ["GET", "POST"] {
            let got = ask(node.address, version, &format!("{method} /api/v1/id")).await;
            assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/json"));
            assert_eq!(got.header("cache-control"), "no-store");
            check_ids(&[got.json()["id"].as_str().unwrap().parse().unwrap()], 1);
            let got = ask(node.address, version, &format!("{method} /api/v1/id text/plain")).await;
            assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
            check_ids(&[got.text().parse().unwrap()], 1);
        }
    }
    assert_eq!(node.outcomes.recent(node.clock.now().boot_us).served, 8);
    assert!(node.outcomes.p99(node.clock.now().boot_us).is_some());
}

#[tokio::test]
async fn several_ids() {
    let node = Node::start().await;
    let mut last = 0;
    for version in [Version::One, Version::Two] {
        for accept in REPRESENTATIONS {
            for count in [1usize, 2, 4_095, 4_097, 20_000] {
                let got = ask(node.address, version, &format!("POST /api/v1/ids?count={count} {accept}")).await;
                assert_eq!(got.status, 200, "{got:?}");
                assert_eq!(
                    (got.header("content-type").split(';').next(), got.header("cache-control")),
                    (Some(accept), "no-store")
                );
                let ids = ids(accept, &got.body);
                check_ids(&ids, count);
                assert!(ids[0] > last);
                last = ids[count - 1];
            }
        }
        let got = ask(node.address, version, "GET /api/v1/ids").await;
        check_ids(&ids("application/json", &got.body), 1);
    }
}

#[tokio::test]
async fn ranges_expand_to_ids() {
    let node = Node::start().await;
    for count in [1, 10_000, 1_000_000] {
        let got = get(node.address, &format!("GET /api/v1/ranges?count={count}")).await;
        assert_eq!((got.status.as_u16(), got.header("cache-control")), (200, "no-store"));
        check_ids(&ranges(&got.json()), count);
    }
}

#[tokio::test]
async fn a_million_ids_in_every_representation() {
    let node = Node::start().await;
    let mut all = Vec::new();
    for accept in REPRESENTATIONS {
        let request = format!("GET /api/v1/ids?count=1000000 {accept}");
        let (got, elapsed) = loop {
            let asked = Instant::now();
            let got = get(node.address, &request).await;
            if got.status != 429 {
                break (got, asked.elapsed());
            }
        };
        if all.is_empty() {
            // Whatever else took its time on a busy machine, the wait for the format is not the node's.
            let p99 = node.outcomes.p99(node.clock.now().boot_us).expect("a request");
            assert!(p99.mul_f64(0.93) + Duration::from_millis(200) < elapsed, "{p99:?} of {elapsed:?}");
        }
        let streamed = got.headers.contains_key("transfer-encoding");
        assert_eq!(streamed, accept == "application/x-ndjson", "the others say how long they are");
        let ids = ids(accept, &got.body);
        check_ids(&ids, 1_000_000);
        all.extend(ids);
    }
    check_ids(&all, 4_000_000);
}

#[tokio::test]
async fn decode() {
    let node = Node::start().await;
    for (id, expect) in [
        ("0", r#"{"datacenter":0,"id":"0","region":null,"sequence":0,"time":"2024-01-01T00:00:00.000Z","worker":0}"#),
        (
            "4194635781",
            r#"{"datacenter":2,"id":"4194635781","region":"eu-west","sequence":5,"time":"2024-01-01T00:00:01.000Z","worker":17}"#,
        ),
    ] {
        let got = get(node.address, &format!("GET /api/v1/ids/{id}")).await;
        assert_eq!(got.json(), serde_json::from_str::<Value>(expect).unwrap());
    }
    let made = get(node.address, "GET /api/v1/id text/plain").await;
    let got = get(node.address, &format!("GET /api/v1/ids/{}", made.text())).await.json();
    assert_eq!((&got["id"], &got["region"], &got["worker"]), (&made.text().into(), &"eu-west".into(), &17.into()));
}

#[tokio::test]
async fn health_and_documents() {
    let node = Node::start().await;
    for version in [Version::One, Version::Two] {
        node.well.store(true, Relaxed);
        let got = ask(node.address, version, "GET /api/v1/health text/html").await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/health+json"));
        assert_eq!((&got.json()["status"], &got.json()["worker"]), (&"pass".into(), &17.into()));
        node.well.store(false, Relaxed);
        let got = ask(node.address, version, "GET /api/v1/health").await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (503, "application/health+json"));
        assert_eq!(got.json()["status"], "fail");
        for (well, status) in [(true, 200), (false, 503)] {
            node.well.store(well, Relaxed);
            let got = ask(node.address, version, "GET /api/v1/region/health").await;
            assert_eq!((got.status.as_u16(), got.header("content-type")), (status, "application/health+json"));
            assert_eq!((&got.json()["workers"]["needed"], &got.json()["drained"]), (&2.into(), &(!well).into()));
        }
        assert_eq!(ask(node.address, version, "GET /openapi.json").await.json()["openapi"], "3.1.0");
        assert_eq!(ask(node.address, version, "GET /").await.json()["service"], "meridian");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let node = Node::start().await;
    for path in [
        "/",
        "/openapi.json",
        "/api/v1/health",
        "/api/v1/region/health",
        "/api/v1/id",
        "/api/v1/ids?count=7",
        "/api/v1/ids/5",
        "/nowhere",
    ] {
        for version in [Version::One, Version::Two] {
            let got = ask(node.address, version, &format!("GET {path}")).await;
            let head = ask(node.address, version, &format!("HEAD {path}")).await;
            assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
            for name in ["content-type", "content-length", "cache-control"] {
                assert_eq!(head.header(name), got.header(name), "{path} {name}");
            }
        }
    }
    // On HTTP/1.1 a body would be taken for the next answer.
    let mut raw = Raw::connect(node.address).await;
    raw.send("HEAD /api/v1/ids?count=3 HTTP/1.1\r\n\r\nGET /api/v1/id HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    let text = String::from_utf8(raw.rest().await).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
    assert!(!text.contains("[\""));
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let node = Node::start().await;
    let mut raw = Raw::connect(node.address).await;
    for _ in 0..3 {
        raw.send("GET /api/v1/id HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(raw.answer().await.unwrap().status, 200);
    }
    // Pipelined, a bad one among them: answers come in order.
    raw.send("GET /api/v1/ids?count=2 HTTP/1.1\r\n\r\nGET /api/v1/ids?count=0 HTTP/1.1\r\n\r\nGET /api/v1/id HTTP/1.1\r\n\r\n").await;
    let statuses =
        [raw.answer().await.unwrap().status, raw.answer().await.unwrap().status, raw.answer().await.unwrap().status];
    assert_eq!(statuses.map(|status| status.as_u16()), [200, 400, 200]);

    let io = TokioIo::new(tokio::net::TcpStream::connect(node.address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut sender = sender.clone();
        let uri = format!("http://{}/api/v1/ids?count=100", node.address);
        let request = Request::builder().uri(uri).body(Full::<Bytes>::default()).unwrap();
        answers.spawn(async move { collect(within(sender.send_request(request)).await.unwrap()).await });
    }
    let mut all = Vec::new();
    while let Some(got) = answers.join_next().await {
        all.extend(ids("application/json", &got.unwrap().body));
    }
    all.sort_unstable();
    check_ids(&all, 5_000);
}

#[tokio::test]
async fn operations() {
    let node = Node::start().await;
    get(node.address, "GET /api/v1/ids?count=5000").await;
    get(node.address, "GET /api/v1/ids?count=0").await;
    let got = get(node.ops, "GET /metrics").await;
    assert_eq!(got.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        "meridian_ids_total 5000",
        "meridian_requests_in_flight 0",
        "meridian_id_generation_latency_seconds_count 1",
        r#"meridian_http_requests_total{route="ids",method="GET",status="200",code="ok"} 1"#,
        r#"meridian_http_requests_total{route="ids",method="GET",status="400",code="count_out_of_range"} 1"#,
        r#"meridian_http_connections{port="operations"} 1"#,
        "# EOF",
    ] {
        assert!(got.text().lines().any(|found| found == line), "{line} is not in\n{}", got.text());
    }
    assert_eq!(get(node.ops, "GET /livez").await.text(), "ok\n");
    assert_eq!(get(node.ops, "GET /readyz").await.status, 200);
    node.well.store(false, Relaxed);
    let got = get(node.ops, "GET /readyz").await;
    assert_eq!((got.status.as_u16(), got.text()), (503, "no lease\n"));
    assert_eq!(get(node.ops, "GET /livez").await.status, 200);
    node.live.store(false, Relaxed);
    let got = get(node.ops, "GET /livez").await;
    assert_eq!((got.status.as_u16(), got.text()), (503, "stands still\n"));
    assert_eq!(get(node.ops, "GET /").await.status, 200);
    assert_eq!(get(node.ops, "POST /metrics").await.header("allow"), "GET, HEAD");
    assert!(get(node.ops, "GET /metric").await.text().contains("did you mean /metrics?"));
}

#[tokio::test]
async fn orders_of_an_operator() {
    let node = Node::start().await;
    let check = async |call: &str, status: u16, words: &str| {
        let got = get(node.ops, call).await;
        assert_eq!(got.status.as_u16(), status, "{call}: {}", got.text());
        assert!(got.text().contains(words), "{call}: {}", got.text());
    };
    check("POST /admin/drain?reason=a%20new%20kernel&by=eve", 200, r#""by":"eve","reason":"a new kernel""#).await;
    check("POST /admin/drain?reason=alone", 409, "last_healthy_region").await;
    check("POST /admin/drain?reason=alone&force=true", 200, r#""drained":true"#).await;
    check("POST /admin/undrain", 200, r#"{"drain":null,"drained":false}"#).await;
    check("GET /admin/drain?reason=x", 405, "use POST").await;
    check("POST /admin/drain", 400, "?reason=TEXT").await;
    check("POST /admin/drain?reason=", 400, "?reason=TEXT").await;
    check("POST /admin/drain?reason=a&reason=b", 400, "twice").await;
    check("POST /admin/drain?reason=a&force=perhaps", 400, "true or false").await;
    check("POST /admin/drain?raeson=a", 400, "unknown key").await;
    check("POST /admin/undrain?force=true", 400, "takes no query").await;
    assert_eq!(get(node.address, "POST /admin/drain?reason=x").await.status, 404, "clients give no orders");
}
