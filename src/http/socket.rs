//! The socket under a connection: tells the pulse what comes in, turns the parser's bare refusals into problem
//! details, and stays readable after the connection is over so that the peer gets to read the last answer.

use super::problem::{Code, MEDIA_TYPE, Problem};
use super::pulse::Pulse;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long and how much is read after the last answer: closing a socket with unread bytes would reset the connection
/// and take the answer away from a peer that is still sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// What the connection reads and writes.
#[derive(Debug)]
pub struct Socket {
    /// There until this is dropped.
    stream: Option<TcpStream>,
    after: Arc<Mutex<Option<TcpStream>>>,
    pulse: Arc<Pulse>,
    /// How much of HTTP/2's preface has come; `None` when something else came.
    preface: Option<usize>,
    /// What is written in place of a bare refusal, and how far it is.
    instead: Option<(Vec<u8>, usize)>,
}

/// What is left of a socket when its connection is over and dropped.
#[derive(Debug)]
pub struct Remains(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    pub fn new(stream: TcpStream, pulse: Arc<Pulse>) -> (Socket, Remains) {
        let after = Arc::new(Mutex::new(None));
        let remains = Remains(after.clone());
        (Socket { stream: Some(stream), after, pulse, preface: Some(0), instead: None }, remains)
    }

    fn stream(&mut self) -> Pin<&mut TcpStream> {
        Pin::new(self.stream.as_mut().expect("only dropping takes it"))
    }

    fn received(&mut self, bytes: &[u8]) {
        self.pulse.received();
        if let Some(matched) = self.preface {
            let rest = &HTTP2_PREFACE[matched..];
            let common = rest.len().min(bytes.len());
            self.preface = (rest[..common] == bytes[..common]).then_some(matched + common);
            if self.preface == Some(HTTP2_PREFACE.len()) {
                self.pulse.is_http2();
                self.preface = None;
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        *self.after.lock().expect("no holder of this lock panics") = self.stream.take();
    }
}

impl Remains {
    /// Says the last words to a peer whose request did not come in time, if there are any (they are lost if its receive
    /// buffer is full), then reads and forgets what the peer still sends, for a short while.
    pub async fn linger(self, last_words: Option<Problem>) {
        let Some(stream) = self.0.lock().expect("no holder of this lock panics").take() else { return };
        if let Some(problem) = last_words {
            let _ = stream.try_write(&raw(problem));
        }
        let mut scrap = [0u8; 4096];
        let drained = async {
            let mut total = 0;
            while total < LINGER_BYTES && stream.readable().await.is_ok() {
                match stream.try_read(&mut scrap) {
                    Ok(0) => return,
                    Ok(n) => total += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drained).await;
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(self.stream().poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.received(&buffer.filled()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() {
            match bare_refusal(bytes) {
                None => return self.stream().poll_write(cx, bytes),
                Some(problem) => self.instead = Some((raw(problem), 0)),
            }
        }
        let Socket { stream: Some(stream), instead, .. } = &mut *self else { unreachable!("only dropping takes it") };
        while let Some((text, at)) = instead
            && *at < text.len()
        {
            *at += ready!(Pin::new(&mut *stream).poll_write(cx, &text[*at..]))?;
        }
        *instead = None;
        Poll::Ready(Ok(bytes.len()))
    }

    /// Only HTTP/2 writes this way (see the server's builder).
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// The parser refuses what it cannot read with a status line, `content-length: 0` and nothing else; no answer of our own
/// looks like that. If it comes glued to an earlier answer it passes as it is.
fn bare_refusal(bytes: &[u8]) -> Option<Problem> {
    let rest = bytes.strip_prefix(b"HTTP/1.1 4").or_else(|| bytes.strip_prefix(b"HTTP/1.0 4"))?;
    let status = rest.get(..2)?;
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if bytes.len() > 256 || !bytes.ends_with(b"\r\n\r\n") || !has(b"content-length: 0\r\n") || has(b"content-type") {
        return None;
    }
    let problem = match status {
        b"00" => Problem::new(Code::RequestInvalid, "this is not HTTP; send a request as RFC 9112 says"),
        b"14" | b"31" => Problem::new(Code::HeadersTooLarge, "send fewer or shorter headers, and a shorter path"),
        _ => return None,
    };
    Some(problem)
}

/// A problem as the bytes of a last HTTP/1.1 answer.
fn raw(problem: Problem) -> Vec<u8> {
    let status = problem.code.status();
    let body = problem.document();
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    );
    [head.as_bytes(), &body].concat()
}
