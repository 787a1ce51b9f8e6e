//! The real server on a loopback port, asked by real clients, well-behaved and not.

mod abuse;
mod allocations;
mod calls;
mod contract;
mod lifetime;
mod schema;
pub(crate) mod wire;

use super::metrics::{Metrics, Port};
use super::ops::Ops;
use super::server::{self, Drained, Settings};
use super::service::Site;
use super::{Api, Parts};
use crate::clock::Clock;
use crate::desk::Desk;
use crate::grpc::{self, Grpc};
use crate::health::region::{RegionReport, Workers};
use crate::health::report::{Check, Report, Status};
use crate::id::{Origin, SNOWFLAKE64};
use crate::issuer::Issuer;
use crate::lease::grant::Grant;
use crate::lease::znode::Drain;
use crate::load::Load;
use crate::outcomes::Outcomes;
use crate::peers::{Declined, Order};
use crate::topology::Limits;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const ORIGIN: Origin = Origin { datacenter: 2, worker: 17 };

pub(crate) fn limits() -> Limits {
    Limits {
        ids_per_request: 1_000_000,
        in_flight: 64,
        connections: 100,
        body_bytes: 65_536,
        header_bytes: 16_384,
        header_time: Duration::from_secs(5),
        idle: Duration::from_secs(60),
    }
}

/// A running node and its insides.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) api: Arc<Api>,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) load: Arc<Load>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) well: Arc<AtomicBool>,
    pub(crate) live: Arc<AtomicBool>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) server: JoinHandle<Drained>,
}

impl Node {
    pub(crate) async fn start() -> Node {
        Node::with(limits()).await
    }

    pub(crate) async fn with(limits: Limits) -> Node {
        Node::tuned(limits, |_| {}).await
    }

    pub(crate) async fn tuned(limits: Limits, tune: impl FnOnce(&mut Settings)) -> Node {
        let mut registry: Registry = crate::metrics::registry();
        let clock = Arc::new(Clock::start(1_704_067_200_000));
        let issuer = Arc::new(Issuer::new(clock.clone(), Duration::from_secs(1), &mut registry));
        let load = Arc::new(Load::new(limits.in_flight, &mut registry));
        let outcomes = Arc::new(Outcomes::default());
        let desk = Arc::new(Desk::new(issuer.clone(), load.clone(), outcomes.clone(), &mut registry));
        let metrics = Metrics::new(&mut registry);
        let grpc_metrics = grpc::Metrics::new(&mut registry);
        let well = Arc::new(AtomicBool::new(true));
        let live = Arc::new(AtomicBool::new(true));
        let turning = live.clone();
        let (healthy, region_healthy, ready, serving) = (well.clone(), well.clone(), well.clone(), well.clone());
        let grpc = Arc::new(Grpc::new(grpc::Parts {
            desk: desk.clone(),
            serving: Arc::new(move || serving.load(Relaxed)),
            metrics: grpc_metrics,
            limits: limits.clone(),
        }));
        let api = Arc::new(Api::new(Parts {
            desk,
            grpc,
            clock: clock.clone(),
            metrics: metrics.clone(),
            health: Arc::new(move || report(healthy.load(Relaxed))),
            region_health: Arc::new(move || region_report(region_healthy.load(Relaxed))),
            regions: BTreeMap::from([(2, "eu-west".to_owned())]),
            layout: SNOWFLAKE64,
            limits: limits.clone(),
        }));
        let ops = Arc::new(Ops {
            registry: Arc::new(registry),
            metrics: metrics.clone(),
            operate: Arc::new(|order| Box::pin(async move { operated(order) })),
            live: Arc::new(move || if turning.load(Relaxed) { Ok(()) } else { Err("stands still".to_owned()) }),
            ready: Arc::new(move || if ready.load(Relaxed) { Ok(()) } else { Err("no lease".to_owned()) }),
            limits: limits.clone(),
        });
        let (listener, ops_listener) = (bind().await, bind().await);
        let address = listener.local_addr().unwrap();
        let ops_address = ops_listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut settings = Settings::new(&limits, Port::Public);
        tune(&mut settings);
        tokio::spawn(super::ops::run(ops_listener, ops, std::future::pending()));
        let server = tokio::spawn(server::run(listener, Site::Public(api.clone()), settings, metrics, async move {
            let _ = stopped.await;
        }));
        let node = Node {
            address,
            ops: ops_address,
            api,
            issuer,
            load,
            outcomes,
            clock,
            well,
            live,
            stop: Some(stop),
            server,
        };
        node.lease();
        node
    }

    pub(crate) fn lease(&self) -> Arc<Grant> {
        let floor = self.clock.now().credible();
        let grant = Arc::new(Grant::new(SNOWFLAKE64, ORIGIN, floor, floor + 3_600_000));
        self.issuer.install(Some(grant.clone()));
        grant
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.stop.take().expect("stopped once").send(());
    }

    pub(crate) async fn stopped(mut self) -> Drained {
        if self.stop.is_some() {
            self.stop();
        }
        within(self.server).await.unwrap()
    }
}

async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn report(well: bool) -> Report {
    let status = if well { Status::Pass } else { Status::Fail };
    let lease = Check { observed: well.into(), limit: true.into(), status, detail: None };
    Report {
        status,
        region: "eu-west".to_owned(),
        datacenter: ORIGIN.datacenter,
        worker: Some(ORIGIN.worker),
        slots: vec![ORIGIN.worker],
        checks: BTreeMap::from([("lease", lease)]),
    }
}

fn region_report(well: bool) -> RegionReport {
    RegionReport { node: report(well), workers: Workers { live: 3, needed: 2, quota: 6 }, drained: !well }
}

/// Another region is well unless the reason says otherwise.
fn operated(order: Order) -> Result<Option<Drain>, Declined> {
    match order {
        Order::Undrain => Ok(None),
        Order::Drain { reason, force: false, .. } if reason == "alone" => {
            Err(Declined::LastHealthy("apac: it says 503".to_owned()))
        }
        Order::Drain { by, reason, .. } => Ok(Some(Drain { v: 1, by, reason, since: "now".to_owned() })),
    }
}

/// No test waits for ever.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it takes too long")
}

pub(crate) async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("waiting for {what}"));
}
