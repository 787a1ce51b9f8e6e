//! The file backend between processes: this binary runs itself as the children, and stops and kills them.

use meridian::lease::coordination::*;
use meridian::lease::file::{Directory, Session};
use meridian::lease::znode::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything awaited may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const ROLE: &str = "MERIDIAN_TEST_FILE_LEASE_ROLE";
const FOLDER: &str = "MERIDIAN_TEST_FILE_LEASE_FOLDER";
/// Before what a child tells, to find it among what the test harness prints.
const TOLD: &str = "told: ";

fn expected() -> Expected {
    let (fleet, epoch, layout) = ("global".into(), "2024-01-01T00:00:00Z".into(), "snowflake64".into());
    Expected { fleet, datacenter: 0, epoch, layout }
}

async fn init(folder: &Path, slots: u16) {
    let Expected { fleet, datacenter, epoch, layout } = expected();
    let tree = Tree { v: 1, fleet, datacenter, epoch, layout, genesis: Guid::random() };
    let admission = Admission { v: 1, quota: 4, fixed: 0, surge: 8, digest: "digest".into(), ..Admission::default() };
    let blueprint = Blueprint { tree, admission, slots, window_ms: 0, epoch_unix_ms: i64::MAX };
    Directory::new(folder).init(&blueprint).await.unwrap();
}

async fn open(folder: &Path) -> Session {
    Directory::new(folder).open(&expected()).await.unwrap()
}

async fn register(session: &Session) -> Registered {
    let empty = String::new;
    let (host, zone, http, ops, version, started) = (empty(), empty(), empty(), empty(), empty(), empty());
    let (node, class, wanted_slot, eligible) = (NodeId::random(), Class::Dynamic, None, true);
    let value = Registration { v: 1, node, class, wanted_slot, eligible, host, zone, http, ops, version, started };
    session.register(&value).await.unwrap()
}

fn raised(slot: &SlotRead, holder: Option<&Guid>) -> Slot {
    let (ceiling, fence) = (slot.value.ceiling + 10, slot.value.fence + 1);
    Slot { v: 1, holder: holder.cloned(), host: std::process::id().to_string(), ceiling, fence }
}

fn tell(words: impl std::fmt::Display) {
    println!("{TOLD}{words}");
}

/// Waits for the parent to say go on. When the parent is gone, so is the child.
fn hear() {
    if std::io::stdin().read_line(&mut String::new()).unwrap() == 0 {
        std::process::exit(0);
    }
}

/// Not a test of its own: what a child process does. Nothing without a role.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = std::env::var(FOLDER).expect("a child is given its folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let session = open(Path::new(&folder)).await;
        let registered = register(&session).await;
        tell("ready");
        hear();
        match role.as_str() {
            "racer" => race(&session, &registered, 20).await,
            "hammer" => race(&session, &registered, usize::MAX).await,
            "holder" => {
                let written = claim(&session, &registered).await.unwrap();
                tell("claimed");
                hear();
                let slot = session.read_slot(0).await.unwrap();
                assert_eq!(slot.owner.as_ref().unwrap().session, session.id());
                let record = raised(&slot, slot.value.holder.as_ref());
                session.write(&Write::Extend { slot: 0, version: written.version, record }).await.unwrap();
                tell("extended");
                hear();
            }
            other => panic!("no such role: {other}"),
        }
    });
}

