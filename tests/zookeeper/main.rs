//! The ZooKeeper backend against real servers: each test starts its own.

mod rights;
mod servers;
mod sessions;
mod slots;
#[path = "../support/mod.rs"]
mod support;
mod tree;

use meridian::id::Millis;
use meridian::lease::coordination::{
    AdmissionRead, Blueprint, Expected, Failure, Initialised, Interest, Link, OpenError, Refusal, SlotRead, Version,
    View, Write,
};
use meridian::lease::znode::{Admission, Class, Guid, NodeId, Owner, Registration, Slot, Tree, VERSION};
use meridian::lease::zookeeper::{Credentials, Ensemble, Identity, Session};
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Proxy, Way, wait_for};
use zookeeper_client::{Acl, Acls, AuthId, Client, CreateMode, Error, Permission};

/// Long: a busy machine must not lose a connection that a test did not cut.
const SESSION: Duration = Duration::from_secs(20);
const ROOT: &str = "/meridian/v1/dc/3";

fn expected() -> Expected {
    Expected {
        fleet: "north".to_owned(),
        datacenter: 3,
        epoch: "2024-01-01T00:00:00Z".to_owned(),
        layout: "snowflake64".to_owned(),
    }
}

fn blueprint() -> Blueprint {
    let Expected { fleet, datacenter, epoch, layout } = expected();
    Blueprint {
        tree: Tree { v: VERSION, fleet, datacenter, epoch, layout, genesis: Guid::random() },
        admission: Admission {
            v: VERSION,
            quota: 12,
            fixed: 8,
            surge: 24,
            digest: "d1".to_owned(),
            ..Admission::default()
        },
        slots: 32,
        window_ms: 1_000,
        epoch_unix_ms: i64::MAX,
    }
}

fn registration(node: &NodeId) -> Registration {
    Registration {
        v: VERSION,
        node: node.clone(),
        class: Class::Dynamic,
        wanted_slot: None,
        eligible: true,
        host: "host".to_owned(),
        zone: "a".to_owned(),
        http: "127.0.0.1:1".to_owned(),
        ops: "127.0.0.1:2".to_owned(),
        version: "0".to_owned(),
        started: "2024-01-01T00:00:00Z".to_owned(),
    }
}

/// What a node that claims knows of itself.
struct Claimant {
    session: Session,
    guid: Guid,
    worker: String,
}

impl Claimant {
    async fn join(session: Session) -> Claimant {
        let registered = session.register(&registration(&NodeId::random())).await.unwrap();
        Claimant { session, guid: Guid::random(), worker: registered.name }
    }

    fn record(&self, ceiling: u64, fence: u64) -> Slot {
        Slot { v: VERSION, holder: Some(self.guid.clone()), host: "host".to_owned(), ceiling: Millis(ceiling), fence }
    }

    fn owner(&self) -> Owner {
        Owner { v: VERSION, guid: self.guid.clone(), worker: self.worker.clone() }
    }

    fn claim(&self, slot: &SlotRead, admission: &AdmissionRead) -> Write {
        Write::Claim {
            slot: slot.slot,
            version: slot.version,
            record: self.record(slot.value.ceiling.0 + 5_000, slot.value.fence + 1),
            owner: self.owner(),
            admission: admission.clone(),
        }
    }

    fn extend(&self, slot: u16, version: Version, ceiling: u64) -> Write {
        Write::Extend { slot, version, record: self.record(ceiling, 1) }
    }

    fn release(&self, slot: u16, version: Version, delete_owner: bool) -> Write {
        let record = Slot { holder: None, ..self.record(2_000, 1) };
        Write::Release { slot, version, record, delete_owner }
    }

    /// Looks and claims this slot.
    async fn take(&self, slot: u16) -> Version {
        let view = self.session.look().await.unwrap();
        self.session.write(&self.claim(of(&view, slot), &view.admission)).await.unwrap().version
    }
}

fn of(view: &View, slot: u16) -> &SlotRead {
    &view.slots[usize::from(slot)]
}

fn refused(refusal: Refusal) -> Failure {
    Failure::Refused(refusal)
}

fn wakes(session: &Session) -> u64 {
    session.pulse().borrow().wakes
}

async fn woken(session: &Session, count: u64) {
    wait_for(&format!("wake {count}"), async || (wakes(session) >= count).then_some(())).await;
}

async fn linked(session: &Session, link: Link) {
    wait_for(&format!("{link:?}"), async || (session.pulse().borrow().link == link).then_some(())).await;
}

/// One server with a tree on it.
struct Fixture {
    server: support::Ensemble,
    ensemble: Ensemble,
}

impl Fixture {
    async fn new() -> Fixture {
        let server = support::Ensemble::standalone();
        let ensemble = Ensemble::new(&server.connect_string()).unwrap();
        ensemble.init(&blueprint()).await.unwrap();
        Fixture { server, ensemble }
    }

    async fn open(&self) -> Session {
        self.ensemble.open(&expected(), SESSION).await.unwrap()
    }

    async fn join(&self) -> Claimant {
        Claimant::join(self.open().await).await
    }

    /// A node behind a wire that breaks.
    async fn join_through(&self, proxy: &Proxy, session: Duration) -> Claimant {
        let ensemble = Ensemble::new(&proxy.connect_string()).unwrap();
        Claimant::join(ensemble.open(&expected(), session).await.unwrap()).await
    }

    fn proxy(&self) -> Proxy {
        Proxy::to(self.server.address(0))
    }

    /// A client without Meridian's manners.
    async fn raw(&self) -> Client {
        Client::connect(&self.server.connect_string()).await.unwrap()
    }
}
