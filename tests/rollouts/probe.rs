//! A kubelet's probe: a GET on a connection of its own, and how often it must say the same.

use crate::template::Probe;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One question. Good is a status from 200 to 399, within the time-out.
pub fn ask(ip: IpAddr, probe: &Probe) -> bool {
    status(SocketAddr::new(ip, probe.port), &probe.path, probe.timeout)
        .is_some_and(|status| (200..400).contains(&status))
}

fn status(address: SocketAddr, path: &str, within: Duration) -> Option<u16> {
    let begun = Instant::now();
    let left = || within.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
    let mut stream = TcpStream::connect_timeout(&address, within).ok()?;
    stream.set_read_timeout(left()).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: kube-probe\r\nconnection: close\r\n\r\n")
        .ok()?;
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while !head.contains(&b'\n') {
        stream.set_read_timeout(Some(left()?)).ok()?;
        match stream.read(&mut buffer) {
            Ok(length @ 1..) => head.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
    String::from_utf8_lossy(&head).split(' ').nth(1)?.parse().ok()
}

/// What a probe's answers amount to.
#[derive(Debug)]
pub struct Verdict {
    good: bool,
    contrary: usize,
}

impl Verdict {
    /// Readiness begins as not ready, liveness as alive.
    pub fn begins(good: bool) -> Verdict {
        Verdict { good, contrary: 0 }
    }

    pub fn hear(&mut self, good: bool, probe: &Probe) -> bool {
        self.contrary = if good == self.good { 0 } else { self.contrary + 1 };
        if self.contrary >= if good { probe.successes } else { probe.failures } {
            (self.good, self.contrary) = (good, 0);
        }
        self.good
    }
}
