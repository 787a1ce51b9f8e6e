//! One request of HTTP/1.1 to a node, and its whole answer.

use super::block_until;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// From before the connection to the last byte.
    pub took: Duration,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The ids of a JSON array of strings.
    pub fn ids(&self) -> Vec<u64> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let texts: Vec<String> = serde_json::from_slice(&self.body).expect("a JSON array of strings");
        texts.iter().map(|text| text.parse().expect("a decimal id")).collect()
    }
}

/// Connects and asks, and leaves the answer to the caller. `base` is `http://ip:port`.
pub fn ask(base: &str, path: &str, accept: &str) -> io::Result<TcpStream> {
    let address: SocketAddr = base.strip_prefix("http://").and_then(|rest| rest.parse().ok()).expect("http://ip:port");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\nconnection: close\r\n\r\n")?;
    Ok(stream)
}

pub fn get(base: &str, path: &str, accept: &str) -> io::Result<Answer> {
    let started = Instant::now();
    let mut stream = ask(base, path, accept)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let took = started.elapsed();
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not an answer of HTTP/1.1");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(bad)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad())?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    let body = &bytes[end + 4..];
    let body = match head.contains("transfer-encoding: chunked") {
        true => unchunk(body).ok_or_else(bad)?,
        false => body.to_vec(),
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if length.is_some_and(|length| length.trim().parse() != Ok(body.len())) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Answer { status, body, took })
}

/// Waits until the node answers this path with 200.
pub fn await_ok(base: &str, path: &str) {
    block_until(format!("200 from {base}{path}"), || {
        get(base, path, "*/*").is_ok_and(|answer| answer.status == 200).then_some(())
    });
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 2 + size + 2..)?;
    }
}
