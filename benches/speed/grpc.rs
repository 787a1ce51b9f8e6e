//! gRPC over one connection, spoken by hand: a client library would cost more than what is measured. Requests of Meridian
//! and of ferroid-tonic-server look the same on the wire (field 1: how many), and so do their answers (field 1: eight
//! little-endian bytes an id).

use crate::rate::{Bulk, Latency, latency};
use crate::subjects::Subject;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use hyper::{HeaderMap, Method, Request};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// A call: `/package.Service/Method`, and whether ids of one answer rise as one worker's do.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub path: &'static str,
    pub rises: bool,
}

/// One stream of so many ids after the other, every id read and compared with the one before.
pub fn streams(subject: &Subject, call: Call, ids: u64, time: Duration) -> Bulk {
    on_one_thread(async {
        let send = connect(subject).await;
        let before = subject.process.used();
        let started = Instant::now();
        let (mut all, mut last) = (0, 0);
        while started.elapsed() < time {
            let mut reader = Reader::default();
            let mut answer = begin(&send, subject, call, ids).await;
            while let Some(data) = answer.data().await {
                let data = data.expect("data");
                answer.flow_control().release_capacity(data.len()).expect("a window");
                reader.take(data, |id| {
                    assert!(!call.rises || id > last, "{id} after {last}: one worker's ids rise");
                    last = id;
                });
            }
            ended_well(answer.trailers().await.expect("trailers"));
            assert_eq!(reader.ids, ids);
            all += ids;
        }
        let took = started.elapsed().as_secs_f64();
        Bulk { ids_per_second: all as f64 / took, cpu: (subject.process.used() - before).as_secs_f64() / took }
    })
}

pub struct Calls {
    pub latency: Latency,
    pub per_second: f64,
    /// Processor time of the server a call, in microseconds.
    pub cpu_us: f64,
}

/// So many callers, each asking for one id after the other.
pub fn singles(subject: &Subject, call: Call, callers: usize, time: Duration) -> Calls {
    on_one_thread(async {
        let send = connect(subject).await;
        let (all, ids) = (Rc::new(RefCell::new(latency())), Rc::new(RefCell::new(Vec::new())));
        let before = subject.process.used();
        let started = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (send, all, ids) = (send.clone(), all.clone(), ids.clone());
                let address = subject.address.to_string();
                tokio::task::spawn_local(async move {
                    while started.elapsed() < time {
                        let asked = Instant::now();
                        let mut reader = Reader::default();
                        let mut answer = begin_at(&send, &address, call, 1).await;
                        while let Some(data) = answer.data().await {
                            let data = data.expect("data");
                            answer.flow_control().release_capacity(data.len()).expect("a window");
                            reader.take(data, |id| ids.borrow_mut().push(id));
                        }
                        ended_well(answer.trailers().await.expect("trailers"));
                        assert_eq!(reader.ids, 1);
                        all.borrow_mut().saturating_record(asked.elapsed().as_micros() as u64);
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
        Calls { latency, per_second: count as f64 / took, cpu_us: used.as_secs_f64() * 1e6 / count as f64 }
    })
}

fn on_one_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, work)
}

async fn connect(subject: &Subject) -> SendRequest<Bytes> {
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

async fn begin(send: &SendRequest<Bytes>, subject: &Subject, call: Call, count: u64) -> h2::RecvStream {
    begin_at(send, &subject.address.to_string(), call, count).await
}

async fn begin_at(send: &SendRequest<Bytes>, authority: &str, call: Call, count: u64) -> h2::RecvStream {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{authority}{}", call.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let mut send = send.clone().ready().await.expect("room for a stream");
    let (response, mut body) = send.send_request(request, false).expect("it is sent");
    body.send_data(message(count), true).expect("it is sent");
    let response = response.await.expect("an answer");
    let (head, body) = response.into_parts();
    assert_eq!(head.status, 200);
    if head.headers.contains_key("grpc-status") {
        ended_well(Some(head.headers));
    }
    body
}

/// Field 1, a number, with gRPC's five bytes before it.
fn message(count: u64) -> Bytes {
    let mut varint = Vec::new();
    let mut left = count;
    while left > 0x7f {
        varint.push(left as u8 | 0x80);
        left >>= 7;
    }
    varint.push(left as u8);
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(1 + varint.len() as u32);
    message.put_u8(1 << 3);
    message.put_slice(&varint);
    message.freeze()
}

fn ended_well(trailers: Option<HeaderMap>) {
    let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    assert_eq!(status.map(|status| status.as_bytes()), Some(&b"0"[..]), "{trailers:?}");
}

/// Reads ids out of messages as their bytes come.
#[derive(Default)]
struct Reader {
    left: BytesMut,
    /// Bytes of ids still to come of the present message.
    body: usize,
    ids: u64,
}

impl Reader {
    fn take(&mut self, data: Bytes, mut id: impl FnMut(u64)) {
        self.left.extend_from_slice(&data);
        loop {
            while self.body >= 8 && self.left.len() >= 8 {
                let n = self.body.min(self.left.len()) / 8 * 8;
                for eight in self.left[..n].chunks_exact(8) {
                    id(u64::from_le_bytes(eight.try_into().expect("eight bytes")));
                }
                self.left.advance(n);
                self.body -= n;
                self.ids += n as u64 / 8;
            }
            if self.body > 0 || !self.head() {
                return;
            }
        }
    }

    /// Prefix, tag and length of the next message, once they are all there.
    fn head(&mut self) -> bool {
        let Some(digits) = self.left.get(6..).and_then(|rest| rest.iter().position(|byte| byte & 0x80 == 0)) else {
            return false;
        };
        assert_eq!((self.left[0], self.left[5]), (0, 1 << 3 | 2), "not compressed, field 1");
        let length = self.left[6..=6 + digits].iter().rev().fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
        self.left.advance(7 + digits);
        self.body = length;
        true
    }
}
