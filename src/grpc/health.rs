//! `grpc.health.v1` by the node's own verdict, the one `/api/v1/health` gives.

use super::status;
use crate::desk::Desk;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// Whether this node would like traffic, as of now.
pub type Serving = Arc<dyn Fn() -> bool + Send + Sync>;

/// How often a watch looks. Health itself looks once a second.
const LOOK: Duration = Duration::from_millis(500);

/// What is served here: the node as a whole, and the one service it has.
const NAMES: [&str; 2] = ["", "meridian.v1.IdService"];

/// Tells the verdict.
pub struct Verdict {
    pub serving: Serving,
    pub desk: Arc<Desk>,
}

fn told(serving: &Serving) -> ServingStatus {
    if serving() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl Health for Verdict {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !NAMES.contains(&service.as_str()) {
            return Err(Status::not_found(format!("{service:.80} is not here; ask for {}", NAMES[1])));
        }
        Ok(Response::new(HealthCheckResponse { status: told(&self.serving).into() }))
    }

    type WatchStream = Watch;

    /// A name that is not known is told as such, and the watch goes on, as the protocol has it.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watch>, Status> {
        let known = NAMES.contains(&request.into_inner().service.as_str());
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let serving = known.then(|| self.serving.clone());
        Ok(Response::new(Watch { serving, desk: self.desk.clone(), looks, last: None }))
    }
}

/// The verdict, each time it changes.
pub struct Watch {
    serving: Option<Serving>,
    desk: Arc<Desk>,
    looks: Interval,
    last: Option<ServingStatus>,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            ready!(self.looks.poll_tick(cx));
            let now = self.serving.as_ref().map_or(ServingStatus::ServiceUnknown, told);
            if self.last != Some(now) {
                self.last = Some(now);
                return Poll::Ready(Some(Ok(HealthCheckResponse { status: now.into() })));
            }
            if self.desk.is_stopping() {
                return Poll::Ready(Some(Err(status::leaving())));
            }
        }
    }
}
