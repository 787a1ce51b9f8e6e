//! The wire: HTTP/1.1 and HTTP/2 (prior knowledge, gRPC within it) on one port for clients, and a second port for
//! operations.
//!
//! This layer only translates: bytes to calls, answers to bytes. Whatever a client sends, every buffer, queue and time
//! it can claim is bounded, and the server goes on.

mod answer;
mod api;
mod body;
mod connection;
mod digits;
mod metrics;
mod openapi;
pub mod ops;
mod piece;
mod problem;
mod progress;
mod pulse;
mod query;
mod representation;
mod route;
mod server;
mod service;
mod socket;
mod streams;
#[cfg(test)]
pub(crate) mod tests;

pub use api::{Api, Judge, Parts, RegionJudge};
pub use metrics::Metrics;
pub use ops::{Live, Operate, Ops, Ready};
pub use problem::{Code, Problem};
pub use server::Drained;

use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves the public port until `shutdown`, then finishes what runs. The listener is bound by the caller.
pub async fn run(listener: TcpListener, api: Arc<Api>, shutdown: impl Future<Output = ()>) -> Drained {
    let settings = server::Settings::new(api.limits(), metrics::Port::Public);
    let metrics = api.metrics().clone();
    server::run(listener, service::Site::Public(api), settings, metrics, shutdown).await
}
