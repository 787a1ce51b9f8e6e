//! The loop that accepts connections and the life of each: bounded in number and time, drained at the end.
//!
//! Up to `connections` are served. The next [`OVERFLOW`] are answered too, but every call except health gets 503 `shed`
//! and the connection ends: a full node is not an ill node, and probes still see that. Beyond those nothing is
//! accepted until one ends; the kernel's backlog holds them.

use super::connection::{self, Connection};
use super::metrics::{Cut, Metrics, Open, Port};
use super::problem::{Code, Problem};
use super::pulse::{Over, Patience, Pulse};
use super::service::{Service, Site};
use super::socket::{Outgoing, Socket};
use super::streams::Streams;
use crate::topology::Limits;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, coop};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Connections over the limit that are still answered, with a refusal.
pub const OVERFLOW: usize = 64;

/// How long accepting rests when the kernel cannot give a socket (usually: no file descriptor is left).
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long a drain lasts: what is not finished by then is cut.
const DRAIN: Duration = Duration::from_secs(20);

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    pub port: Port,
    pub connections: usize,
    pub header_bytes: usize,
    pub patience: Patience,
    pub drain: Duration,
}

impl Settings {
    pub fn new(limits: &Limits, port: Port) -> Settings {
        Settings {
            port,
            connections: limits.connections,
            header_bytes: limits.header_bytes,
            patience: Patience { head: limits.header_time, idle: limits.idle, answer: limits.idle },
            drain: DRAIN,
        }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were at work when the time was over.
    pub cut: usize,
}

/// Serves until `shutdown`, then stops accepting, finishes what runs, and cuts what takes too long.
pub async fn run(
    listener: TcpListener,
    site: Site,
    settings: Settings,
    metrics: Arc<Metrics>,
    shutdown: impl Future<Output = ()>,
) -> Drained {
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared { site, settings, metrics });
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let room = connections.len() < shared.settings.connections + OVERFLOW;
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = connections.join_next() => shared.ended(ended),
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    let turned_away = connections.len() >= shared.settings.connections;
                    connections.spawn(shared.clone().serve(stream, turned_away, stopping.clone()));
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    shared.metrics.accept_failed(shared.settings.port);
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    tokio::select! {
                        () = &mut shutdown => break,
                        () = sleep(ACCEPT_REST) => {}
                    }
                }
            },
        }
    }
    if let Site::Public(api) = &shared.site {
        api.stop();
    }
    // Clients in the backlog have connected and may have asked: they are answered too, if they are quick.
    while connections.len() < shared.settings.connections
        && let Some(Ok((stream, _))) = at_once(listener.accept()).await
    {
        connections.spawn(shared.clone().serve(stream, false, stopping.clone()));
    }
    drop(listener);
    stop.send_replace(true);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            shared.ended(ended);
        }
    };
    if timeout(shared.settings.drain, finish).await.is_err() {
        tracing::warn!(connections = connections.len(), "the time to drain is over");
    }
    let cut = connections.len();
    (0..cut).for_each(|_| shared.metrics.cut(shared.settings.port, Cut::Drain));
    connections.shutdown().await;
    Drained { cut }
}