/// Looks and claims the first free slot, if there is one and nobody else was faster. Tells of the grant.
async fn claim(session: &Session, registered: &Registered) -> Option<Written> {
    let view = session.look().await.unwrap();
    let slot = view.slots.iter().find(|slot| slot.owner.is_none())?;
    let guid = Guid::random();
    let (version, record) = (slot.version, raised(slot, Some(&guid)));
    let (admission, at) = (view.admission, slot.slot);
    let grant = format!("{} {} {}", slot.value.ceiling.0, record.ceiling.0, admission.version.0);
    let owner = Owner { v: 1, guid, worker: registered.name.clone() };
    match session.write(&Write::Claim { slot: at, version, record, owner, admission }).await {
        Ok(written) => {
            tell(format!("claim {at} {} {grant}", written.version.0));
            Some(written)
        }
        Err(Failure::Refused(refusal)) => {
            tell(format!("refused {refusal}"));
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// Claims, extends and releases again and again. While it holds a slot, nobody else may write it.
async fn race(session: &Session, registered: &Registered, rounds: usize) {
    let mut won = 0;
    while won < rounds {
        if claim(session, registered).await.is_none() {
            continue;
        }
        won += 1;
        let view = session.look().await.unwrap();
        let mine = |slot: &&SlotRead| slot.owner.as_ref().is_some_and(|owner| owner.session == session.id());
        let held = view.slots.iter().find(mine).expect("just claimed");
        let (slot, record) = (held.slot, raised(held, held.value.holder.as_ref()));
        let grant = |from: &Slot, to: &Slot| format!("{} {}", from.ceiling.0, to.ceiling.0);
        let written = session.write(&Write::Extend { slot, version: held.version, record: record.clone() }).await;
        let version = written.expect("nobody else holds it").version;
        tell(format!("extend {slot} {} {}", version.0, grant(&held.value, &record)));

        let mark = Slot { holder: None, ceiling: record.ceiling + 1, ..record.clone() };
        let release = Write::Release { slot, version, record: mark.clone(), delete_owner: true };
        let version = session.write(&release).await.expect("nobody else holds it").version;
        tell(format!("release {slot} {} {}", version.0, grant(&record, &mark)));
    }
}

/// A child process, killed when it is dropped.
struct Actor {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    fn start(role: &str, folder: &Path) -> Actor {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut actor = Actor { child, stdin, stdout: BufReader::new(stdout).lines() };
        assert_eq!(actor.hear().as_deref(), Some("ready"));
        actor
    }

    /// The next it tells; `None` when it is gone. The harness's own words may stand before it on the line.
    fn hear(&mut self) -> Option<String> {
        self.stdout.by_ref().find_map(|line| Some(line.unwrap().split_once(TOLD)?.1.to_owned()))
    }

    fn go_on(&mut self) {
        self.stdin.write_all(b"\n").unwrap();
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: signals a child that was not waited for yet, so the number is still its own.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// The state of the process as the kernel names it.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One acknowledged write, as its writer told of it.
#[derive(Debug)]
struct Acknowledged {
    slot: u16,
    version: i32,
    from: u64,
    to: u64,
    admission: Option<i32>,
}

fn parse(told: &str) -> Option<Acknowledged> {
    let words: Vec<&str> = told.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    (words[0] != "refused").then(|| Acknowledged {
        slot: number(1) as u16,
        version: number(2) as i32,
        from: number(3),
        to: number(4),
        admission: (words[0] == "claim").then(|| number(5) as i32),
    })
}

/// What the processes were told must be one history: each slot's versions without a gap or a double, each grant
/// beginning where the one before it ended, each admission version used once.
fn check_history(writes: &[Acknowledged], end: &View) {
    let mut slots: BTreeMap<u16, Vec<&Acknowledged>> = BTreeMap::new();
    for write in writes {
        slots.entry(write.slot).or_default().push(write);
    }
    for (slot, history) in &mut slots {
        history.sort_by_key(|write| write.version);
        let versions: Vec<i32> = history.iter().map(|write| write.version).collect();
        assert_eq!(versions, (1..=versions.len() as i32).collect::<Vec<_>>(), "slot {slot}");
        let last = history.last().unwrap();
        assert!(history.windows(2).all(|pair| pair[0].to == pair[1].from), "slot {slot}: {history:?}");
        let stands = &end.slots[usize::from(*slot)];
        assert_eq!((stands.version.0, stands.value.ceiling.0), (last.version, last.to), "slot {slot}");
    }
    let admissions: Vec<i32> = writes.iter().filter_map(|write| write.admission).collect();
    let distinct: BTreeSet<i32> = admissions.iter().copied().collect();
    assert_eq!(distinct, (0..admissions.len() as i32).collect(), "each admission version lets exactly one in");
    assert_eq!(end.admission.version.0 as usize, admissions.len());
}

#[tokio::test]
async fn processes_that_race_make_one_history() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), 2).await;
    let mut racers: Vec<Actor> = (0..4).map(|_| Actor::start("racer", folder.path())).collect();
    racers.iter_mut().for_each(Actor::go_on);
    let told: Vec<String> = racers.iter_mut().flat_map(|racer| std::iter::from_fn(|| racer.hear())).collect();
    for racer in &mut racers {
        assert!(racer.child.wait().unwrap().success());
    }
    let writes: Vec<Acknowledged> = told.iter().filter_map(|told| parse(told)).collect();
    assert_eq!(writes.len(), 4 * 20 * 3);
    assert!(told.len() > writes.len(), "nobody was ever refused: that was no race");
    println!("{} refused", told.len() - writes.len());
    check_history(&writes, &open(folder.path()).await.look().await.unwrap());
}

#[tokio::test]
async fn a_killed_process_is_gone_at_once_and_a_stopped_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), 1).await;
    let watcher = open(folder.path()).await;
    let mut holder = Actor::start("holder", folder.path());
    holder.go_on();
    assert!(holder.hear().unwrap().starts_with("claim 0 1 "));
    assert_eq!(holder.hear().as_deref(), Some("claimed"));
    watcher.watch(&Interest::SlotOwner(0)).await.unwrap();
    let held = watcher.look().await.unwrap();
    assert!(held.slots[0].owner.is_some() && held.registrations.len() == 1);

    holder.signal(libc::SIGSTOP);
    let deadline = Instant::now() + PATIENCE;
    while holder.state() != 'T' {
        assert!(Instant::now() < deadline, "it does not stop");
        std::thread::yield_now();
    }
    // Each look buries the dead, those of a new session too.
    for _ in 0..20 {
        assert_eq!(watcher.look().await.unwrap(), held);
    }
    let newcomer = open(folder.path()).await;
    assert_eq!(newcomer.look().await.unwrap().slots, held.slots);
    newcomer.close().await;
    assert_eq!(watcher.pulse().borrow().wakes, 0);
    holder.signal(libc::SIGCONT);
    holder.go_on();
    assert_eq!(holder.hear().as_deref(), Some("extended"), "it goes on in the same session");

    let killed = Instant::now();
    holder.signal(libc::SIGKILL);
    let mut pulse = watcher.pulse();
    let woken = tokio::time::timeout(PATIENCE, pulse.wait_for(|pulse| pulse.wakes > 0)).await;
    woken.expect("the watcher is woken").unwrap();
    println!("noticed after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());
    let left = watcher.look().await.unwrap();
    assert!(left.slots[0].owner.is_none() && left.registrations.is_empty());
    assert_eq!(left.slots[0].version, Version(2), "the fence stays");
}

