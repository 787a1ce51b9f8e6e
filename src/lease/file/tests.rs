//! One process: sessions beside each other, and everything that can be wrong with the files.
//! `tests/file_lease.rs` has several processes.

use super::super::tree::tests::{blueprint, claim, record, registration};
use super::*;
use tempfile::TempDir;

struct Room {
    folder: TempDir,
    directory: Directory,
}

impl Room {
    async fn made() -> Room {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory::new(folder.path().join("deep/down"));
        directory.init(&blueprint(3, 4)).await.unwrap();
        Room { folder, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("deep/down").join(name)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file("dc-3.json")).unwrap()
    }

    async fn open(&self) -> Session {
        self.directory.open(&expected()).await.unwrap()
    }
}

fn expected() -> Expected {
    let Tree { fleet, datacenter, epoch, layout, .. } = blueprint(3, 4).tree;
    Expected { fleet, datacenter, epoch, layout }
}

fn extend(slot: u16, version: i32, ceiling: u64) -> Write {
    Write::Extend { slot, version: Version(version), record: record("a", ceiling) }
}

async fn claimed(session: &Session, slot: u16) -> Registered {
    let registered = session.register(&registration("a")).await.unwrap();
    let admission = session.admission().await.unwrap();
    session.write(&claim(admission, slot, 0, "a")).await.unwrap();
    registered
}

/// What another session sees of everybody: registrations, owners.
async fn seen(session: &Session) -> (usize, usize) {
    let view = session.look().await.unwrap();
    (view.registrations.len(), view.slots.iter().filter(|slot| slot.owner.is_some()).count())
}

/// Drops the last clone, and waits for the poller to let go too: it holds the session while it looks.
async fn ended(last: Session) {
    let mut pulse = last.pulse();
    drop(last);
    while pulse.changed().await.is_ok() {}
}

