//! The ZooKeeper backend against real servers: each test starts its own.

mod support;

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
        admission: Admission { v: VERSION, quota: 12, fixed: 8, surge: 24, surge_until: None, digest: "d1".to_owned() },
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

#[tokio::test]
async fn init_is_idempotent_and_safe_to_race_in_a_new_chroot() {
    let server = support::Ensemble::standalone();
    let ensemble = Ensemble::new(&format!("{}/fleets/north", server.connect_string())).unwrap();
    let no_tree = ensemble.open(&expected(), SESSION).await.err().unwrap();
    assert!(matches!(&no_tree, OpenError::NoTree { path } if path == "/fleets/north/meridian/v1/dc/3"), "{no_tree}");

    let racers: Vec<_> = (0..8)
        .map(|_| {
            let ensemble = ensemble.clone();
            tokio::spawn(async move { ensemble.init(&blueprint()).await.unwrap() })
        })
        .collect();
    let mut done = Vec::new();
    for racer in racers {
        done.push(racer.await.unwrap());
    }
    let whole = Initialised { tree_created: true, slots_created: 32, admission_changed: false };
    assert_eq!(done.iter().filter(|done| **done == whole).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|done| **done == Initialised::default()).count(), 7, "{done:?}");

    let session = ensemble.open(&expected(), SESSION).await.unwrap();
    let genesis = session.tree().genesis.clone();
    assert_eq!(ensemble.init(&blueprint()).await.unwrap(), Initialised::default());
    assert_eq!(ensemble.open(&expected(), SESSION).await.unwrap().tree().genesis, genesis);

    let view = session.look().await.unwrap();
    assert_eq!(view.session, session.id());
    assert_eq!(view.slots.iter().map(|slot| slot.slot).collect::<Vec<_>>(), (0..32).collect::<Vec<_>>());
    assert!(view.slots.iter().all(|slot| slot.version == Version(0) && slot.value.ceiling == Millis(1_000)));
    assert_eq!((view.admission.version, view.admission.value), (Version(0), blueprint().admission));
    assert!(view.registrations.is_empty() && view.drain.is_none());
}

#[tokio::test]
async fn init_completes_what_is_missing_and_touches_nothing_else() {
    let server = support::Ensemble::standalone();
    let ensemble = Ensemble::new(&server.connect_string()).unwrap();
    let raw = Client::connect(&server.connect_string()).await.unwrap();
    let mut path = String::new();
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for name in ["meridian", "v1", "dc"] {
        path = format!("{path}/{name}");
        raw.create(&path, b"", &options).await.unwrap();
    }
    raw.create(ROOT, &serde_json::to_vec(&blueprint().tree).unwrap(), &options).await.unwrap();
    raw.create(&format!("{ROOT}/slots"), b"", &options).await.unwrap();
    let old = br#"{"v":1,"holder":null,"host":"old","ceiling_ms":777,"fence":4,"later":true}"#;
    raw.create(&format!("{ROOT}/slots/05"), old, &options).await.unwrap();

    let done = ensemble.init(&blueprint()).await.unwrap();
    assert_eq!(done, Initialised { tree_created: false, slots_created: 31, admission_changed: false });
    let view = ensemble.open(&expected(), SESSION).await.unwrap().look().await.unwrap();
    assert_eq!(view.slots.len(), 32);
    assert_eq!((of(&view, 5).version, of(&view, 5).value.ceiling), (Version(0), Millis(777)));
    assert_eq!(raw.get_data(&format!("{ROOT}/slots/05")).await.unwrap().0, old);
}

