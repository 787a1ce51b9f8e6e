//! Single ids over HTTP/1.1, offered at a rate whatever is answered: one thread, many connections. A thread for each would
//! cost the client more than the server.

use crate::connection::Head;
use crate::epoll::Epoll;
use crate::process::own_time;
use crate::rate::{Latency, latency, only_id, precise_timers};
use crate::subjects::Subject;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long answers may take that are under way when nothing more is asked.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What a rate found.
pub struct Offered {
    /// Answers with an id, within the time.
    pub answered_per_second: f64,
    /// From when a request was due.
    pub latency: Latency,
    /// Said no (503).
    pub refused: u64,
    /// Not answered, or not well.
    pub errors: u64,
    /// Shares of a processor.
    pub server: f64,
    pub client: f64,
    pub ids: Vec<u64>,
}

/// So many requests a second. Each is due at its time, and is sent by the first connection that is free; its latency counts
/// from when it was due. What could not be sent by the end counts with as long as it had waited by then.
pub fn offer(subject: &Subject, rate: u64, connections: usize, time: Duration) -> Offered {
    precise_timers();
    let mut client = Client::open(subject.address, connections);
    let (server, own) = (subject.process.used(), own_time());
    let started = Instant::now();
    let due = |n: u64| started + Duration::from_nanos(n * 1_000_000_000 / rate);
    let (all, end) = ((rate as f64 * time.as_secs_f64()) as u64, started + time);
    let mut next = 0;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        while next < all && due(next) <= now && client.ask(due(next)) {
            next += 1;
        }
        let until = if client.free.is_empty() || next == all { end } else { due(next) };
        client.listen(until.saturating_duration_since(Instant::now()));
    }
    let took = started.elapsed().as_secs_f64();
    let answered_per_second = client.ids.len() as f64 / took;
    let server = (subject.process.used() - server).as_secs_f64() / took;
    let own = (own_time() - own).as_secs_f64() / took;
    for n in next..all {
        client.latency.saturating_record(end.saturating_duration_since(due(n)).as_micros() as u64);
    }
    while client.free.len() < connections && end.elapsed() < LAST_ANSWERS {
        client.listen(Duration::from_millis(100));
    }
    let errors = client.errors + (connections - client.free.len()) as u64;
    let Client { latency, refused, ids, .. } = client;
    Offered { answered_per_second, latency, refused, errors, server, client: own, ids }
}

struct Client {
    address: SocketAddr,
    request: Vec<u8>,
    lines: Vec<Line>,
    /// Lines without a request, the one that has been so for longest first: all take part at any rate.
    free: VecDeque<usize>,
    epoll: Epoll,
    latency: Latency,
    refused: u64,
    errors: u64,
    ids: Vec<u64>,
}

/// A connection with one request at most.
struct Line {
    stream: TcpStream,
    /// When its request was due.
    due: Option<Instant>,
    buffer: Vec<u8>,
}

impl Line {
    fn open(address: SocketAddr) -> Line {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP");
        stream.set_nonblocking(true).expect("TCP");
        Line { stream, due: None, buffer: Vec::with_capacity(1 << 10) }
    }

    /// Whether it still stands. Level-triggered: what is left to read is told of again.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(read) => {
                self.buffer.extend_from_slice(&bytes[..read]);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Status and id of an answer that is there as a whole.
    fn answer(&self) -> Option<(u16, u64)> {
        let head = Head::of(&self.buffer)?;
        let body = self.buffer.get(head.bytes..head.bytes + head.length)?;
        Some((head.status, if head.status == 200 { only_id(body) } else { 0 }))
    }
}

impl Client {
    fn open(address: SocketAddr, connections: usize) -> Client {
        let epoll = Epoll::new(connections);
        let lines: Vec<Line> = (0..connections).map(|_| Line::open(address)).collect();
        for (number, line) in lines.iter().enumerate() {
            epoll.watch(&line.stream, number);
        }
        Client {
            address,
            request: format!("GET /api/v1/id HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
            lines,
            free: (0..connections).collect(),
            epoll,
            latency: latency(),
            refused: 0,
            errors: 0,
            ids: Vec::new(),
        }
    }

    /// Sends a request that was due then, if a connection is free.
    fn ask(&mut self, due: Instant) -> bool {
        let Some(number) = self.free.pop_front() else { return false };
        let line = &mut self.lines[number];
        line.due = Some(due);
        // A request is far smaller than a socket's buffer, so it goes as a whole or not at all.
        if line.stream.write_all(&self.request).is_err() {
            self.lost(number);
        }
        true
    }

    /// Takes the answers that come within this time, until there are some.
    fn listen(&mut self, most: Duration) {
        let ready: Vec<usize> = self.epoll.wait(most).collect();
        for number in ready {
            let line = &mut self.lines[number];
            let stands = line.read();
            let Some((status, id)) = line.answer() else {
                if !stands {
                    self.lost(number);
                }
                continue;
            };
            let due = line.due.take().expect("nobody answers who was not asked");
            match status {
                200 => {
                    self.ids.push(id);
                    self.latency.saturating_record(due.elapsed().as_micros() as u64);
                }
                503 => self.refused += 1,
                _ => self.errors += 1,
            }
            line.buffer.clear();
            self.free.push_back(number);
        }
    }

    /// Connects anew. A request that was under way is an error; without one the server was free to close.
    fn lost(&mut self, number: usize) {
        let asked = self.lines[number].due.is_some();
        self.lines[number] = Line::open(self.address);
        self.epoll.watch(&self.lines[number].stream, number);
        if asked {
            self.errors += 1;
            self.free.push_back(number);
        }
    }
}
