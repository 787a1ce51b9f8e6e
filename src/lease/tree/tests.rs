//! The rules one by one, then any sequence of writes. The makers of payloads also serve the file's tests.

use super::super::coordination::*;
use super::super::znode::*;
use super::Znodes;
use crate::id::Millis;
use proptest::prelude::*;

const NOW: ServerTime = ServerTime(1_700_000_000_000);
const MINE: SessionId = SessionId(1);
const THEIRS: SessionId = SessionId(2);

pub fn blueprint(slots: u16, quota: u16) -> Blueprint {
    let (fleet, epoch, layout) = ("global".into(), "2024-01-01T00:00:00Z".into(), "snowflake64".into());
    Blueprint {
        tree: Tree { v: 1, fleet, datacenter: 3, epoch, layout, genesis: Guid("genesis".into()) },
        admission: Admission {
            v: 1,
            quota,
            fixed: 1,
            surge: 9,
            digest: format!("digest{quota}"),
            ..Admission::default()
        },
        slots,
        window_ms: 30_000,
        epoch_unix_ms: i64::MAX,
    }
}

fn made(slots: u16) -> Znodes {
    Znodes::init(None, &blueprint(slots, 4), NOW).expect("nothing stands in the way").0
}

pub fn registration(node: &str) -> Registration {
    let empty = String::new;
    let (node, started) = (NodeId(node.into()), empty());
    let (host, zone, http, ops, version) = (empty(), empty(), empty(), empty(), empty());
    let (class, wanted_slot, eligible) = (Class::Dynamic, None, true);
    Registration { v: 1, node, class, wanted_slot, eligible, host, zone, http, ops, version, started }
}

pub fn record(holder: &str, ceiling: u64) -> Slot {
    Slot { v: 1, holder: Some(Guid(holder.into())), host: "h".into(), ceiling: Millis(ceiling), fence: 1 }
}

pub fn owner(holder: &str) -> Owner {
    Owner { v: 1, guid: Guid(holder.into()), worker: format!("{holder}-0000000000") }
}

pub fn claim(admission: AdmissionRead, slot: u16, version: i32, holder: &str) -> Write {
    Write::Claim { slot, version: Version(version), record: record(holder, 1), owner: owner(holder), admission }
}

fn reattach(znodes: &Znodes, version: i32, delete_owner: bool, delete_registration: Option<&str>) -> Write {
    Write::Reattach {
        slot: 0,
        version: Version(version),
        record: record("a", 2),
        owner: owner("a"),
        admission: znodes.admission(),
        delete_owner,
        delete_registration: delete_registration.map(str::to_owned),
    }
}

#[test]
fn init_is_idempotent_and_keeps_what_is_there() {
    let (mut znodes, done) = Znodes::init(None, &blueprint(2, 4), NOW).unwrap();
    assert_eq!(done, Initialised { tree_created: true, slots_created: 2, admission_changed: false });
    znodes.apply(&claim(znodes.admission(), 0, 0, "a"), MINE, NOW).unwrap();

    let again = Blueprint { tree: Tree { genesis: Guid("other".into()), ..blueprint(2, 4).tree }, ..blueprint(2, 4) };
    let (same, done) = Znodes::init(Some(znodes.clone()), &again, ServerTime(NOW.0 + 1)).unwrap();
    assert_eq!((same, done), (znodes.clone(), Initialised::default()), "nothing moves, least of all the genesis");

    let (grown, done) = Znodes::init(Some(znodes.clone()), &blueprint(3, 5), NOW).unwrap();
    assert_eq!(done, Initialised { tree_created: false, slots_created: 1, admission_changed: true });
    assert_eq!(grown.admission().version, Version(2), "one claim, one change of quota");
    assert_eq!(grown.read_slot(0), znodes.read_slot(0));
    assert_eq!(grown.read_slot(2).unwrap().value.ceiling, Millis(30_000));

    let mut surging = znodes;
    surging.admission.data.value.surge_until = Some("2030-01-01T00:00:00Z".into());
    let (kept, done) = Znodes::init(Some(surging.clone()), &blueprint(2, 4), NOW).unwrap();
    assert_eq!((kept, done.admission_changed), (surging, false), "a node that starts does not end a surge");
}

