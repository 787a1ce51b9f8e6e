//! A connection, by the HTTP its peer speaks, and what bounds each.

use super::server::Settings;
use super::service::Service;
use super::socket::{Socket, Version};
use super::streams::Inlet;
use futures_util::future::Either;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::pin::Pin;
use std::time::Duration;

/// Requests one HTTP/2 connection may have open at once.
const STREAMS: u32 = 128;

/// How long a peer of HTTP/2 that was asked whether it is there may take to say so.
const PONG: Duration = Duration::from_secs(20);

/// The parser takes up to this many times the limit, so that what is somewhat too large is refused by us, with
/// problem details on HTTP/2 too.
const HEADER_SLACK: usize = 2;

/// Ends when the connection does.
pub type Connection =
    Either<http1::Connection<TokioIo<Socket>, Service>, http2::Connection<TokioIo<Socket>, Service, Inlet>>;

/// Begins to serve.
pub fn begin(version: Version, socket: Socket, service: Service, settings: &Settings, streams: Inlet) -> Connection {
    let socket = TokioIo::new(socket);
    match version {
        Version::One => Either::Left(one(settings).serve_connection(socket, service)),
        Version::Two => Either::Right(two(settings, streams).serve_connection(socket, service)),
    }
}

/// Finishes what runs, and takes nothing new.
pub fn finish(connection: Pin<&mut Connection>) {
    match connection.as_pin_mut() {
        Either::Left(one) => one.graceful_shutdown(),
        Either::Right(two) => two.graceful_shutdown(),
    }
}

fn head_bytes(settings: &Settings) -> usize {
    settings.header_bytes * HEADER_SLACK
}

fn one(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Heads are timed by the pulse: hyper's own timer also runs while a connection is idle.
    // Heads and bodies are copied together rather than listed: most are small.
    builder.max_buf_size(head_bytes(settings).max(8 * 1024)).header_read_timeout(None).writev(false);
    builder
}

fn two(settings: &Settings, streams: Inlet) -> http2::Builder<Inlet> {
    let mut builder = http2::Builder::new(streams);
    builder
        .max_header_list_size(head_bytes(settings).min(u32::MAX as usize) as u32)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        // Who only waits, as a watch of health does, is asked whether it is still there.
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.patience.idle)
        .keep_alive_timeout(PONG);
    builder
}