#[tokio::test]
async fn nothing_is_made_by_opening() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("absent")] {
        let refused = Directory::new(&path).open(&expected()).await.err().unwrap();
        let expect = path.join("dc-3.json").display().to_string();
        assert!(matches!(&refused, OpenError::NoTree { path } if *path == expect), "{refused}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn of_many_that_init_one_makes_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::new(folder.path().join("new"));
    let all: Vec<_> = (0..8)
        .map(|_| {
            let directory = directory.clone();
            tokio::spawn(async move { directory.init(&blueprint(3, 4)).await.unwrap() })
        })
        .collect();
    let (mut trees, mut slots) = (0, 0);
    for one in all {
        let done = one.await.unwrap();
        trees += u16::from(done.tree_created);
        slots += done.slots_created;
    }
    assert_eq!((trees, slots), (1, 3));
}

#[tokio::test]
async fn another_fleets_tree_and_a_damaged_one_are_refused_and_left_alone() {
    let room = Room::made().await;
    let session = room.open().await;
    let other = Expected { fleet: "staging".into(), ..expected() };
    let refused = room.directory.open(&other).await.err().unwrap();
    let path = room.file("dc-3.json").display().to_string();
    let expect = format!("{path}: the tree is another one: its fleet is global, the manifest says staging");
    assert!(matches!(&refused, OpenError::Mismatch(text) if *text == expect), "{refused}");

    let whole = room.text();
    let newer = whole.replacen("\"v\": 1", "\"v\": 2", 1);
    for damaged in [&whole[..whole.len() / 2], "", "{}", "\0\0\0", &newer] {
        std::fs::write(&path, damaged).unwrap();
        let refused = [room.directory.open(&expected()).await.err(), room.directory.init(&blueprint(3, 4)).await.err()];
        for refused in refused {
            let refused = refused.unwrap();
            assert!(matches!(&refused, OpenError::Mismatch(text) if text.starts_with(&path)), "{refused}");
        }
        let failure = session.look().await.unwrap_err();
        assert!(matches!(&failure, Failure::Unknown(text) if text.starts_with(&path)), "{failure}");
        assert_eq!(room.text(), damaged);
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(seen(&session).await, (0, 0), "whole again, and the session with it");
}

#[tokio::test]
async fn what_a_crash_leaves_beside_the_document_is_nothing() {
    let room = Room::made().await;
    let session = room.open().await;
    let whole = room.text();
    for left in [&whole[..whole.len() / 2], "", "garbage that is longer than a document".repeat(900).as_str()] {
        std::fs::write(room.file("dc-3.json.tmp"), left).unwrap();
        assert_eq!(seen(&session).await, (0, 0));
        let version = session.read_slot(0).await.unwrap().version.0;
        let written = session.write(&extend(0, version, 9)).await.unwrap();
        assert_eq!(session.read_slot(0).await.unwrap().version, written.version);
    }
}

#[tokio::test]
async fn a_full_disk_and_a_forbidden_one_name_the_path_and_change_nothing() {
    let room = Room::made().await;
    let session = room.open().await;
    let (whole, temporary) = (room.text(), room.file("dc-3.json.tmp"));
    let check = async |kind: &str| {
        let failure = session.write(&extend(0, 0, 9)).await.unwrap_err();
        let named = temporary.display().to_string();
        assert!(
            matches!(&failure, Failure::Unknown(text) if text.starts_with(&named) && text.contains(kind)),
            "{failure}"
        );
        assert_eq!(room.text(), whole);
    };
    std::os::unix::fs::symlink("/dev/full", &temporary).unwrap();
    check("No space left").await;
    // Root may do everything, but not write to a folder.
    std::fs::create_dir(&temporary).unwrap();
    check("Is a directory").await;
    std::fs::remove_dir(&temporary).unwrap();
    assert_eq!(session.write(&extend(0, 0, 9)).await.unwrap().version, Version(1));
}

#[tokio::test]
async fn only_changes_are_written() {
    use std::os::unix::fs::MetadataExt;
    let room = Room::made().await;
    let session = room.open().await;
    let identity = || {
        let there = std::fs::metadata(room.file("dc-3.json")).unwrap();
        (there.ino(), there.mtime_nsec(), there.ctime_nsec())
    };
    let before = identity();
    seen(&session).await;
    assert_eq!(session.write(&extend(0, 7, 9)).await, Err(Failure::Refused(Refusal::BadVersion)));
    assert_eq!(session.write(&extend(9, 0, 9)).await, Err(Failure::Refused(Refusal::NoNode)));
    assert_eq!(session.unregister("gone-0000000000").await, Ok(()));
    assert_eq!(room.directory.init(&blueprint(3, 4)).await.unwrap(), Initialised::default());
    assert_eq!(identity(), before);
}

#[tokio::test]
async fn times_are_this_machines_clock() {
    let room = Room::made().await;
    let session = room.open().await;
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let at = session.write(&extend(0, 0, 9)).await.unwrap().at.unwrap();
    assert!((before..before + 60_000).contains(&at.0), "{at:?} against {before}");
    assert_eq!(session.read_slot(0).await.unwrap().modified, at);
}

#[tokio::test]
async fn a_dropped_session_goes_with_all_that_is_its_own() {
    let room = Room::made().await;
    let (one, two, watcher) = (room.open().await, room.open().await, room.open().await);
    let registered = claimed(&one, 0).await;
    two.register(&registration("b")).await.unwrap();
    assert_eq!(seen(&watcher).await, (2, 1));

    let file = room.file("sessions").join(format!("3-{}.lock", one.id().0));
    let clone = one.clone();
    drop(one);
    assert_eq!(seen(&watcher).await, (2, 1), "a clone is the same session");
    ended(clone).await;
    assert_eq!(seen(&watcher).await, (1, 0));
    assert!(!file.exists());
    let change = watcher.update_registration(&registered.name, &registration("a")).await;
    assert_eq!(change, Err(Failure::Refused(Refusal::NoNode)));

    let traceless = room.open().await;
    let file = room.file("sessions").join(format!("3-{}.lock", traceless.id().0));
    ended(traceless).await;
    let _next = room.open().await;
    assert!(!file.exists(), "the next one sweeps what left no trace");
}

#[tokio::test]
async fn closing_ends_it_at_once_and_for_every_clone() {
    let room = Room::made().await;
    let (one, watcher) = (room.open().await, room.open().await);
    claimed(&one, 0).await;
    let (clone, mut pulse) = (one.clone(), one.pulse());
    one.close().await;
    assert_eq!(pulse.borrow().link, Link::Over);
    assert!(!room.text().contains(&clone.id().0.to_string()), "nobody had to come and reap it");
    assert_eq!(std::fs::read_dir(room.file("sessions")).unwrap().count(), 1);
    assert_eq!(seen(&watcher).await, (0, 0));
    assert!(matches!(clone.look().await, Err(Failure::SessionOver(_))));
    assert!(matches!(clone.register(&registration("a")).await, Err(Failure::SessionOver(_))));
    assert!(matches!(clone.watch(&Interest::Vacancy).await, Err(Failure::SessionOver(_))));
    drop(clone);
    while pulse.changed().await.is_ok() {}
}

#[tokio::test]
async fn a_session_whose_lock_file_or_tree_is_taken_away_learns_it() {
    let room = Room::made().await;
    let (one, two) = (room.open().await, room.open().await);
    std::fs::remove_file(room.file("sessions").join(format!("3-{}.lock", one.id().0))).unwrap();
    let mut pulse = one.pulse();
    pulse.wait_for(|pulse| pulse.link == Link::Over).await.unwrap();
    assert!(matches!(one.register(&registration("a")).await, Err(Failure::SessionOver(_))));

    std::fs::remove_file(room.file("dc-3.json")).unwrap();
    let mut anew = blueprint(3, 4);
    anew.tree.genesis = Guid("another".into());
    room.directory.init(&anew).await.unwrap();
    let failure = two.write(&extend(0, 0, 9)).await.unwrap_err();
    assert!(matches!(&failure, Failure::SessionOver(text) if text.ends_with("was made anew")), "{failure}");
    assert_eq!(two.pulse().borrow().link, Link::Over);

    let three = room.open().await;
    std::fs::remove_file(room.file("dc-3.json")).unwrap();
    let failure = three.look().await.unwrap_err();
    assert!(matches!(&failure, Failure::SessionOver(text) if text.ends_with("is gone")), "{failure}");
}

#[tokio::test]
async fn the_pulse_beats_for_the_interest_and_nothing_else() {
    let room = Room::made().await;
    let (one, two, waiting) = (room.open().await, room.open().await, room.open().await);
    let wakes = |session: &Session| {
        session.inner.poll().unwrap();
        session.pulse().borrow().wakes
    };
    let ahead = claimed(&one, 0).await;
    waiting.watch(&Interest::SlotOwner(0)).await.unwrap();
    let base = wakes(&waiting);
    claimed(&two, 1).await;
    two.write(&extend(0, 1, 9)).await.unwrap();
    assert_eq!(wakes(&waiting), base, "others come and go, slots are extended");

    waiting.watch(&Interest::Predecessor(ahead.name.clone())).await.unwrap();
    one.update_registration(&ahead.name, &registration("a")).await.unwrap();
    assert_eq!(wakes(&waiting), base + 1);
    assert_eq!(wakes(&waiting), base + 1, "once");

    waiting.watch(&Interest::Vacancy).await.unwrap();
    let mut pulse = waiting.pulse();
    drop(two);
    pulse.wait_for(|pulse| pulse.wakes == base + 2).await.unwrap();
    assert_eq!(seen(&waiting).await, (1, 1));

    waiting.watch(&Interest::SlotOwner(0)).await.unwrap();
    one.close().await;
    pulse.wait_for(|pulse| pulse.wakes == base + 3).await.unwrap();
}
