//! Sessions: their end, their watches, and answers that are lost.

use super::*;

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
        let before = proxy.swallowed(Way::Answers);
        wait_for("the extend to be applied", async || {
            (observer.read_slot(16).await.unwrap().version > version).then_some(())
        })
        .await;
        // Others see it before its answer has come this far.
        wait_for("its answer to be swallowed", async || (proxy.swallowed(Way::Answers) > before + 60).then_some(()))
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
