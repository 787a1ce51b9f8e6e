//! Servers that are not Meridian: each request gets what the test says.

use crate::support::drop_syns;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What a fake does with a request.
pub enum Act {
    /// The ids it asks for.
    Give,
    /// The same, late.
    Late(Duration),
    /// A whole answer, and the connection stays.
    Say(String),
    /// These bytes, and the connection ends.
    Leave(&'static str),
    /// No answer, until the client goes away.
    Hang,
}

pub struct Fake {
    pub address: SocketAddr,
    pub requests: Arc<AtomicU64>,
    /// Connections open now.
    pub open: Arc<AtomicU64>,
}

impl Fake {
    /// A server of this datacenter on loopback that lives as long as the test process. `act` gets the number of the
    /// request, from 0.
    pub fn start(datacenter: u64, act: impl Fn(u64) -> Act + Send + Sync + 'static) -> Fake {
        Fake::listen(TcpListener::bind("127.0.0.1:0").unwrap(), datacenter, act)
    }

    pub fn listen(listener: TcpListener, datacenter: u64, act: impl Fn(u64) -> Act + Send + Sync + 'static) -> Fake {
        let address = listener.local_addr().unwrap();
        let (requests, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (act, ids) = (Arc::new(act), Arc::new(AtomicU64::new(4_096)));
        let fake = Fake { address, requests: requests.clone(), open: open.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (act, ids, requests, open) = (act.clone(), ids.clone(), requests.clone(), open.clone());
                thread::spawn(move || {
                    open.fetch_add(1, SeqCst);
                    let _ = serve(stream.unwrap(), &*act, datacenter, &ids, &requests); // who leaves is no news
                    open.fetch_sub(1, SeqCst);
                });
            }
        });
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

fn serve(
    mut stream: TcpStream,
    act: &impl Fn(u64) -> Act,
    datacenter: u64,
    ids: &AtomicU64,
    requests: &AtomicU64,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let count = head.split_once("count=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or(1);
        match act(requests.fetch_add(1, Relaxed)) {
            Act::Give => stream.write_all(ranges(datacenter, ids, count).as_bytes())?,
            Act::Late(by) => {
                // The ids are those of the moment of the request, as a node's would be.
                let answer = ranges(datacenter, ids, count);
                thread::sleep(by);
                stream.write_all(answer.as_bytes())?;
            }
            Act::Say(answer) => stream.write_all(answer.as_bytes())?,
            Act::Leave(bytes) => return stream.write_all(bytes.as_bytes()),
            Act::Hang => {
                reader.read_to_end(&mut Vec::new())?;
            }
        }
    }
}

pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

pub fn problem(status: &str, code: &str, retry_after_ms: u64) -> Act {
    Act::Say(answer(status, "", &format!(r#"{{"code":"{code}","retry_after_ms":{retry_after_ms}}}"#)))
}

/// The next ids of worker 5.
fn ranges(datacenter: u64, ids: &AtomicU64, count: u64) -> String {
    let from = ids.fetch_add(count, Relaxed);
    let mut ranges = Vec::new();
    let mut next = from;
    while next < from + count {
        let end = (next / 4_096 * 4_096 + 4_096).min(from + count);
        let first = (next >> 12) << 22 | datacenter << 17 | 5 << 12 | next & 4_095;
        ranges.push(format!(r#"{{"first":"{first}","count":{}}}"#, end - next));
        next = end;
    }
    answer("200 OK", "", &format!(r#"{{"layout":"snowflake64","ranges":[{}]}}"#, ranges.join(",")))
}

/// An address on which nobody listens.
pub fn closed() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

/// An address that answers no SYN.
pub struct BlackHole {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub fn new() -> BlackHole {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let queue = drop_syns(&listener);
        BlackHole { listener, _queue: queue }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}
