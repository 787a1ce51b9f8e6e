//! The socket under a connection: tells the pulse what comes in and which HTTP it is, collects what goes out so that it leaves
//! together, turns the parser's bare refusals into problem details, and stays readable after the connection is over so
//! that the peer gets to read the last answer.

use super::problem::{Code, MEDIA_TYPE, Problem};
use super::pulse::Pulse;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at once before it is known which HTTP it is: most often the whole of a first request.
const OPENING_BYTES: usize = 1024;

/// How long and how much is read after the last answer: closing a socket with unread bytes would reset the connection
/// and take the answer away from a peer that is still sending.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// How much is collected before it is sent: a message of a gRPC stream, with what frames it.
const OUTBOX_BYTES: usize = 160 * 1024;

/// So much at once is sent as it is, if nothing was collected before it: to copy it once more would save nothing. More than a
/// frame of HTTP/2, of which several leave together.
const LARGE_BYTES: usize = 64 * 1024;

/// Who sends less than this at once keeps no more memory for it.
const KEPT_BYTES: usize = 16 * 1024;

/// Which HTTP a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// What the connection reads and writes.
#[derive(Debug)]
pub struct Socket {
    stream: OwnedReadHalf,
    pulse: Arc<Pulse>,
    /// What was read to learn the version, and nobody else has read yet.
    opening: Vec<u8>,
    outgoing: Outgoing,
}

/// What the connection has written. Who drives the connection has it too, to send what was collected.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<Mutex<Outbox>>);

#[derive(Debug)]
struct Outbox {
    stream: OwnedWriteHalf,
    /// What was collected, and how much of it is sent.
    bytes: Vec<u8>,
    sent: usize,
}

impl Socket {
    pub fn new(stream: TcpStream, pulse: Arc<Pulse>) -> (Socket, Outgoing) {
        let (reading, writing) = stream.into_split();
        let outgoing = Outgoing(Arc::new(Mutex::new(Outbox { stream: writing, bytes: Vec::new(), sent: 0 })));
        (Socket { stream: reading, pulse, opening: Vec::new(), outgoing: outgoing.clone() }, outgoing)
    }

    /// Which HTTP comes: the second one begins with its preface, and whatever else comes is left to the parser of the first.
    pub fn poll_version(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Version>> {
        loop {
            let known = self.opening.len().min(HTTP2_PREFACE.len());
            if self.opening[..known] != HTTP2_PREFACE[..known] {
                return Poll::Ready(Ok(Version::One));
            }
            if known == HTTP2_PREFACE.len() {
                self.pulse.is_http2();
                return Poll::Ready(Ok(Version::Two));
            }
            let mut bytes = [0; OPENING_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(Version::One));
            }
            self.pulse.received();
            self.opening.extend_from_slice(buffer.filled());
        }
    }
}

impl Outgoing {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Sends what was collected. The connection itself never does (but when there is too much of it, and at its end): it
    /// flushes after each answer, although the next may be ready, and each `send` wakes the peer.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox().poll_send(cx)
    }

    /// When the connection is over and dropped: sends what is left, and the last words to a peer whose request did not come in
    /// time, then reads and forgets what the peer still sends; all that for a short while.
    pub async fn linger(self, last_words: Option<Problem>) {
        let Some(outbox) = Arc::into_inner(self.0) else { return };
        let Outbox { mut stream, mut bytes, sent } = outbox.into_inner().expect("no holder of this lock panics");
        bytes.extend(last_words.map(raw).unwrap_or_default());
        let rest = async {
            if stream.write_all(&bytes[sent..]).await.is_err() {
                return;
            }
            let stream: &TcpStream = stream.as_ref();
            let mut scrap = [0u8; 4096];
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
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

impl Outbox {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.sent..]))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        // Who sends much goes on with it most often; to give the memory back each time costs a system call.
        if self.sent < KEPT_BYTES && self.bytes.capacity() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        self.sent = 0;
        self.bytes.clear();
        Poll::Ready(Ok(()))
    }

    /// Takes as much of this as there is room for.
    fn collect(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.bytes.len() >= OUTBOX_BYTES {
            ready!(self.poll_send(cx))?;
        }
        let before = self.bytes.len();
        let wanted = before + slices.iter().map(|slice| slice.len()).sum::<usize>();
        if wanted > self.bytes.capacity() {
            // Twice as much as a rule, as a vector grows by itself, but not beyond the bound.
            self.bytes.reserve_exact(wanted.next_power_of_two().min(OUTBOX_BYTES) - before);
        }
        for slice in slices {
            let room = OUTBOX_BYTES.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(Ok(self.bytes.len() - before))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.opening.is_empty() {
            let n = self.opening.len().min(buffer.remaining());
            buffer.put_slice(&self.opening[..n]);
            self.opening = self.opening.split_off(n);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut outbox = self.outgoing.outbox();
        if let [bytes] = slices
            && let Some(problem) = bare_refusal(bytes)
        {
            outbox.bytes.extend(raw(problem));
            return Poll::Ready(Ok(bytes.len()));
        }
        if outbox.bytes.is_empty() && slices.iter().map(|slice| slice.len()).sum::<usize>() >= LARGE_BYTES {
            return Pin::new(&mut outbox.stream).poll_write_vectored(cx, slices);
        }
        outbox.collect(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // see `Outgoing::poll_send`
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = self.outgoing.outbox();
        ready!(outbox.poll_send(cx))?;
        Pin::new(&mut outbox.stream).poll_shutdown(cx)
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
