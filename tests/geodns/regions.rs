//! Regions that are nothing but a health check: well, ill, or not there at all, as the test says.

use super::support::own_address;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often other ports are tried when one is not free on all addresses.
const TRIES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 200.
    Well,
    /// 503.
    Ill,
    /// Nobody listens.
    Gone,
}

/// Load balancers by any name, each on an address of its own, all on one port, because engines probe one port.
pub struct Regions {
    pub port: u16,
    stubs: BTreeMap<String, Stub>,
}

struct Stub {
    address: SocketAddr,
    /// None while the region is gone.
    listening: Mutex<Option<Listening>>,
}

impl Regions {
    /// All well.
    pub fn start(names: &[&str]) -> Regions {
        for _ in 0..TRIES {
            let addresses: Vec<IpAddr> = names.iter().map(|_| own_address()).collect();
            let first = TcpListener::bind((addresses[0], 0)).expect("a free port");
            let port = first.local_addr().expect("a bound port").port();
            drop(first);
            let bound: Result<Vec<_>, _> =
                addresses.iter().map(|address| TcpListener::bind((*address, port))).collect();
            let Ok(bound) = bound else { continue };
            let stub = |(name, listener): (&&str, TcpListener)| {
                let address = listener.local_addr().expect("a bound port");
                let listening = Mutex::new(Some(Listening::start(listener)));
                ((*name).to_owned(), Stub { address, listening })
            };
            return Regions { port, stubs: names.iter().zip(bound).map(stub).collect() };
        }
        panic!("no port is free on {} addresses", names.len());
    }

    pub fn address(&self, name: &str) -> IpAddr {
        self.stubs[name].address.ip()
    }

    pub fn set(&self, name: &str, state: State) {
        let Stub { address, listening } = &self.stubs[name];
        let mut listening = listening.lock().expect("nothing panics under it");
        if state == State::Gone {
            *listening = None;
            return;
        }
        let listening = listening.get_or_insert_with(|| {
            Listening::start(TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} again: {error}")))
        });
        listening.told.well.store(state == State::Well, Ordering::Relaxed);
    }
}

/// A thread that answers. Dropped: joined, and nobody listens any more.
struct Listening {
    address: SocketAddr,
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

struct Told {
    well: AtomicBool,
    stop: AtomicBool,
}

impl Listening {
    fn start(listener: TcpListener) -> Listening {
        let address = listener.local_addr().expect("a bound port");
        let told = Arc::new(Told { well: AtomicBool::new(true), stop: AtomicBool::new(false) });
        let thread = std::thread::spawn({
            let told = told.clone();
            move || {
                for stream in listener.incoming().flatten() {
                    if told.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _ = answer(stream, told.well.load(Ordering::Relaxed));
                }
            }
        });
        Listening { address, told, thread: Some(thread) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.told.stop.store(true, Ordering::Relaxed);
        // Wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Like a node: a body of more than a few bytes, which gdnsd wants to see.
fn answer(mut stream: TcpStream, well: bool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = Vec::new();
    let mut some = [0; 1024];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut some)? {
            0 => return Ok(()),
            bytes => head.extend_from_slice(&some[..bytes]),
        }
    }
    let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let (status, body) = match (path == b"/api/v1/region/health", well) {
        (false, _) => ("404 Not Found", "{\"status\":\"no such path\"}"),
        (true, true) => ("200 OK", "{\"status\":\"pass\",\"workers\":{\"live\":4}}"),
        (true, false) => ("503 Service Unavailable", "{\"status\":\"fail\",\"workers\":{\"live\":0}}"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/health+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
