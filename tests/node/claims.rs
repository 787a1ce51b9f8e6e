//! The first slot of a region: what the znodes look like, and who is refused.

use crate::scene::Scene;
use crate::support::{Drawing, Numbers, assert_unique, block_until, meridian};
use meridian::id::SNOWFLAKE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn is_hex(value: &Value, digits: usize) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn a_claim_leaves_exactly_the_znodes_of_the_contract() {
    let scene = Scene::bare(Numbers::default(), 1);
    let made = json!({
        "region": "us-west", "datacenter": 1, "tree_created": true, "slots_created": 32, "admission_changed": false
    });
    let nothing = json!({
        "region": "us-west", "datacenter": 1, "tree_created": false, "slots_created": 0, "admission_changed": false
    });
    assert_eq!(scene.init(), made);
    assert_eq!(scene.init(), nothing);

    let node = scene.holder("only");
    let tree = scene.tree();
    let id: u64 = node.get("/api/v1/id").json()["id"].as_str().unwrap().parse().unwrap();
    let parts = SNOWFLAKE64.decode(id).unwrap();
    let slot = parts.origin.worker;
    assert_eq!((parts.origin.datacenter, slot), (1, 16), "the coldest slot; all are equally cold, so the first");
    let decoded = node.get(&format!("/api/v1/ids/{id}")).json();
    assert_eq!((decoded["region"].as_str(), decoded["worker"].as_u64()), (Some("us-west"), Some(u64::from(slot))));

    let (root, _) = tree.read("").unwrap();
    assert_eq!(keys(&root), BTreeSet::from(["v", "fleet", "datacenter", "epoch", "layout", "genesis"]));
    assert_eq!((&root["fleet"], &root["datacenter"], &root["v"]), (&json!("global"), &json!(1), &json!(1)));
    assert_eq!((&root["epoch"], &root["layout"]), (&json!("2024-01-01T00:00:00Z"), &json!("snowflake64")));
    assert_eq!(tree.children(""), ["admission", "slots", "workers"], "and no drain");

    let digest = Sha256::digest(std::fs::read(&scene.manifest).unwrap());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let (admission, _) = tree.read("/admission").unwrap();
    let expected = json!({ "v": 1, "quota": 2, "static": 1, "surge": 16, "surge_until": null, "digest": digest });
    assert_eq!(admission, expected);

    let workers = tree.children("/workers");
    let [worker] = workers.as_slice() else { panic!("one registration, not {workers:?}") };
    let (card, card_stat) = tree.read(&format!("/workers/{worker}")).unwrap();
    let fields = ["v", "node", "class", "wanted_slot", "eligible", "host", "zone", "http", "ops", "version", "started"];
    assert_eq!(keys(&card), BTreeSet::from(fields));
    assert_eq!(
        (&card["class"], &card["wanted_slot"], &card["eligible"]),
        (&json!("dynamic"), &Value::Null, &json!(true))
    );
    assert_eq!(card["http"], json!(format!("http://{}", node.http())));
    let (name, sequence) = worker.rsplit_once('-').unwrap();
    assert_eq!((card["node"].as_str(), sequence.len()), (Some(name), 10));

    let numbers: Vec<String> = (0..32).map(|slot| format!("{slot:02}")).collect();
    assert_eq!(tree.children("/slots"), numbers);
    let (record, _) = tree.slot(slot);
    assert_eq!(keys(&record), BTreeSet::from(["v", "holder", "host", "ceiling_ms", "fence"]));
    assert!(is_hex(&record["holder"], 32), "{record}");
    assert_eq!((&record["host"], &record["fence"]), (&json!("only"), &json!(1)));
    let (owner, owner_stat) = tree.owner(slot).unwrap();
    assert_eq!(owner, json!({ "v": 1, "guid": record["holder"], "worker": worker }));
    assert!(owner_stat.ephemeral_owner != 0 && owner_stat.ephemeral_owner == card_stat.ephemeral_owner);
    assert_eq!(tree.owned(), [slot]);
    let (free, _) = tree.slot(17);
    assert_eq!((&free["holder"], &free["fence"], &free["host"]), (&Value::Null, &json!(0), &json!("")));

    let (connect, manifest) = (scene.zookeeper.connect_string(), scene.manifest.display().to_string());
    let status =
        meridian(&["status", "--manifest", &manifest, "--zookeeper", &connect, "--region", "us-west", "--json"]);
    let rows: Value = serde_json::from_slice(&status.stdout).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["slot"] == json!(slot)).expect("a row of the slot");
    assert_eq!((&row["holder"], &row["live"], &row["host"]), (&record["holder"], &json!(true), &json!("only")));

    let check = meridian(&["check", "--manifest", &manifest]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn beyond_the_quota_a_node_stands_by_until_the_holder_is_killed() {
    let numbers = Numbers::brief();
    let scene = Scene::new(numbers);
    let holder = scene.holder("holder");
    let standby = scene.standby("standby");
    assert_eq!(standby.ops("/livez").status, 200);
    assert_eq!(standby.get("/api/v1/health").status, 503);
    let reply = standby.get("/api/v1/id");
    assert_eq!((reply.status, reply.code().as_str(), reply.retry_after()), (503, "no_lease", Some(1)));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));

    let drawings = [Drawing::from(&holder), Drawing::from(&holder), Drawing::from(&standby), Drawing::from(&standby)];
    let started = std::time::Instant::now();
    drawings[0].issued_after(started);
    holder.kill();
    let killed = std::time::Instant::now();
    let took = drawings[2].issued_after(killed) - killed;
    println!("kill to the standby's first id: {took:?} (session {} ms)", numbers.session_ms);
    assert!(took.as_millis() < u128::from(numbers.session_ms) + 1_000 + 1_500, "{took:?}");
    block_until("the dead holder's owner to be gone", || (scene.tree().owned().len() == 1).then_some(()));

    let drawn = drawings.map(Drawing::finish);
    let count = assert_unique(&drawn.each_ref());
    println!("{count} ids, none twice");
    let before = drawn[2].refused.iter().filter(|refused| refused.code != "no_lease").count();
    assert_eq!(before, 0, "{:?}", drawn[2].refused);
    assert!(drawn[0].refused.is_empty(), "{:?}", drawn[0].refused);
}

