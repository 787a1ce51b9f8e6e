//! HTTP/1.1 on a blocking socket: one connection, kept, and its last answer.

use crate::subjects::Subject;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
    body: std::ops::Range<usize>,
}

impl Connection {
    pub fn open(subject: &Subject) -> Connection {
        Connection::to(subject.address)
    }

    pub fn to(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("TCP");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("TCP");
        Connection { stream, host: address.to_string(), buffer: Vec::with_capacity(1 << 17), body: 0..0 }
    }

    /// The status of an answer that says how long it is.
    pub fn get(&mut self, path: &str) -> u16 {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host))
    }

    /// The same, in this representation.
    pub fn get_as(&mut self, path: &str, accept: &str) -> u16 {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: {accept}\r\n\r\n", self.host))
    }

    fn ask(&mut self, request: &str) -> u16 {
        self.stream.write_all(request.as_bytes()).expect("it is sent");
        self.buffer.clear();
        let head = loop {
            self.more();
            if let Some(head) = Head::of(&self.buffer) {
                break head;
            }
        };
        self.body = head.bytes..head.bytes + head.length;
        while self.buffer.len() < self.body.end {
            self.more();
        }
        head.status
    }

    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    fn more(&mut self) {
        let had = self.buffer.len();
        self.buffer.resize(had + (1 << 16), 0);
        let got = self.stream.read(&mut self.buffer[had..]).expect("an answer");
        assert!(got > 0, "the connection ended");
        self.buffer.truncate(had + got);
    }
}

/// What an answer says of itself before its body.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub status: u16,
    /// Of the body.
    pub length: usize,
    /// Of this head.
    pub bytes: usize,
}

impl Head {
    /// Once all of it is there. An answer that does not say how long it is has no place here.
    pub fn of(buffer: &[u8]) -> Option<Head> {
        let bytes = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let text = std::str::from_utf8(&buffer[..bytes]).expect("text");
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = text
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("content-length")))
            .and_then(|(_, length)| length.parse().ok())
            .expect("a length");
        Some(Head { status, length, bytes })
    }
}
