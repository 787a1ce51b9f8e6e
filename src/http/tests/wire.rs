//! Clients: a raw one that sends exactly the bytes it is given, and hyper's for either version.

use super::within;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// One request over a connection of its own.
pub async fn ask(to: SocketAddr, version: Version, request: &str) -> Got {
    let (method, rest) = request.split_once(' ').unwrap();
    let (path, accept) = rest.split_once(' ').unwrap_or((rest, ""));
    let uri = format!("http://{to}{path}");
    let mut request = Request::builder().method(method).uri(uri);
    if !accept.is_empty() {
        request = request.header("accept", accept);
    }
    if version == Version::One {
        request = request.header("host", to.to_string());
    }
    send(to, version, request.body(Full::default()).unwrap()).await
}

pub async fn get(to: SocketAddr, request: &str) -> Got {
    ask(to, Version::One, request).await
}

pub async fn send(to: SocketAddr, version: Version, request: Request<Full<Bytes>>) -> Got {
    let io = TokioIo::new(TcpStream::connect(to).await.unwrap());
    let response = match version {
        Version::One => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            within(sender.send_request(request)).await
        }
        Version::Two => {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            within(sender.send_request(request)).await
        }
    };
    collect(response.unwrap()).await
}

pub async fn collect(response: Response<hyper::body::Incoming>) -> Got {
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    Got { status: head.status, headers: head.headers, body }
}

/// A connection that sends bytes as they are.
pub struct Raw {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Raw {
    pub async fn connect(to: SocketAddr) -> Raw {
        Raw { stream: TcpStream::connect(to).await.unwrap(), unread: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The server may have hung up: that is not this write's affair.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within(self.stream.write_all(bytes.as_ref())).await;
    }

    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer, which has a length or is chunked; `None` when the server has closed.
    pub async fn answer(&mut self) -> Option<Got> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                assert!(self.unread.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(&self.unread));
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(hyper::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let length = headers.get("content-length").expect("a length").to_str().unwrap().parse().unwrap();
        while self.unread.len() < length {
            assert!(self.fill().await, "the body broke off");
        }
        Some(Got { status, headers, body: self.unread.drain(..length).collect::<Vec<u8>>().into() })
    }

    /// Asks with a body that has not come yet, and returns when the server is waiting for it.
    pub async fn ask_with_body_to_come(&mut self, request: &str, length: usize) {
        self.send(format!("{request} HTTP/1.1\r\ncontent-length: {length}\r\nexpect: 100-continue\r\n\r\n")).await;
        let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
        while self.unread.len() < go_on.len() {
            assert!(self.fill().await, "closed instead of asking for the body");
        }
        assert_eq!(self.unread.drain(..).collect::<Vec<u8>>(), go_on);
    }

    /// Everything until the server closes, or resets.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.unread)
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match within(self.stream.read(&mut buffer)).await {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                true
            }
        }
    }
}
