//! hyper, and nothing around it: the least an answer over HTTP costs in this language.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use tokio::net::TcpListener;

/// Makes this program that server.
pub const ARGUMENT: &str = "--bare-hyper";

/// Makes it one of HTTP/2.
pub const ARGUMENT_OF_HTTP2: &str = "--bare-hyper-of-http2";

/// What it says to everything.
pub const ANSWER: &[u8] = br#"{"id":"7251238491238491238"}"#;

#[derive(Clone, Copy)]
pub enum Version {
    One,
    Two,
}

/// Serves until it is killed.
pub fn serve(version: Version) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        println!("{}", listener.local_addr().expect("an address"));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("TCP");
            let socket = TokioIo::new(stream);
            match version {
                Version::One => drop(tokio::spawn(
                    http1::Builder::new().pipeline_flush(true).serve_connection(socket, service_fn(answer)),
                )),
                Version::Two => drop(tokio::spawn(
                    http2::Builder::new(TokioExecutor::new()).serve_connection(socket, service_fn(answer)),
                )),
            }
        }
    });
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
