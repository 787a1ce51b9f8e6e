//! Another region, as far as its health goes: answers every GET with 200 or 503, as it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

pub struct Peer {
    address: SocketAddr,
    well: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    pub fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (well, over) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let (answers, ends) = (well.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let _ = stream.read(&mut [0; 4_096]);
                let line = if answers.load(Relaxed) { "200 OK" } else { "503 Service Unavailable" };
                let _ = write!(stream, "HTTP/1.1 {line}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            }
        });
        Peer { address, well, over, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set_well(&self, well: bool) {
        self.well.store(well, Relaxed);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        let _ = std::net::TcpStream::connect(self.address); // so that it looks
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