#[tokio::test]
async fn init_brings_the_quota_up_to_date_and_keeps_the_surge() {
    let fixture = Fixture::new().await;
    let raw = fixture.raw().await;
    let surging =
        br#"{"v":1,"quota":12,"static":8,"surge":24,"surge_until":"2030-01-01T00:00:00Z","digest":"d1","later":[1]}"#;
    raw.set_data(&format!("{ROOT}/admission"), surging, Some(0)).await.unwrap();
    assert_eq!(fixture.ensemble.init(&blueprint()).await.unwrap(), Initialised::default());

    let mut wanted = blueprint();
    wanted.admission.quota = 14;
    wanted.admission.digest = "d2".to_owned();
    assert!(fixture.ensemble.init(&wanted).await.unwrap().admission_changed);
    let read = fixture.open().await.admission().await.unwrap();
    assert_eq!(read.version, Version(2));
    assert_eq!(read.value, Admission { surge_until: Some("2030-01-01T00:00:00Z".to_owned()), ..wanted.admission });
    assert!(String::from_utf8(read.raw).unwrap().contains(r#""later":[1]"#));
}

#[tokio::test]
async fn another_fleets_tree_is_refused_field_by_field() {
    let fixture = Fixture::new().await;
    let mut wanted = blueprint();
    wanted.tree.fleet = "south".to_owned();
    wanted.tree.layout = "other".to_owned();
    let error = fixture.ensemble.init(&wanted).await.unwrap_err();
    assert!(matches!(error, OpenError::Mismatch(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "/meridian/v1/dc/3 is another fleet's tree: fleet is \"north\" in the tree and \"south\" in the manifest, \
         layout is \"snowflake64\" in the tree and \"other\" in the manifest"
    );
    let other = Expected { epoch: "2020-01-01T00:00:00Z".to_owned(), ..expected() };
    let error = fixture.ensemble.open(&other, SESSION).await.err().unwrap();
    assert!(matches!(&error, OpenError::Mismatch(why) if why.contains("epoch is")), "{error:?}");
    let elsewhere = Expected { datacenter: 4, ..expected() };
    let error = fixture.ensemble.open(&elsewhere, SESSION).await.err().unwrap();
    assert!(matches!(&error, OpenError::NoTree { path } if path == "/meridian/v1/dc/4"), "{error:?}");
}

#[tokio::test]
async fn a_slot_is_claimed_extended_and_released() {
    let fixture = Fixture::new().await;
    let session = fixture.open().await;
    let node = NodeId::random();
    let registered = session.register(&registration(&node)).await.unwrap();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((registered.at.0 - wall).abs() < 60_000, "{registered:?} is not near {wall}");
    assert_eq!(Registration::node_of(&registered.name), node.0);
    let ineligible = Registration { eligible: false, ..registration(&node) };
    assert!(session.update_registration(&registered.name, &ineligible).await.unwrap() >= registered.at);
    let second = session.register(&registration(&node)).await.unwrap();

    let view = session.look().await.unwrap();
    let line: Vec<&str> = view.registrations.iter().map(|read| read.name.as_str()).collect();
    assert_eq!(line, [&registered.name, &second.name]);
    let first = &view.registrations[0];
    assert_eq!((first.session, first.created), (session.id(), registered.at));
    assert_eq!((&first.value, Some(first.sequence)), (&ineligible, Registration::sequence_of(&first.name)));

    let me = Claimant { session: session.clone(), guid: Guid::random(), worker: registered.name.clone() };
    let claimed = session.write(&me.claim(of(&view, 7), &view.admission)).await.unwrap();
    assert_eq!(claimed.version, Version(1));
    let slot = session.read_slot(7).await.unwrap();
    assert_eq!((slot.version, &slot.value, Some(slot.modified)), (Version(1), &me.record(6_000, 1), claimed.at));
    let owner = slot.owner.unwrap();
    assert_eq!((owner.value, owner.session, Some(owner.created)), (me.owner(), session.id(), claimed.at));
    let admission = session.admission().await.unwrap();
    assert_eq!((admission.version, &admission.raw), (Version(1), &view.admission.raw));

    let extended = session.write(&me.extend(7, claimed.version, 9_000)).await.unwrap();
    assert_eq!(extended.version, Version(2));
    assert!(extended.at >= claimed.at);
    // What was overtaken is refused, and changes nothing.
    assert_eq!(session.write(&me.extend(7, claimed.version, 10_000)).await, Err(refused(Refusal::BadVersion)));
    // To the server this would mean "any version".
    assert_eq!(session.write(&me.extend(7, Version(-1), 10_000)).await, Err(refused(Refusal::BadVersion)));
    assert_eq!(session.read_slot(7).await.unwrap().value.ceiling, Millis(9_000));

    assert_eq!(session.write(&me.release(7, claimed.version, true)).await, Err(refused(Refusal::BadVersion)));
    let released = session.write(&me.release(7, extended.version, true)).await.unwrap();
    let slot = session.read_slot(7).await.unwrap();
    assert_eq!((slot.version, slot.value.holder, slot.value.ceiling), (released.version, None, Millis(2_000)));
    assert_eq!(slot.owner, None);

    session.unregister(&registered.name).await.unwrap();
    session.unregister(&registered.name).await.unwrap();
    assert_eq!(session.look().await.unwrap().registrations.len(), 1);
}

#[tokio::test]
async fn of_two_claims_that_saw_the_same_room_one_succeeds() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.join().await, fixture.join().await);
    let (seen_by_one, seen_by_two) = (one.session.look().await.unwrap(), two.session.look().await.unwrap());
    assert_eq!(seen_by_one.admission, seen_by_two.admission);
    let first = one.claim(of(&seen_by_one, 20), &seen_by_one.admission);
    let second = two.claim(of(&seen_by_two, 21), &seen_by_two.admission);
    let outcomes = tokio::join!(one.session.write(&first), two.session.write(&second));
    let (loser, slot) = match outcomes {
        (Ok(_), Err(failure)) => (failure, 21),
        (Err(failure), Ok(_)) => (failure, 20),
        other => panic!("{other:?}"),
    };
    assert_eq!(loser, refused(Refusal::BadVersion));
    let view = one.session.look().await.unwrap();
    assert_eq!(view.admission.version, Version(1));
    assert_eq!((of(&view, slot).version, &of(&view, slot).owner), (Version(0), &None));

    // A changed quota moves the admission too.
    let mut wanted = blueprint();
    wanted.admission.quota = 10;
    fixture.ensemble.init(&wanted).await.unwrap();
    let claim = one.claim(of(&view, slot), &view.admission);
    assert_eq!(one.session.write(&claim).await, Err(refused(Refusal::BadVersion)));

    // An owner that lives keeps others out, whatever they read.
    let view = one.session.look().await.unwrap();
    let taken = view.slots.iter().find(|slot| slot.owner.is_some()).unwrap();
    assert_eq!(two.session.write(&two.claim(taken, &view.admission)).await, Err(refused(Refusal::NodeExists)));
}

#[tokio::test]
async fn a_holder_reattaches_to_its_slot_on_a_new_session() {
    let fixture = Fixture::new().await;
    let before = fixture.join().await;
    let version = before.take(16).await;
    let after = Claimant { guid: before.guid.clone(), ..fixture.join().await };
    let view = after.session.look().await.unwrap();
    let reattach = |delete_owner, version, admission: &AdmissionRead| Write::Reattach {
        slot: 16,
        version,
        record: after.record(9_000, 1),
        owner: after.owner(),
        admission: admission.clone(),
        delete_owner,
        delete_registration: Some(before.worker.clone()),
    };
    let write = |write| async { after.session.write(&{ write }).await };
    assert_eq!(write(reattach(true, Version(0), &view.admission)).await, Err(refused(Refusal::BadVersion)));
    assert_eq!(write(reattach(false, version, &view.admission)).await, Err(refused(Refusal::NodeExists)));
    let written = write(reattach(true, version, &view.admission)).await.unwrap();
    assert_eq!(written.version, Version(2));

    let view = after.session.look().await.unwrap();
    assert_eq!(view.registrations.len(), 1);
    let slot = of(&view, 16);
    assert_eq!((slot.version, slot.value.ceiling), (Version(2), Millis(9_000)));
    assert_eq!(written.at, Some(slot.modified));
    let owner = slot.owner.as_ref().unwrap();
    assert_eq!((owner.session, &owner.value), (after.session.id(), &after.owner()));
    assert_eq!(view.admission.version, Version(2));

    // The end of the old session takes nothing of the new one with it.
    before.session.close().await;
    assert!(after.session.read_slot(16).await.unwrap().owner.is_some());
}

#[tokio::test]
async fn an_orphan_is_evicted_and_a_successor_is_not() {
    let fixture = Fixture::new().await;
    let me = fixture.join().await;
    let version = me.take(17).await;
    let evict = |version| Write::Evict { slot: 17, version };
    assert_eq!(me.session.write(&evict(Version(0))).await, Err(refused(Refusal::BadVersion)));
    assert!(me.session.read_slot(17).await.unwrap().owner.is_some());
    let evicted = me.session.write(&evict(version)).await.unwrap();
    assert_eq!((evicted.version, evicted.at), (version, None));
    let slot = me.session.read_slot(17).await.unwrap();
    assert_eq!((slot.version, slot.owner), (version, None));
    assert_eq!(me.session.write(&evict(version)).await, Err(refused(Refusal::NoNode)));
}

#[tokio::test]
async fn a_slot_without_its_owner_is_released_without_it() {
    let fixture = Fixture::new().await;
    let (gone, me) = (fixture.join().await, fixture.join().await);
    let version = gone.take(18).await;
    gone.session.clone().close().await;
    // The whole release would be refused for the sake of the owner.
    assert_eq!(me.session.write(&gone.release(18, version, true)).await, Err(refused(Refusal::NoNode)));
    assert_eq!(me.session.read_slot(18).await.unwrap().version, version);
    me.session.write(&gone.release(18, version, false)).await.unwrap();
    assert_eq!(me.session.read_slot(18).await.unwrap().value.holder, None);
}

#[tokio::test]
async fn closing_ends_the_ephemerals_at_once_and_so_does_dropping() {
    let fixture = Fixture::new().await;
    let long = Duration::from_secs(40);
    let watcher = fixture.open().await;
    for close in [true, false] {
        let me = Claimant::join(fixture.ensemble.open(&expected(), long).await.unwrap()).await;
        me.take(19).await;
        let pulse = me.session.pulse();
        let started = Instant::now();
        if close {
            let clone = me.session.clone();
            me.session.close().await;
            assert!(matches!(clone.look().await, Err(Failure::SessionOver(_))));
            assert_eq!(pulse.borrow().link, Link::Over);
            assert_eq!(watcher.read_slot(19).await.unwrap().owner, None);
        } else {
            drop(me);
        }
        wait_for("the owner to go", async || watcher.read_slot(19).await.unwrap().owner.is_none().then_some(())).await;
        assert!(watcher.look().await.unwrap().registrations.is_empty());
        assert!(started.elapsed() < long / 4, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_departure_wakes_whom_it_concerns() {
    let fixture = Fixture::new().await;
    let (holder, fixed) = (fixture.join().await, fixture.join().await);
    let (head, second, third) = (fixture.join().await, fixture.join().await, fixture.join().await);
    let version = holder.take(16).await;
    let twin = fixture.open().await;
    fixed.take(2).await;
    head.session.watch(&Interest::Vacancy).await.unwrap();
    second.session.watch(&Interest::Predecessor(head.worker.clone())).await.unwrap();
    third.session.watch(&Interest::Predecessor(second.worker.clone())).await.unwrap();
    twin.watch(&Interest::SlotOwner(2)).await.unwrap();
    let all = || [&head.session, &second.session, &third.session, &twin].map(wakes);
    assert_eq!(all(), [0; 4]);

    // An extend concerns nobody; a departure the head alone. The static slot's going also wakes who waits for it.
    holder.session.write(&holder.extend(16, version, 9_000)).await.unwrap();
    holder.session.close().await;
    woken(&head.session, 1).await;
    fixed.session.close().await;
    woken(&twin, 1).await;
    woken(&head.session, 2).await;
    assert_eq!(all(), [2, 0, 0, 1]);

    // An admission moves: the head looks again.
    head.take(20).await;
    woken(&head.session, 3).await;
    // The head leaves the line: the one behind it takes its interest over, and the earlier one is gone.
    head.session.unregister(&head.worker).await.unwrap();
    woken(&second.session, 1).await;
    second.session.watch(&Interest::Vacancy).await.unwrap();
    head.session.close().await;
    woken(&second.session, 2).await;
    // The predecessor changes its registration (it became ineligible, say).
    let changed = Registration { eligible: false, ..registration(&NodeId::random()) };
    second.session.update_registration(&second.worker, &changed).await.unwrap();
    woken(&third.session, 1).await;
    second.session.unregister(&second.worker).await.unwrap();
    woken(&third.session, 2).await;
    assert_eq!([wakes(&second.session), wakes(&third.session), wakes(&twin)], [2, 2, 1]);

    // Whoever holds a slot watches nothing, whatever it watched before. Its own look comes after what it was told.
    twin.watch(&Interest::Vacancy).await.unwrap();
    twin.watch(&Interest::Nothing).await.unwrap();
    second.take(21).await;
    woken(&second.session, 3).await;
    twin.look().await.unwrap();
    assert_eq!(wakes(&twin), 1);
}

#[tokio::test]
async fn a_look_survives_registrations_that_come_and_go() {
    let fixture = Fixture::new().await;
    let (busy, me) = (fixture.open().await, fixture.open().await);
    let churn = tokio::spawn(async move {
        for _ in 0..150 {
            let registered = busy.register(&registration(&NodeId::random())).await.unwrap();
            busy.unregister(&registered.name).await.unwrap();
        }
    });
    while !churn.is_finished() {
        assert!(me.look().await.unwrap().registrations.len() <= 1);
    }
    churn.await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown_and_a_read_tells_it() {
    let fixture = Fixture::new().await;
    let (proxy, observer) = (fixture.proxy(), fixture.open().await);
    let me = fixture.join_through(&proxy, SESSION).await;
    let version = me.take(16).await;

    proxy.cut(Way::Answers);
    let extend = me.extend(16, version, 9_000);
    let healed_once_applied = async {
        wait_for("the extend to be applied", async || {
            (observer.read_slot(16).await.unwrap().version > version).then_some(())
        })
        .await;
        proxy.heal();
    };
    let (outcome, ()) = tokio::join!(me.session.write(&extend), healed_once_applied);
    assert!(matches!(outcome, Err(Failure::Unknown(_))), "{outcome:?}");
    let slot = me.session.read_slot(16).await.unwrap();
    assert_eq!((slot.version, slot.value), (Version(version.0 + 1), me.record(9_000, 1)));
    assert_eq!(slot.owner.unwrap().session, me.session.id());
    // Taken for lost and sent again it meets itself.
    assert_eq!(me.session.write(&extend).await, Err(refused(Refusal::BadVersion)));

    // A lost request looks the same from here, and the read tells the difference.
    proxy.cut(Way::Requests);
    let extend = me.extend(16, slot.version, 12_000);
    let healed_once_swallowed = async {
        let before = proxy.swallowed(Way::Requests);
        wait_for("the extend to be swallowed", async || (proxy.swallowed(Way::Requests) > before + 60).then_some(()))
            .await;
        proxy.heal();
    };
    let (outcome, ()) = tokio::join!(me.session.write(&extend), healed_once_swallowed);
    assert!(matches!(outcome, Err(Failure::Unknown(_))), "{outcome:?}");
    assert_eq!(me.session.read_slot(16).await.unwrap().version, slot.version);
    assert_eq!(me.session.write(&extend).await.unwrap().version, Version(slot.version.0 + 1));
}

#[tokio::test]
async fn an_interest_outlives_a_reconnection() {
    let fixture = Fixture::new().await;
    let (proxy, holder, fixed) = (fixture.proxy(), fixture.join().await, fixture.join().await);
    holder.take(16).await;
    fixed.take(2).await;
    let me = fixture.join_through(&proxy, SESSION).await;
    let idle = fixture.join_through(&proxy, SESSION).await;
    let twin = fixture.join_through(&proxy, SESSION).await;
    me.session.watch(&Interest::Vacancy).await.unwrap();
    twin.session.watch(&Interest::SlotOwner(2)).await.unwrap();
    proxy.sever();
    // Each looks again once after it, with an interest or without: something may have been missed. Who has an interest
    // is woken a second time when it is watched anew.
    woken(&idle.session, 1).await;
    woken(&me.session, 2).await;
    woken(&twin.session, 2).await;
    linked(&me.session, Link::Connected).await;
    assert_eq!([&idle.session, &me.session, &twin.session].map(wakes), [1, 2, 2]);

    holder.session.close().await;
    woken(&me.session, 3).await;
    fixed.session.close().await;
    woken(&twin.session, 3).await;
    woken(&me.session, 4).await;
    assert_eq!([&idle.session, &me.session, &twin.session].map(wakes), [1, 4, 3]);
    assert_eq!(me.session.look().await.unwrap().session, me.session.id());
}

#[tokio::test]
async fn a_cut_session_is_over_for_both_sides() {
    let fixture = Fixture::new().await;
    let (proxy, observer) = (fixture.proxy(), fixture.open().await);
    let me = fixture.join_through(&proxy, Duration::from_secs(2)).await;
    me.take(16).await;
    me.session.watch(&Interest::Vacancy).await.unwrap();
    proxy.cut(Way::Both);
    linked(&me.session, Link::Disconnected).await;
    wait_for("the owner to expire", async || observer.read_slot(16).await.unwrap().owner.is_none().then_some(())).await;
    linked(&me.session, Link::Over).await;
    assert!(matches!(me.session.look().await, Err(Failure::SessionOver(_))));
    assert!(matches!(me.session.watch(&Interest::Vacancy).await, Err(Failure::SessionOver(_))));
    // The slot itself keeps its holder: a session is not a right.
    assert_eq!(observer.read_slot(16).await.unwrap().value.holder, Some(me.guid.clone()));
}

#[tokio::test]
async fn opening_against_nobody_fails_within_the_bound() {
    let bound = Duration::from_secs(2);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    // Free a moment ago: nobody is there.
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for connect in [absent.clone(), silent.clone(), format!("{absent},{silent},{absent}")] {
        let ensemble = Ensemble::new(&connect).unwrap();
        let started = Instant::now();
        let error = ensemble.open(&expected(), bound).await.err().unwrap();
        assert!(matches!(&error, OpenError::Unreachable(why) if why.contains(&connect)), "{error:?}");
        assert!(started.elapsed() < bound + Duration::from_secs(1), "{connect}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn strange_payloads_are_told() {
    let fixture = Fixture::new().await;
    let (raw, session) = (fixture.raw().await, fixture.open().await);
    let told = async |expect: &str| match session.look().await {
        Err(Failure::Unknown(why)) => assert!(why.starts_with(expect), "{why}"),
        other => panic!("{other:?}"),
    };
    // The line is for fairness: one registration that nobody can read does not stop the others.
    let stray = format!("{ROOT}/workers/stray");
    raw.create(&stray, b"", &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
    assert_eq!(session.look().await.unwrap().registrations, []);
    raw.set_data(&format!("{ROOT}/slots/09"), b"{}", None).await.unwrap();
    told("/meridian/v1/dc/3/slots/09 holds no slot: missing field `v`").await;
    let drain = format!("{ROOT}/drain");
    raw.create(&drain, b"?", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    told("/meridian/v1/dc/3/drain holds no drain").await;
    raw.delete(&drain, None).await.unwrap();
    raw.set_data(&format!("{ROOT}/admission"), b"[]", None).await.unwrap();
    told("/meridian/v1/dc/3/admission holds no admission").await;
    let error = fixture.ensemble.init(&blueprint()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Mismatch(why) if why.contains("holds no admission")), "{error}");
}

/// What no node may do, with or without credentials.
async fn deny(raw: &Client) {
    let slot = format!("{ROOT}/slots/16");
    assert_eq!(raw.delete(&slot, None).await, Err(Error::NoAuth));
    let mut delete_within_multi = raw.new_multi_writer();
    delete_within_multi.add_delete(&slot, None).unwrap();
    assert_eq!(delete_within_multi.commit().await.map_err(Error::from), Err(Error::NoAuth));
    let everything = [Acl::new(Permission::ALL, AuthId::anyone())];
    for path in ["", "/admission", "/workers", "/slots", "/slots/16", "/slots/16/owner"] {
        let path = format!("{ROOT}{path}");
        assert_eq!(raw.set_acl(&path, &everything, None).await, Err(Error::NoAuth), "{path}");
    }
    // Neither the tree, nor what is above it, can be changed or taken away.
    assert_eq!(raw.set_data(ROOT, b"{}", None).await, Err(Error::NoAuth));
    assert_eq!(raw.delete(ROOT, None).await, Err(Error::NoAuth));
    assert_eq!(raw.delete("/meridian/v1", None).await.err(), Some(Error::NoAuth));
}

#[tokio::test]
async fn without_credentials_a_slot_cannot_vanish_and_its_owner_comes_and_goes() {
    let fixture = Fixture::new().await;
    let (raw, me) = (fixture.raw().await, fixture.join().await);
    let version = me.take(16).await;
    deny(&raw).await;
    let version = me.session.write(&me.release(16, version, true)).await.unwrap().version;
    deny_delete_of_a_bare_slot(&raw).await;
    assert_eq!(me.session.read_slot(16).await.unwrap().version, version);
    me.take(16).await;
}

async fn deny_delete_of_a_bare_slot(raw: &Client) {
    assert_eq!(raw.delete(&format!("{ROOT}/slots/16"), None).await, Err(Error::NoAuth));
}

#[tokio::test]
async fn with_credentials_the_fleet_keeps_to_itself() {
    let server = support::Ensemble::standalone();
    let identity = |text| Identity::parse(text).unwrap();
    let as_admin = Credentials { node: identity("node:n"), admin: Some(identity("admin:a")) };
    let ensemble = Ensemble::new(&server.connect_string()).unwrap();
    let fleet = ensemble.clone().with_credentials(as_admin);
    fleet.init(&blueprint()).await.unwrap();
    // A node's own `--init` finds nothing to do, and may move the quota.
    let node = ensemble.clone().with_credentials(Credentials { node: identity("node:n"), admin: None });
    let mut wanted = blueprint();
    assert_eq!(node.init(&wanted).await.unwrap(), Initialised::default());
    wanted.admission.quota = 11;
    assert!(node.init(&wanted).await.unwrap().admission_changed);

    let me = Claimant::join(fleet.open(&expected(), SESSION).await.unwrap()).await;
    let version = me.take(16).await;
    let client = async |identity: &str| {
        let connector = Client::connector().with_auth("digest", identity.as_bytes());
        connector.connect(&server.connect_string()).await.unwrap()
    };
    let raw = client("node:n").await;
    deny(&raw).await;
    assert_eq!(raw.delete(&format!("{ROOT}/admission"), None).await, Err(Error::NoAuth));
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    assert_eq!(raw.create(&format!("{ROOT}/slots/32"), b"", &options).await.err(), Some(Error::NoAuth));
    me.session.write(&me.release(16, version, true)).await.unwrap();
    deny_delete_of_a_bare_slot(&raw).await;
    me.take(16).await;

    for stranger in [ensemble.clone(), ensemble.with_credentials(Credentials { node: identity("node:x"), admin: None })]
    {
        let error = stranger.open(&expected(), SESSION).await.err().unwrap();
        assert!(matches!(&error, OpenError::Mismatch(why) if why.contains("not authorised to read")), "{error:?}");
        assert!(matches!(stranger.init(&blueprint()).await, Err(OpenError::Mismatch(_))));
    }
    let admin = client("admin:a").await;
    let (list, _) = admin.get_acl(&format!("{ROOT}/slots")).await.unwrap();
    admin.set_acl(&format!("{ROOT}/slots"), &list, None).await.unwrap();
    admin.create(&format!("{ROOT}/drain"), b"{}", &options).await.unwrap();
}

#[tokio::test]
async fn a_paused_and_a_restarted_server_lose_nothing() {
    let mut fixture = Fixture::new().await;
    let me = Claimant::join(fixture.ensemble.open(&expected(), Duration::from_secs(5)).await.unwrap()).await;
    let version = me.take(16).await;
    fixture.server.pause(0);
    let bound = Duration::from_secs(1);
    let error = fixture.ensemble.open(&expected(), bound).await.err().unwrap();
    assert!(matches!(error, OpenError::Unreachable(_)), "{error:?}");
    // The client gives the connection up, not the session.
    let outcome = me.session.write(&me.extend(16, version, 9_000)).await;
    assert!(matches!(outcome, Err(Failure::Unknown(_))), "{outcome:?}");
    fixture.server.resume(0);
    linked(&me.session, Link::Connected).await;
    // It waited in the server's socket, so it is applied late; or it is lost and sent again. Once, in any case.
    let extended = wait_for("the extend to be applied", async || {
        let slot = me.session.read_slot(16).await.ok()?;
        if slot.version == version {
            let _ = me.session.write(&me.extend(16, version, 9_000)).await;
        }
        (slot.version > version).then_some(slot)
    })
    .await;
    assert_eq!((extended.version, extended.value.ceiling), (Version(version.0 + 1), Millis(9_000)));
    let version = extended.version;

    fixture.server.stop_all();
    linked(&me.session, Link::Disconnected).await;
    fixture.server.start_all();
    fixture.server.wait_serving();
    linked(&me.session, Link::Connected).await;
    let slot = me.session.read_slot(16).await.unwrap();
    assert_eq!((slot.version, slot.owner.unwrap().session), (version, me.session.id()));
}

#[tokio::test]
async fn sessions_outlive_the_leader() {
    let mut servers = support::Ensemble::three();
    let ensemble = Ensemble::new(&servers.connect_string()).unwrap();
    ensemble.init(&blueprint()).await.unwrap();
    let me = Claimant::join(ensemble.open(&expected(), SESSION).await.unwrap()).await;
    let twin = ensemble.open(&expected(), SESSION).await.unwrap();
    let version = me.take(16).await;
    twin.watch(&Interest::SlotOwner(16)).await.unwrap();
    let leader = servers.leader();
    servers.kill(leader);
    let extend = me.extend(16, version, 9_000);
    wait_for("the extend to be applied by a new leader", async || {
        // Unknown may mean applied: only the read tells.
        let _ = me.session.write(&extend).await;
        let slot = me.session.read_slot(16).await.ok()?;
        (slot.version > version).then_some(())
    })
    .await;
    let slot = me.session.read_slot(16).await.unwrap();
    assert_eq!((slot.version, slot.owner.unwrap().session), (Version(version.0 + 1), me.session.id()));
    let before = wakes(&twin);
    me.session.close().await;
    woken(&twin, before + 1).await;
    servers.restart(leader);
    servers.wait_serving();
    assert_ne!(servers.leader(), leader);
}
