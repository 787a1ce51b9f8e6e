//! A slot's life: claimed, extended, re-attached, evicted, released.

use super::*;

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