#[test]
fn without_a_tree_a_node_says_what_to_do_and_begins_once_it_is_there() {
    let scene = Scene::bare(Numbers::default(), 1);
    let node = scene.launch("early").start();
    let reason = node.wait_unready("meridian init");
    assert_eq!(node.ops("/livez").status, 200);
    println!("readyz: {reason}");
    scene.init();
    node.wait_ready();
    assert_eq!(node.get("/api/v1/id").status, 200);
}

#[test]
fn another_fleets_tree_is_refused_for_as_long_as_it_is_another_one() {
    let scene = Scene::new(Numbers::default());
    let other = |name, numbers: Numbers| {
        let manifest = numbers.write(&scene.folder.path().join(format!("{name}.yaml")));
        scene.launch(name).manifest(&manifest).start()
    };
    let fleet = other("fleet", Numbers { fleet: "other", ..Numbers::default() });
    let epoch = other("epoch", Numbers { epoch: "2025-01-01T00:00:00Z", ..Numbers::default() });
    let reason = fleet.wait_unready("fleet is \"global\" in the tree and \"other\" in the manifest");
    println!("readyz: {reason}");
    epoch.wait_unready("epoch is \"2024-01-01T00:00:00Z\" in the tree and \"2025-01-01T00:00:00Z\" in the manifest");
    for node in [&fleet, &epoch] {
        assert_eq!((node.ops("/livez").status, node.get("/api/v1/id").code().as_str()), (200, "no_lease"));
        let tries = node.events("unreachable");
        node.wait_events("unreachable", tries + 2);
        assert_eq!(node.log().matches("another fleet's tree").count(), 1, "said once, not at every try");
        assert!(!node.is_ready());
    }
    assert!(scene.tree().children("/workers").is_empty());
}
