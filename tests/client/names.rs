//! Names: all addresses are used, TTLs are obeyed, and those of the manifest serve while DNS does not.

use super::fake::{Act, Fake};
use super::{datacenter, direct, draw};
use crate::support::wait_for;
use meridian::client::{Client, Error, Regions, Settings};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TYPE_A: [u8; 2] = [0, 1];

/// A DNS server that answers every question for A records with these addresses and a TTL of a second.
fn dns(addresses: &Arc<Mutex<Vec<Ipv4Addr>>>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, addresses) = (socket.local_addr().unwrap(), addresses.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 1_500];
        while let Ok((_, from)) = socket.recv_from(&mut bytes) {
            // Header, then one question: labels up to an empty one, type, class.
            let name = bytes[12..].iter().position(|byte| *byte == 0).unwrap();
            let question = &bytes[12..12 + name + 5];
            let wanted = question[name + 1..name + 3] == TYPE_A;
            let known = if wanted { addresses.lock().unwrap().clone() } else { Vec::new() };
            let mut answer = bytes[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, known.len() as u8, 0, 0, 0, 0]);
            answer.extend(question);
            for ip in known {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(ip.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

/// Two addresses with one port.
fn neighbours() -> [TcpListener; 2] {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(second) = TcpListener::bind(("127.0.0.2", first.local_addr().unwrap().port())) {
            return [first, second];
        }
    }
}

#[tokio::test]
async fn all_addresses_of_a_name_are_used_and_followed() {
    let [first, second] = neighbours();
    let first = Fake::listen(first, 1, |_| Act::Give);
    let _second = Fake::listen(second, 2, |_| Act::Give);
    let addresses = Arc::new(Mutex::new(vec![Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 2)]));
    let settings = Settings { nameservers: vec![dns(&addresses)], ..direct() };
    let url = format!("http://ids.example.com:{}", first.address.port());
    let client = Client::with(Regions::at([url]).unwrap(), settings).unwrap();

    let from: HashSet<u16> = draw(&client, 50).await.into_iter().map(datacenter).collect();
    assert_eq!(from, HashSet::from([1, 2]));

    *addresses.lock().unwrap() = vec![Ipv4Addr::new(127, 0, 0, 2)];
    wait_for("the first address to be forgotten", async || (client.counters().endpoints.len() == 1).then_some(()))
        .await;
    draw(&client, 10).await; // a few were drawn before
    let before = first.requests();
    assert!(draw(&client, 50).await.into_iter().all(|id| datacenter(id) == 2));
    assert_eq!(first.requests(), before);
    assert_eq!(client.counters().failed, 0);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_and_costs_other_regions_nothing() {
    let none = Arc::new(Mutex::new(Vec::new()));
    let settings = Settings { nameservers: vec![dns(&none)], deadline: Duration::from_secs(2), ..direct() };
    let lost = "http://nowhere.example.com:8080";
    let client = Client::with(Regions::at([lost]).unwrap(), settings.clone()).unwrap();
    let error = client.next_id().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("nowhere.example.com cannot be resolved"), "{error}");

    let good = Fake::start(2, |_| Act::Give);
    let settings = Settings { deadline: crate::support::DEADLINE, ..settings };
    let client = Client::with(Regions::at([lost, &good.url()]).unwrap(), settings).unwrap();
    draw(&client, 10).await;
    assert_eq!(client.counters().failed, 0);
}
