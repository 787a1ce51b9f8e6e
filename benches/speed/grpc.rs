//! gRPC over one connection. Requests of Meridian and of ferroid-tonic-server look the same on the wire (field 1: how
//! many), and so do their answers (field 1: eight little-endian bytes an id).

use crate::http2::{Calls, connect, on_one_thread, singles as asked_one_by_one};
use crate::message::{Reader, message};
use crate::rate::Bulk;
use crate::subjects::Subject;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use hyper::{HeaderMap, Method, Request};
use meridian::grpc::proto::{Range, RangesResponse};
use meridian::id::SNOWFLAKE64;
use prost::Message;
use std::time::{Duration, Instant};

/// A call: `/package.Service/Method`, and whether ids of one answer rise as one worker's do.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub path: &'static str,
    pub rises: bool,
}

/// One call of so many ids after the other, every id read and compared with the one before.
pub fn ids(subject: &Subject, call: Call, ids: u64, time: Duration) -> Bulk {
    let authority = subject.address.to_string();
    bulk(subject, time, async |send, until| {
        let mut last = 0;
        read_until(until, &send, &authority, call, ids, |id| {
            assert!(!call.rises || id > last, "{id} after {last}: one worker's ids rise");
            last = id;
        })
        .await
    })
}

/// So many streams at once, from several workers; every id is compared with the one before of its worker on its stream.
pub fn of_several_workers(subject: &Subject, call: Call, ids: u64, streams: usize, time: Duration) -> Bulk {
    let workers = usize::from(SNOWFLAKE64.datacenters()) * usize::from(SNOWFLAKE64.workers());
    bulk(subject, time, async |send, until| {
        let tasks: Vec<_> = (0..streams)
            .map(|_| {
                let (send, authority) = (send.clone(), subject.address.to_string());
                let mut last = vec![0; workers];
                tokio::task::spawn_local(async move {
                    read_until(until, &send, &authority, call, ids, |id| {
                        let last = &mut last[(id >> SNOWFLAKE64.sequence_bits) as usize % workers];
                        assert!(id > *last, "{id} after {last}: one worker's ids rise");
                        *last = id;
                    })
                    .await
                })
            })
            .collect();
        let mut all = 0;
        for task in tasks {
            all += task.await.expect("no reader panics");
        }
        all
    })
}

/// One call for ranges of so many ids after the other, every range above the one before.
pub fn ranges(subject: &Subject, call: Call, ids: u64, time: Duration) -> Bulk {
    let authority = subject.address.to_string();
    bulk(subject, time, async |send, until| {
        let (mut all, mut next) = (0, 0);
        while Instant::now() < until {
            let mut answer = begin(&send, &authority, call, ids).await;
            let mut message = BytesMut::new();
            while let Some(data) = answer.data().await {
                let data = data.expect("data");
                answer.flow_control().release_capacity(data.len()).expect("a window");
                message.extend_from_slice(&data);
            }
            ended_well(answer.trailers().await.expect("trailers"));
            let answer = RangesResponse::decode(&message[5..]).expect("a message of ranges");
            let mut given = 0;
            for Range { first, count } in answer.ranges {
                assert!(first >= next, "{first} after {next}: one worker's ids rise");
                next = first + u64::from(count);
                given += u64::from(count);
            }
            assert_eq!(given, ids);
            all += given;
        }
        all
    })
}

/// So many callers, each asking for one id after the other.
pub fn singles(subject: &Subject, call: Call, callers: usize, time: Duration) -> Calls {
    asked_one_by_one(subject, callers, time, async move |send, authority| {
        let mut only = None;
        assert_eq!(read(send, authority, call, 1, |id| only = Some(id)).await, 1);
        only
    })
}

/// What work on one connection got in this time: it is given the time's end, and says how many ids it got.
fn bulk(subject: &Subject, time: Duration, work: impl AsyncFnOnce(SendRequest<Bytes>, Instant) -> u64) -> Bulk {
    on_one_thread(async {
        let send = connect(subject).await;
        let before = subject.process.used();
        let started = Instant::now();
        let ids = work(send, started + time).await;
        let took = started.elapsed().as_secs_f64();
        Bulk { ids_per_second: ids as f64 / took, cpu: (subject.process.used() - before).as_secs_f64() / took }
    })
}

/// One call after the other; how many ids came.
async fn read_until(
    until: Instant,
    send: &SendRequest<Bytes>,
    authority: &str,
    call: Call,
    ids: u64,
    mut each: impl FnMut(u64),
) -> u64 {
    let mut all = 0;
    while Instant::now() < until {
        all += read(send, authority, call, ids, &mut each).await;
    }
    all
}

/// One call, to its end.
async fn read(send: &SendRequest<Bytes>, authority: &str, call: Call, ids: u64, mut each: impl FnMut(u64)) -> u64 {
    let mut reader = Reader::default();
    let mut answer = begin(send, authority, call, ids).await;
    while let Some(data) = answer.data().await {
        let data = data.expect("data");
        answer.flow_control().release_capacity(data.len()).expect("a window");
        reader.take(data, &mut each);
    }
    ended_well(answer.trailers().await.expect("trailers"));
    assert_eq!(reader.ids, ids);
    ids
}

async fn begin(send: &SendRequest<Bytes>, authority: &str, call: Call, count: u64) -> h2::RecvStream {
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

fn ended_well(trailers: Option<HeaderMap>) {
    let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
    assert_eq!(status.map(|status| status.as_bytes()), Some(&b"0"[..]), "{trailers:?}");
}
