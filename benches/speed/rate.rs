//! Requests over HTTP/1.1 on blocking sockets: at a fixed rate, or large ones one after the other.

use crate::connection::Connection;
use crate::process;
use crate::subjects::Subject;
use hdrhistogram::Histogram;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Microseconds from when a request was due until its answer was there.
pub type Latency = Histogram<u64>;

pub fn latency() -> Latency {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds in order")
}

/// What a fixed rate found.
pub struct Paced {
    pub latency: Latency,
    pub errors: u64,
    /// Share of a processor the server used.
    pub cpu: f64,
    pub per_second: f64,
    pub ids: Vec<u64>,
}

/// Where the client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// On processors of its own: each request and each answer wakes the other's.
    Apart,
    /// On the server's own: nothing wakes another processor.
    Together,
}

/// Asks at a fixed rate over these many connections, each with a thread of its own. A request is due at its time whatever
/// became of those before it, and its latency counts from then: a server that stands still cannot hide it.
pub fn fixed(subject: &Subject, rate: u64, connections: u64, time: Duration, beside: Beside) -> Paced {
    let every = Duration::from_nanos(1_000_000_000 * connections / rate);
    let before = subject.process.used();
    let started = Instant::now() + Duration::from_millis(20);
    let threads: Vec<_> = (0..connections)
        .map(|n| {
            let mut connection = Connection::open(subject);
            let first = started + every * n as u32 / connections as u32;
            std::thread::spawn(move || {
                precise_timers();
                if beside == Beside::Together {
                    assert!(process::stay_on([process::SERVERS].into_iter()), "the servers' processor is there");
                }
                let (mut latency, mut errors, mut ids) = (latency(), 0, Vec::new());
                let mut due = first;
                while due < started + time {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    match connection.get("/api/v1/id") {
                        200 => {
                            latency.saturating_record(due.elapsed().as_micros() as u64);
                            ids.push(only_id(connection.body()));
                        }
                        _ => errors += 1,
                    }
                    due += every;
                }
                (latency, errors, ids)
            })
        })
        .collect();
    let (mut all, mut errors, mut ids) = (latency(), 0, Vec::new());
    for thread in threads {
        let (latency, failed, given) = thread.join().expect("no caller panics");
        all.add(latency).expect("the same bounds");
        errors += failed;
        ids.extend(given);
    }
    let took = started.elapsed().as_secs_f64();
    let cpu = (subject.process.used() - before).as_secs_f64() / took;
    Paced { errors, cpu, per_second: all.len() as f64 / took, latency: all, ids }
}

/// What those found who want many ids, one request after the other.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    pub ids_per_second: f64,
    pub cpu: f64,
}

/// Lists of ids as JSON on one connection, each id read and compared with the one before.
pub fn lists(subject: &Subject, count: usize, time: Duration) -> Bulk {
    let mut last = 0u64;
    bulk(subject, &format!("/api/v1/ids?count={count}"), "application/json", time, |body| {
        let (mut id, mut seen) = (0u64, 0);
        for byte in body {
            match byte {
                b'0'..=b'9' => id = id * 10 + u64::from(byte - b'0'),
                _ if id > 0 => {
                    assert!(id > last, "{id} after {last}: one worker's ids rise");
                    (last, id, seen) = (id, 0, seen + 1);
                }
                _ => {}
            }
        }
        assert_eq!(seen, count);
        seen as u64
    })
}

/// The same, eight bytes an id.
pub fn bytes(subject: &Subject, count: u64, time: Duration) -> Bulk {
    let mut last = 0u64;
    bulk(subject, &format!("/api/v1/ids?count={count}"), "application/octet-stream", time, |body| {
        let ids = body.chunks_exact(8).map(|eight| u64::from_be_bytes(eight.try_into().expect("eight bytes")));
        for id in ids {
            assert!(id > last, "{id} after {last}: one worker's ids rise");
            last = id;
        }
        assert_eq!(body.len() as u64, count * 8);
        count
    })
}

/// Ranges as JSON, each above the one before.
pub fn ranges(subject: &Subject, count: u64, time: Duration) -> Bulk {
    let mut next = 0;
    bulk(subject, &format!("/api/v1/ranges?count={count}"), "application/json", time, |body| {
        let answer: Ranges = serde_json::from_slice(body).expect("ranges");
        let mut given = 0;
        for range in answer.ranges {
            let first: u64 = range.first.parse().expect("an id");
            assert!(first >= next, "{first} after {next}: one worker's ids rise");
            next = first + range.count;
            given += range.count;
        }
        assert_eq!(given, count);
        given
    })
}

#[derive(Deserialize)]
struct Ranges<'a> {
    #[serde(borrow)]
    ranges: Vec<Range<'a>>,
}

#[derive(Deserialize)]
struct Range<'a> {
    first: &'a str,
    count: u64,
}

/// One request after the other on one connection; how many ids a body has is what reading it says.
fn bulk(subject: &Subject, path: &str, accept: &str, time: Duration, mut read: impl FnMut(&[u8]) -> u64) -> Bulk {
    let mut connection = Connection::open(subject);
    let mut ids = 0;
    let before = subject.process.used();
    let started = Instant::now();
    while started.elapsed() < time {
        assert_eq!(connection.get_as(path, accept), 200);
        ids += read(connection.body());
    }
    let took = started.elapsed().as_secs_f64();
    Bulk { ids_per_second: ids as f64 / took, cpu: (subject.process.used() - before).as_secs_f64() / took }
}

/// Of `{"id":"…"}`.
pub fn only_id(body: &[u8]) -> u64 {
    let digits = body.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |id, digit| id * 10 + u64::from(digit - b'0'))
}

/// Lets this thread sleep to the microsecond; the kernel's own slack is 50 of them.
pub fn precise_timers() {
    // SAFETY: a plain system call; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