#[test]
fn another_fleets_tree_is_refused_with_every_difference() {
    let mut other = blueprint(2, 4);
    other.tree.fleet = "staging".into();
    other.tree.layout = "wide".into();
    assert_eq!(
        Znodes::init(Some(made(2)), &other, NOW).unwrap_err(),
        "the tree is another one: its fleet is global, the manifest says staging; \
         its layout is snowflake64, the manifest says wide"
    );
}

#[test]
fn sequence_numbers_are_ten_digits_and_never_come_again() {
    let mut znodes = made(1);
    let first = znodes.register(&registration("b"), MINE, NOW).name;
    let second = znodes.register(&registration("a"), THEIRS, NOW).name;
    assert_eq!((first.as_str(), second.as_str()), ("b-0000000000", "a-0000000001"));
    znodes.unregister(&second).unwrap();
    assert_eq!(znodes.unregister(&second), Err(Refusal::NoNode));
    assert_eq!(znodes.register(&registration("a"), THEIRS, NOW).name, "a-0000000002");
    let line: Vec<u64> = znodes.look(MINE).registrations.iter().map(|registration| registration.sequence).collect();
    assert_eq!(line, [0, 2], "by place in line, not by name");

    let mut away = registration("b");
    away.eligible = false;
    assert_eq!(znodes.update_registration(&first, &away, ServerTime(7)), Ok(ServerTime(7)));
    assert_eq!(znodes.update_registration("b-0000000009", &away, NOW), Err(Refusal::NoNode));
    let read = znodes.look(MINE).registrations.remove(0);
    assert_eq!((read.value, read.created, read.session), (away, NOW, MINE));
}

/// Each refusal is that of the first operation, in the order sent, that ZooKeeper would refuse.
#[test]
fn refusals_are_zookeepers_and_leave_no_trace() {
    let mut taken = made(2);
    let name = taken.register(&registration("a"), MINE, NOW).name;
    taken.apply(&claim(taken.admission(), 0, 0, "a"), MINE, NOW).unwrap();
    let free = made(2);
    let mut stale = taken.admission();
    stale.version = Version(0);
    let check = |before: &Znodes, write: Write, expect: Refusal| {
        let mut after = before.clone();
        assert_eq!(after.apply(&write, THEIRS, NOW), Err(expect), "{write:?}");
        assert_eq!(&after, before, "{write:?}");
    };
    let extend = |slot, version| Write::Extend { slot, version: Version(version), record: record("a", 2) };
    let release = |version, delete_owner| {
        let (slot, version, record) = (0, Version(version), record("a", 2));
        Write::Release { slot, version, record, delete_owner }
    };
    let admission = stale;
    let (version, record, owner) = (Version(0), record("b", 9), owner("b"));

    check(&taken, claim(taken.admission(), 0, 0, "b"), Refusal::BadVersion);
    check(&taken, claim(taken.admission(), 0, 1, "b"), Refusal::NodeExists);
    check(&taken, claim(taken.admission(), 5, 0, "b"), Refusal::NoNode);
    check(&taken, Write::Claim { slot: 1, version, record, owner, admission }, Refusal::BadVersion);
    check(&taken, extend(0, 0), Refusal::BadVersion);
    check(&taken, extend(0, -1), Refusal::BadVersion);
    check(&taken, extend(5, 0), Refusal::NoNode);
    check(&free, release(0, true), Refusal::NoNode);
    check(&taken, release(2, true), Refusal::BadVersion);
    check(&free, Write::Evict { slot: 0, version: Version(0) }, Refusal::NoNode);
    check(&taken, Write::Evict { slot: 0, version: Version(0) }, Refusal::BadVersion);
    check(&free, reattach(&free, 0, true, None), Refusal::NoNode);
    check(&taken, reattach(&taken, 1, false, None), Refusal::NodeExists);
    check(&taken, reattach(&taken, 0, true, Some(&name)), Refusal::BadVersion);
    check(&taken, reattach(&taken, 1, true, Some("a-0000000009")), Refusal::NoNode);
    check(&taken, reattach(&free, 1, true, Some(&name)), Refusal::BadVersion);
}

