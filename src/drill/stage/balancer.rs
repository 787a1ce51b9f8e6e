//! A region's load balancer: connections to its addresses go by turns to the nodes that say they are ready, and if none
//! does, to all that ever did.

use super::node::Seat;
use crate::fetch::fetch;
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

const PROBE_EVERY: Duration = Duration::from_millis(500);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 1_000;

/// Asks all nodes of a region whether they are ready, for ever.
pub async fn probe(seats: Vec<Arc<Seat>>) {
    let mut every = interval(PROBE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let mut asked = JoinSet::new();
        for seat in &seats {
            let seat = seat.clone();
            asked.spawn(async move {
                let ready = is_ready(&seat).await;
                seat.said(ready);
            });
        }
        asked.join_all().await;
    }
}

pub async fn is_ready(seat: &Seat) -> bool {
    let url = format!("http://{}/readyz", seat.ops);
    fetch(&url, PROBE_WITHIN).await.is_ok_and(|(status, _)| status.is_success())
}

/// One listener of a region. Dropped: it and all its connections are closed.
#[derive(Debug)]
pub struct Balancer(JoinSet<()>);

impl Balancer {
    pub async fn listen(addresses: &[SocketAddr], seats: &[Arc<Seat>]) -> anyhow::Result<Balancer> {
        let mut tasks = JoinSet::new();
        let turn = Arc::new(AtomicUsize::new(0));
        for address in addresses {
            let listener = TcpListener::bind(address).await;
            let listener = listener.with_context(|| format!("the load balancer cannot listen on {address}"))?;
            tasks.spawn(serve(listener, seats.to_vec(), turn.clone()));
        }
        Ok(Balancer(tasks))
    }

    pub async fn close(mut self) {
        self.0.shutdown().await;
    }
}

async fn serve(listener: TcpListener, seats: Vec<Arc<Seat>>, turn: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        // A connection that is gone again before it is accepted is no reason to stop.
        let Ok((client, _)) = listener.accept().await else { continue };
        connections.spawn(carry(client, order(&seats, turn.fetch_add(1, Relaxed))));
    }
}

/// Whom to try, the first one first.
fn order(seats: &[Arc<Seat>], turn: usize) -> Vec<SocketAddr> {
    let those = |kind: fn(&Seat) -> bool| -> Vec<SocketAddr> {
        seats.iter().filter(|seat| kind(seat)).map(|seat| seat.http).collect()
    };
    let mut ready = those(|seat| seat.ready.load(Relaxed));
    if ready.is_empty() {
        ready = those(|seat| seat.joined.load(Relaxed));
    }
    let count = ready.len().max(1);
    ready.rotate_left(turn % count);
    ready
}

async fn carry(mut client: TcpStream, nodes: Vec<SocketAddr>) {
    for node in nodes {
        if let Ok(Ok(mut server)) = timeout(CONNECT_WITHIN, TcpStream::connect(node)).await {
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let _ = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
