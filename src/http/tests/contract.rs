//! The OpenAPI document is true: what it says is answered, and what is answered it says.

use super::schema::check;
use super::wire::{Got, Raw, get};
use super::{Node, limits};
use crate::http::openapi::document;
use crate::http::route::{PUBLIC, Route};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

/// The answer is one the document has for this path and method, media type and body included.
fn conforms(document: &Value, path: &str, method: &str, got: &Got) {
    let operation = &document["paths"][path][method.to_lowercase()];
    let response = &operation["responses"][got.status.as_str()];
    assert!(response.is_object(), "{method} {path} {} is not in the document", got.status);
    let named = response["headers"].as_object().into_iter().flatten();
    for (name, _) in named {
        assert!(
            got.headers.contains_key(name.to_lowercase().as_str()),
            "{method} {path}: {name} is missing in {got:?}"
        );
    }
    if method == "HEAD" {
        assert!(got.body.is_empty());
        return;
    }
    let media_type = got.header("content-type").split(';').next().unwrap();
    let content = &response["content"][media_type];
    assert!(content.is_object(), "{method} {path} {} {media_type} is not in the document", got.status);
    if media_type.ends_with("json") && media_type != "application/x-ndjson" {
        check(document, &content["schema"], &got.json()).unwrap_or_else(|why| panic!("{method} {path}: {why}"));
    } else if media_type == "text/plain" {
        check(document, &content["schema"], &got.text().into()).unwrap();
    }
}

fn concrete(path: &str) -> String {
    path.replace("{id}", "4194635781")
}

#[tokio::test]
async fn every_path_method_and_media_type_of_the_document_is_there() {
    let node = Node::start().await;
    let document = get(node.address, "GET /openapi.json").await.json();
    assert_eq!(document, super::super::openapi::document(1_000_000));
    for (path, item) in document["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters");
        for (method, operation) in operations {
            let method = method.to_uppercase();
            let content = operation["responses"]["200"]["content"].as_object();
            let types: Vec<&str> = content.map_or(vec!["*/*"], |content| content.keys().map(String::as_str).collect());
            for accept in types {
                let got = get(node.address, &format!("{method} {} {accept}", concrete(path))).await;
                assert_eq!(got.status, 200, "{method} {path} {accept}");
                if accept != "*/*" {
                    assert_eq!(got.header("content-type").split(';').next(), Some(accept));
                }
                conforms(&document, path, &method, &got);
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_in_the_document() {
    let node = Node::start().await;
    let document = document(limits().ids_per_request);
    let listed: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(listed, PUBLIC.iter().map(|call| call.path).collect());
    for well in [true, false] {
        node.well.store(well, Relaxed);
        if !well {
            node.issuer.install(None);
        }
        for call in PUBLIC {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
                let allowed = call.methods.split(", ").any(|allowed| allowed == method);
                let listed = document["paths"][call.path].get(method.to_lowercase()).is_some();
                assert_eq!(allowed, listed, "{method} {}", call.path);
                for (query, accept) in [("", "*/*"), ("?count=0", "*/*"), ("?x=1", "*/*"), ("", "image/png")] {
                    let got = get(node.address, &format!("{method} {}{query} {accept}", concrete(call.path))).await;
                    assert_eq!(got.status == 405, !allowed, "{method} {}", call.path);
                    // A method a path does not have cannot be described; its refusal looks like the others'.
                    conforms(&document, call.path, if allowed { method } else { "GET" }, &got);
                }
            }
        }
    }
}

#[tokio::test]
async fn refusals_before_the_call_are_in_the_document() {
    let node = Node::start().await;
    let document = document(limits().ids_per_request);
    for call in PUBLIC {
        for head in
            [format!("x: {}\r\n", "y".repeat(20_000)), "content-length: 3000000\r\nexpect: 100-continue\r\n".to_owned()]
        {
            let mut raw = Raw::connect(node.address).await;
            raw.send(format!("GET {} HTTP/1.1\r\n{head}\r\n", concrete(call.path))).await;
            conforms(&document, call.path, "GET", &raw.answer().await.unwrap());
        }
    }
}

#[test]
fn the_document() {
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&document(1_000_000)).unwrap());
    let routes: BTreeSet<&str> = PUBLIC.iter().map(|call| call.route.name()).collect();
    assert_eq!(routes.len(), PUBLIC.len(), "operation ids are distinct");
    assert!(!routes.contains(Route::Unknown.name()));
}