/// The connection was gone before it was accepted: nothing to rest for.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The result of a future if it has one now.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// What happens to a connection.
enum Event {
    Ended(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Timer,
    Stop,
}

/// How a connection ended.
#[derive(Debug)]
enum Ended {
    /// The peer may still be sending, and must not lose the last answer for that.
    Midway,
    /// A request did not come in time, and its peer is told.
    Late(Problem),
    /// Nothing is owed: it was idle, or has had its chance.
    AtRest,
}

/// What all connections share.
struct Shared {
    site: Site,
    settings: Settings,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(%error, "a connection ended by a bug");
        }
    }

    async fn serve(self: Arc<Shared>, stream: TcpStream, turned_away: bool, stopping: watch::Receiver<bool>) {
        let _open: Open = self.metrics.opened(self.settings.port);
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone");
            return;
        }
        let pulse = Pulse::start();
        let (socket, outgoing) = Socket::new(stream, pulse.clone());
        let life = self.drive(socket, &outgoing, pulse, turned_away, stopping);
        if turned_away {
            self.metrics.cut(self.settings.port, Cut::TurnedAway);
            let _ = timeout(self.settings.patience.head, life).await;
            return outgoing.linger(None).await;
        }
        match life.await {
            Ended::Midway => outgoing.linger(None).await,
            Ended::Late(problem) => outgoing.linger(Some(problem)).await,
            Ended::AtRest => {}
        }
    }

    /// The life of a connection: until it ends, takes too long, or the server stops and it has finished.
    async fn drive(
        self: &Arc<Shared>,
        socket: Socket,
        outgoing: &Outgoing,
        pulse: Arc<Pulse>,
        turned_away: bool,
        mut stopping: watch::Receiver<bool>,
    ) -> Ended {
        let patience = self.settings.patience;
        let header_bytes = self.settings.header_bytes;
        let service = Service { site: self.site.clone(), header_bytes, turned_away, pulse: pulse.clone() };
        let (inlet, mut streams) = Streams::new(patience.answer);
        let mut opening = Some((socket, service, inlet));
        let mut connection = pin!(None::<Connection>);
        let mut timer = pin!(sleep_until(pulse.due(&patience)));
        let signal = stopping.clone();
        let mut stop = pin!(stopping.wait_for(|stop| *stop));
        let mut told = false;
        // The timer and the stop wake this task once they have been polled. That needs no repeating each time a request wakes it,
        // because a task's waker stays the same; unless they were put off because the task has run for long enough.
        let mut awaited = false;
        loop {
            let event = poll_fn(|cx| {
                if let Some((socket, ..)) = &mut opening
                    && let Poll::Ready(version) = socket.poll_version(cx)
                    && let Some((socket, service, inlet)) = opening.take()
                {
                    let version = match version {
                        Ok(version) => version,
                        Err(error) => return Poll::Ready(Event::Ended(Err(error.into()))),
                    };
                    connection.set(Some(connection::begin(version, socket, service, &self.settings, inlet)));
                }
                while let Some(connection) = connection.as_mut().as_pin_mut() {
                    if let Poll::Ready(result) = connection.poll(cx) {
                        return Poll::Ready(Event::Ended(result.map_err(Into::into)));
                    }
                    if let Poll::Ready(Err(error)) = outgoing.poll_send(cx) {
                        return Poll::Ready(Event::Ended(Err(error.into())));
                    }
                    if !streams.run(cx) {
                        break;
                    }
                }
                // Only ever armed earlier here: when it fires too early it is armed again.
                let due = pulse.due(&patience);
                if due < timer.deadline() {
                    timer.as_mut().reset(due);
                    awaited = false;
                }
                if (!awaited || timer.is_elapsed()) && timer.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Timer);
                }
                let changed = signal.has_changed().unwrap_or(true);
                if !told && (!awaited || changed) && stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Event::Stop);
                }
                awaited = coop::has_budget_remaining();
                Poll::Pending
            });
            let event = event.await;
            awaited = false;
            match event {
                Event::Ended(Ok(())) if told => return Ended::AtRest,
                Event::Ended(Ok(())) => return Ended::Midway,
                Event::Ended(Err(error)) => {
                    tracing::debug!(%error, "a connection ended");
                    return Ended::Midway;
                }
                Event::Timer => match pulse.over(&patience) {
                    Some(over) => {
                        self.metrics.cut(self.settings.port, Cut::Late(over));
                        if over == Over::Head {
                            let detail = format!("send the whole request head within {:?}", patience.head);
                            return Ended::Late(Problem::new(Code::RequestTimeout, detail));
                        }
                        return Ended::AtRest;
                    }
                    None => timer.as_mut().reset(pulse.due(&patience).max(Instant::now())),
                },
                Event::Stop => {
                    told = true;
                    match connection.as_mut().as_pin_mut() {
                        Some(connection) => connection::finish(connection),
                        None => return Ended::Midway,
                    }
                }
            }
        }
    }
}
