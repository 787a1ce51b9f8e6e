//! Laying and recognising a tree.

use super::*;

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
