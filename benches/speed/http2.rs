//! One connection of HTTP/2, spoken by hand: a client library would cost more than what is measured.

use crate::rate::{Latency, latency};
use crate::subjects::Subject;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use hyper::{Method, Request};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

pub struct Calls {
    pub latency: Latency,
    pub per_second: f64,
    /// Processor time of the server a call, in microseconds.
    pub cpu_us: f64,
}

/// So many callers, each asking for one id after the other; no id comes twice. A server that gives none says `None`.
pub fn singles(
    subject: &Subject,
    callers: usize,
    time: Duration,
    ask: impl AsyncFn(&SendRequest<Bytes>, &str) -> Option<u64> + Copy + 'static,
) -> Calls {
    on_one_thread(async {
        let send = connect(subject).await;
        let (all, ids) = (Rc::new(RefCell::new(latency())), Rc::new(RefCell::new(Vec::new())));
        let before = subject.process.used();
        let started = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (send, all, ids) = (send.clone(), all.clone(), ids.clone());
                let authority = subject.address.to_string();
                tokio::task::spawn_local(async move {
                    while started.elapsed() < time {
                        let asked = Instant::now();
                        let id = ask(&send, &authority).await;
                        all.borrow_mut().saturating_record(asked.elapsed().as_micros() as u64);
                        ids.borrow_mut().extend(id);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no caller panics");
        }
        let took = started.elapsed().as_secs_f64();
        let used = subject.process.used() - before;
        let mut ids = ids.take();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id was given twice");
        let latency = all.replace(latency());
        let calls = latency.len() as f64;
        Calls { latency, per_second: calls / took, cpu_us: used.as_secs_f64() * 1e6 / calls }
    })
}

/// The body of an answer that is 200.
pub async fn get(send: &SendRequest<Bytes>, authority: &str, path: &str) -> Bytes {
    let uri = format!("http://{authority}{path}");
    let request = Request::builder().method(Method::GET).uri(uri).body(()).expect("a request");
    let mut send = send.clone().ready().await.expect("room for a stream");
    let (response, _) = send.send_request(request, true).expect("it is sent");
    let (head, mut body) = response.await.expect("an answer").into_parts();
    assert_eq!(head.status, 200);
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        body.flow_control().release_capacity(data.len()).expect("a window");
        whole.extend_from_slice(&data);
    }
    whole.freeze()
}

pub fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work)
}

pub async fn connect(subject: &Subject) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(subject.address).await.expect("a connection");
    stream.set_nodelay(true).expect("TCP");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(4 << 20).initial_connection_window_size(16 << 20).max_frame_size(64 << 10);
    let (send, connection) = builder.handshake(stream).await.expect("HTTP/2");
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    send
}