#[test]
fn a_slot_lives_through_claim_extend_reattach_evict_and_release() {
    let mut znodes = made(1);
    let name = znodes.register(&registration("a"), MINE, NOW).name;
    let written = |version| Written { version: Version(version), at: Some(ServerTime(8)) };
    let at = ServerTime(8);
    assert_eq!(znodes.apply(&claim(znodes.admission(), 0, 0, "a"), MINE, at), Ok(written(1)));
    let extend = Write::Extend { slot: 0, version: Version(1), record: record("a", 2) };
    assert_eq!(znodes.apply(&extend, MINE, at), Ok(written(2)));
    assert_eq!(znodes.apply(&reattach(&znodes, 2, true, Some(&name)), THEIRS, at), Ok(written(3)));
    let slot = znodes.read_slot(0).unwrap();
    assert_eq!((slot.owner.unwrap().session, slot.modified), (THEIRS, at));
    assert!(znodes.look(MINE).registrations.is_empty());
    assert_eq!(znodes.admission().version, Version(2), "claim and re-attach serialise, nothing else does");

    let evict = Write::Evict { slot: 0, version: Version(3) };
    assert_eq!(znodes.apply(&evict, MINE, at), Ok(Written { version: Version(3), at: None }));
    let release = Write::Release { slot: 0, version: Version(3), record: record("a", 3), delete_owner: false };
    assert_eq!(znodes.apply(&release, MINE, at), Ok(written(4)));
    assert_eq!(znodes.read_slot(0).unwrap().owner, None);
}

#[test]
fn departures_wake_and_arrivals_do_not() {
    let mut znodes = made(2);
    let name = znodes.register(&registration("a"), MINE, NOW).name;
    let interests = [Interest::Vacancy, Interest::Predecessor(name.clone()), Interest::SlotOwner(0)];
    let mut seen: Vec<_> = interests.iter().map(|interest| znodes.glance(interest)).collect();
    let mut woken = |znodes: &Znodes| -> Vec<bool> {
        let now: Vec<_> = interests.iter().map(|interest| znodes.glance(interest)).collect();
        let woken = seen.iter().zip(&now).map(|(then, now)| then.wakes(now)).collect();
        seen = now;
        woken
    };
    znodes.apply(&claim(znodes.admission(), 0, 0, "a"), MINE, NOW).unwrap();
    assert_eq!(woken(&znodes), [true, false, false], "the admission changed");
    znodes.update_registration(&name, &registration("a"), NOW).unwrap();
    assert_eq!(woken(&znodes), [false, true, false]);
    znodes.apply(&reattach(&znodes, 1, true, None), THEIRS, NOW).unwrap();
    assert_eq!(woken(&znodes), [true, false, true], "an owner that was replaced between two sights has gone");
    assert!(znodes.end_session(MINE));
    assert_eq!(woken(&znodes), [false, true, false]);
    assert!(znodes.end_session(THEIRS));
    assert_eq!(woken(&znodes), [true, false, true]);
    assert!(!znodes.end_session(THEIRS));
    assert_eq!(woken(&znodes), [false, false, false]);
}

#[test]
fn payload_fields_of_a_newer_version_survive_and_document_fields_are_refused() {
    let mut document = serde_json::to_value(made(1)).unwrap();
    document["admission"]["data"]["colour"] = "blue".into();
    let mut znodes: Znodes = serde_json::from_value(document.clone()).unwrap();
    znodes.apply(&claim(znodes.admission(), 0, 0, "a"), MINE, NOW).unwrap();
    assert!(String::from_utf8(znodes.admission().raw).unwrap().contains("blue"));
    document["slots"]["0"]["colour"] = "blue".into();
    let refused = serde_json::from_value::<Znodes>(document).unwrap_err().to_string();
    assert!(refused.contains("unknown field `colour`"), "{refused}");
}