/// Killed anywhere in a transaction, a process leaves a whole document with all that was acknowledged in it.
#[tokio::test]
async fn killed_anywhere_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), 1).await;
    let (mut known, mut ceiling) = (0, 0);
    for round in 0..16 {
        let mut hammer = Actor::start("hammer", folder.path());
        hammer.go_on();
        let mut told: Vec<String> = (0..=round % 5).map(|_| hammer.hear().expect("it goes on for ever")).collect();
        // Some more of a transaction, so that the kill meets another place in it each round.
        for _ in 0..round * 2000 {
            std::hint::spin_loop();
        }
        hammer.signal(libc::SIGKILL);
        told.extend(std::iter::from_fn(|| hammer.hear()));
        drop(hammer);
        let acknowledged: Vec<Acknowledged> = told.iter().filter_map(|told| parse(told)).collect();
        for write in &acknowledged {
            assert_eq!((write.version, write.from), (known + 1, ceiling));
            (known, ceiling) = (write.version, write.to);
        }

        let survivor = open(folder.path()).await;
        let view = survivor.look().await.unwrap();
        let slot = &view.slots[0];
        assert!(view.registrations.is_empty() && slot.owner.is_none());
        let unacknowledged = slot.version.0 - known;
        assert!((0..=1).contains(&unacknowledged), "{slot:?} after {acknowledged:?}");
        assert!(unacknowledged == 1 || slot.value.ceiling.0 == ceiling);
        (known, ceiling) = (slot.version.0, slot.value.ceiling.0);
    }
}
