//! Servers that pause, restart and lose their leader.

use super::*;

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