/// A step of anybody: numbers are taken modulo what there is, so that most are near a hit.
#[derive(Clone, Debug)]
enum Step {
    Register(u8),
    Unregister(u8),
    Write { kind: u8, slot: u16, behind: i32, admission_behind: i32, flag: bool, registration: u8 },
    End,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let write = (0..5u8, 0..4u16, prop_oneof![5 => Just(0), 1 => -1..2], prop_oneof![5 => Just(0), 1 => -1..2]);
    let step = prop_oneof![
        2 => any::<u8>().prop_map(Step::Register),
        1 => any::<u8>().prop_map(Step::Unregister),
        12 => (write, any::<bool>(), any::<u8>()).prop_map(|((kind, slot, behind, admission_behind), flag, registration)| {
            Step::Write { kind, slot, behind, admission_behind, flag, registration }
        }),
        1 => Just(Step::End),
    ];
    prop::collection::vec((1..4i64, step), 1..80)
}

fn write_of(znodes: &Znodes, step: &Step) -> Option<Write> {
    let &Step::Write { kind, slot, behind, admission_behind, flag, registration } = step else { return None };
    let present = znodes.read_slot(slot).map_or(0, |read| read.version.0);
    let (version, record, owner) = (Version(present - behind), record("a", 5), owner("a"));
    let mut admission = znodes.admission();
    admission.version = Version(admission.version.0 - admission_behind);
    let line = znodes.look(MINE).registrations;
    let delete_registration =
        (registration % 3 == 0 && !line.is_empty()).then(|| line[registration as usize % line.len()].name.clone());
    Some(match kind {
        0 => Write::Claim { slot, version, record, owner, admission },
        1 => Write::Extend { slot, version, record },
        2 => Write::Reattach { slot, version, record, owner, admission, delete_owner: flag, delete_registration },
        3 => Write::Release { slot, version, record, delete_owner: flag },
        _ => Write::Evict { slot, version },
    })
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_invariants(steps in steps()) {
        // Three slots: the steps also name a fourth that is not there.
        let mut znodes = made(3);
        let mut names = Vec::new();
        for (at, (session, step)) in steps.into_iter().enumerate() {
            let (session, now) = (SessionId(session), ServerTime(NOW.0 + at as i64));
            let before = znodes.clone();
            let versions = |znodes: &Znodes| -> Vec<i32> {
                znodes.look(MINE).slots.iter().map(|slot| slot.version.0).collect()
            };
            let mut expect = versions(&before);
            match &step {
                Step::Register(node) => {
                    let name = znodes.register(&registration(&format!("n{node}")), session, now).name;
                    prop_assert!(!names.contains(&name));
                    names.push(name);
                }
                Step::Unregister(which) => {
                    let name = names.get(*which as usize % names.len().max(1)).cloned().unwrap_or_default();
                    let done = znodes.unregister(&name);
                    prop_assert_eq!(done.is_err(), znodes == before);
                }
                Step::Write { .. } => {
                    let write = write_of(&znodes, &step).expect("it is one");
                    match znodes.apply(&write, session, now) {
                        Ok(written) => {
                            let slot = write.slot() as usize;
                            if written.at.is_some() {
                                expect[slot] += 1;
                            }
                            prop_assert_eq!(written.version.0, expect[slot]);
                            let bumped = matches!(write, Write::Claim { .. } | Write::Reattach { .. });
                            let rise = znodes.admission().version.0 - before.admission().version.0;
                            prop_assert_eq!(rise, i32::from(bumped));
                            prop_assert_eq!(znodes.zxid(), before.zxid() + 1);
                        }
                        Err(_) => prop_assert_eq!(&znodes, &before),
                    }
                }
                Step::End => {
                    let had = before.sessions().contains(&session.0);
                    prop_assert_eq!(znodes.end_session(session), had);
                    prop_assert!(!znodes.sessions().contains(&session.0));
                    let others = |znodes: &Znodes| {
                        let view = znodes.look(MINE);
                        let owners = view.slots.into_iter().filter_map(|slot| slot.owner);
                        let owners: Vec<_> = owners.filter(|owner| owner.session != session).collect();
                        let line: Vec<_> = view.registrations.into_iter().filter(|r| r.session != session).collect();
                        (owners, line)
                    };
                    prop_assert_eq!(others(&znodes), others(&before));
                }
            }
            prop_assert_eq!(versions(&znodes), expect);
            let text = serde_json::to_string(&znodes).unwrap();
            prop_assert_eq!(serde_json::from_str::<Znodes>(&text).unwrap(), znodes.clone());
        }
    }
}
