//! A wire between a client and a server that breaks or slows down on command, in both directions or in one.
//!
//! While a way is cut its bytes are swallowed, as a network would: connections stay up, nobody is told. Healing closes
//! the connections that lost bytes, because a stream with a hole in it is not a stream.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const MAX_CONNECTIONS: usize = 64;
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// On loopback a connection that is not made by then is not made: its SYN was dropped.
const DROPPED_AFTER: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the server to the client: requests are done, their answers lost.
    Answers,
    /// From the client to the server.
    Requests,
    Both,
}

pub struct Proxy {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    wire: Arc<Mutex<Wire>>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Wire {
    cut: Option<Way>,
    /// How long everything is under way, each time it is forwarded.
    delay: Duration,
    /// The next request with these bytes in it goes through, and no answer comes back.
    last_words: Option<Vec<u8>>,
    closed: bool,
    /// Nobody is accepted any more.
    deaf: bool,
    /// Connections that nobody serves.
    unserved: Vec<TcpStream>,
    connections: Vec<Connection>,
    /// Bytes swallowed, by way: answers, requests.
    swallowed: [usize; 2],
    pumps: Vec<JoinHandle<()>>,
    accepted: u64,
}

struct Connection {
    number: u64,
    client: TcpStream,
    server: TcpStream,
    lossy: bool,
}

impl Connection {
    fn close(&self) {
        // It may be closed already, which is as good.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// A proxy on a free port of loopback, to a server that need not run yet.
    pub fn to(upstream: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (listener, wire) = (Arc::new(listener), Arc::new(Mutex::new(Wire::default())));
        let acceptor = std::thread::spawn({
            let (listener, wire) = (listener.clone(), wire.clone());
            move || accept(&listener, upstream, &wire)
        });
        Proxy { address, listener, wire, acceptor: Some(acceptor) }
    }

    pub fn connect_string(&self) -> String {
        self.address.to_string()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on swallows what goes this way, of all connections, also of new ones.
    pub fn cut(&self, way: Way) {
        self.wire.lock().expect("no panic under it").cut = Some(way);
    }

    /// From now on swallows everything, and drops the SYNs of new connections. There is no way back.
    pub fn become_black_hole(&mut self) {
        {
            let mut wire = self.wire.lock().expect("no panic under it");
            (wire.cut, wire.deaf) = (Some(Way::Both), true);
        }
        self.end_acceptor();
        let queue = drop_syns(&self.listener);
        self.wire.lock().expect("no panic under it").unserved.extend(queue);
    }

    /// It looks at what it is told whenever somebody connects.
    fn end_acceptor(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_BOUND);
        let _ = acceptor.join();
    }

    /// From now on everything takes this much longer, each way. Zero: as fast as it can again.
    pub fn slow(&self, delay: Duration) {
        self.wire.lock().expect("no panic under it").delay = delay;
    }

    /// The next request that contains these bytes is forwarded; its answer, and all later ones, are swallowed.
    pub fn cut_answer_to(&self, request: &str) {
        self.wire.lock().expect("no panic under it").last_words = Some(request.as_bytes().to_vec());
    }

    /// Forwards again, and closes the connections that lost something.
    pub fn heal(&self) {
        let mut wire = self.wire.lock().expect("no panic under it");
        wire.cut = None;
        wire.last_words = None;
        wire.connections.retain(|connection| {
            if connection.lossy {
                connection.close();
            }
            !connection.lossy
        });
    }

    /// Closes all connections; new ones are forwarded.
    pub fn sever(&self) {
        for connection in self.wire.lock().expect("no panic under it").connections.drain(..) {
            connection.close();
        }
    }

    /// How many bytes were swallowed on a way since the start.
    pub fn swallowed(&self, way: Way) -> usize {
        let [answers, requests] = self.wire.lock().expect("no panic under it").swallowed;
        match way {
            Way::Answers => answers,
            Way::Requests => requests,
            Way::Both => answers + requests,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        {
            let mut wire = self.wire.lock().expect("no panic under it");
            wire.closed = true;
            wire.connections.drain(..).for_each(|connection| connection.close());
        }
        self.end_acceptor();
        let pumps = std::mem::take(&mut self.wire.lock().expect("no panic under it").pumps);
        for pump in pumps {
            let _ = pump.join();
        }
    }
}

/// From now on this listener's SYNs are dropped: its queue is full, and nobody empties it while the answer is held.
pub fn drop_syns(listener: &TcpListener) -> Vec<TcpStream> {
    // SAFETY: a plain system call on a descriptor that is open.
    let outcome = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
    let address = listener.local_addr().expect("a bound port");
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, DROPPED_AFTER) {
        queue.push(stream);
        assert!(queue.len() < 1_000, "the queue does not fill");
    }
    queue
}

fn accept(listener: &TcpListener, upstream: SocketAddr, wire: &Arc<Mutex<Wire>>) {
    for client in listener.incoming() {
        {
            let mut wire = wire.lock().expect("no panic under it");
            if wire.closed {
                return;
            }
            if wire.deaf {
                wire.unserved.extend(client);
                return;
            }
        }
        // No server: the client is hung up on, as if it had been refused.
        let (Ok(client), Ok(server)) = (client, TcpStream::connect_timeout(&upstream, CONNECT_BOUND)) else {
            continue;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(from_client), Ok(from_server)) = (client.try_clone(), server.try_clone()) else { continue };
        let (Ok(to_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { continue };
        let mut guard = wire.lock().expect("no panic under it");
        if guard.closed {
            return;
        }
        if guard.connections.len() >= MAX_CONNECTIONS {
            continue;
        }
        guard.accepted += 1;
        let number = guard.accepted;
        guard.connections.push(Connection { number, client, server, lossy: false });
        guard.pumps.retain(|pump| !pump.is_finished());
        for (from, to, way) in [(from_server, to_client, Way::Answers), (from_client, to_server, Way::Requests)] {
            let wire = wire.clone();
            guard.pumps.push(std::thread::spawn(move || pump(from, to, way, number, &wire)));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, number: u64, wire: &Mutex<Wire>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let (swallow, delay) = {
            let mut wire = wire.lock().expect("no panic under it");
            if way == Way::Requests && wire.last_words.as_ref().is_some_and(|words| contains(&buffer[..length], words))
            {
                // Before the request goes on, so that its answer finds the way closed.
                wire.last_words = None;
                wire.cut = Some(Way::Answers);
            }
            let swallow = matches!(wire.cut, Some(cut) if cut == way || cut == Way::Both);
            if swallow {
                wire.swallowed[usize::from(way == Way::Requests)] += length;
                if let Some(connection) = wire.connections.iter_mut().find(|connection| connection.number == number) {
                    connection.lossy = true;
                }
            }
            (swallow, wire.delay)
        };
        std::thread::sleep(delay);
        if !swallow && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    // Forgotten once either side is gone, so that the bound counts living connections.
    wire.lock().expect("no panic under it").connections.retain(|connection| connection.number != number);
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}
