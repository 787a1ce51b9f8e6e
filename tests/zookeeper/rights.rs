//! What a node may not do.

use super::*;

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
