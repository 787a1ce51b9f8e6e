//! What clients should not send. The server says what is wrong, and goes on.

use super::*;
use crate::grpc::packed::framed;
use crate::http::tests::limits;
use crate::http::tests::wire::{Got, Version, send};
use bytes::Bytes;
use http_body_util::Full;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use tonic::codegen::http;

const NEXT: &str = "/meridian.v1.IdService/Next";

/// A path, headers, a body, and the code they get.
type Case = (&'static str, &'static [(&'static str, &'static str)], Vec<u8>, Code);

async fn post(node: &Node, version: Version, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
    let uri = format!("http://{}{path}", node.address);
    let mut request = http::Request::post(uri).header("te", "trailers");
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if version == Version::One {
        request = request.header("host", node.address.to_string());
    }
    send(node.address, version, request.body(Full::new(body.into())).unwrap()).await
}

#[tokio::test]
async fn every_mistake_has_its_code() {
    let node = Node::start().await;
    let one = framed(&NextRequest { count: 1 }.encode_to_vec());
    let with = |flag: u8, length: u32, rest: &[u8]| [&[flag][..], &length.to_be_bytes(), rest].concat();
    let long = vec![0u8; limits().body_bytes + 1];
    let cases: [Case; 15] = [
        ("/meridian.v1.IdService/Nxet", &[], one.to_vec(), Code::Unimplemented),
        ("/", &[], one.to_vec(), Code::Unimplemented),
        ("/api/v1/id", &[], one.to_vec(), Code::Unimplemented),
        (NEXT, &[], Vec::new(), Code::InvalidArgument),
        (NEXT, &[], vec![0, 0], Code::InvalidArgument),
        (NEXT, &[], with(0, 10, &[8]), Code::InvalidArgument),
        (NEXT, &[], with(0, 1, &[0xff]), Code::InvalidArgument),
        (NEXT, &[], with(1, 2, &[8, 1]), Code::Unimplemented),
        (NEXT, &[], with(7, 2, &[8, 1]), Code::InvalidArgument),
        (NEXT, &[("grpc-encoding", "gzip")], with(1, 2, &[8, 1]), Code::Unimplemented),
        (NEXT, &[], with(0, u32::MAX, &[8, 1]), Code::InvalidArgument),
        (NEXT, &[], with(0, long.len() as u32, &long), Code::InvalidArgument),
        (NEXT, &[("grpc-timeout", "soon")], one.to_vec(), Code::InvalidArgument),
        (NEXT, &[("grpc-timeout", "0n")], one.to_vec(), Code::DeadlineExceeded),
        ("/grpc.health.v1.Health/Check", &[], vec![0, 0], Code::Internal),
    ];
    for (path, headers, body, code) in cases {
        let got = post(&node, Version::Two, path, headers, body.clone()).await;
        assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/grpc"), "{path} {headers:?}");
        assert_eq!(got.header("grpc-status"), (code as i32).to_string(), "{path} {headers:?} {got:?}");
    }
    let seen = node.outcomes.recent(node.clock.now().boot_us);
    assert_eq!(seen, Default::default(), "mistakes are not the node's");
    let got = post(&node, Version::Two, NEXT, &[], one).await;
    assert_eq!((got.status.as_u16(), got.body.len()), (200, 15), "and it goes on");
}

#[tokio::test]
async fn what_is_not_quite_grpc_is_told() {
    let node = Node::start().await;
    let got = post(&node, Version::One, NEXT, &[], framed(&[])).await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (400, Some("request_invalid")));
    assert!(got.text().contains("HTTP/2"));
    for content_type in ["application/grpc-web", "application/json", "text/plain"] {
        let uri = format!("http://{}{NEXT}", node.address);
        let request = http::Request::post(uri).header("content-type", content_type).body(Full::<Bytes>::default());
        let got = send(node.address, Version::Two, request.unwrap()).await;
        assert_eq!(got.json()["code"], "unknown_path", "{content_type}");
    }
    let large = "x".repeat(20_000);
    let got = post(&node, Version::Two, NEXT, &[("large", large.as_str())], framed(&[])).await;
    assert_eq!((got.status.as_u16(), got.json()["code"].as_str()), (431, Some("headers_too_large")));
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let got = post(&node, Version::Two, NEXT, &[("content-type", content_type)], framed(&[])).await;
        assert_eq!((got.status.as_u16(), got.body.len()), (200, 15));
    }
}

/// Whatever the bytes, there is an answer with a status, and the next caller is served.
#[test]
fn random_bytes_break_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = runtime.block_on(Node::start());
    let mut runner = TestRunner::new(Config::with_cases(48));
    let bytes = prop::collection::vec(any::<u8>(), 0..64);
    let path = prop::sample::select(vec![NEXT, "/meridian.v1.IdService/Ranges", "/grpc.health.v1.Health/Check"]);
    let property = |(bytes, path): (Vec<u8>, &str)| {
        let got = runtime.block_on(post(&node, Version::Two, path, &[("grpc-timeout", "1S")], bytes));
        prop_assert_eq!(got.status.as_u16(), 200);
        prop_assert!(!got.header("grpc-status").is_empty() || !got.body.is_empty());
        Ok(())
    };
    runner.run(&(bytes, path), property).unwrap();
    let served = runtime.block_on(async { next(&mut client(&node).await, 3).await.unwrap() });
    assert_eq!(served.len(), 3);
}
