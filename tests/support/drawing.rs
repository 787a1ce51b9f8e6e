//! Those who draw ids from a node for as long as a test runs, remember all of them, and compare at the end.

use super::{Caller, Node, Reply, block_until};
use meridian::id::{IdRange, Millis, SNOWFLAKE64};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two requests, so that the machine has time for others.
pub(super) const PAUSE: Duration = Duration::from_millis(2);

/// While nobody listens.
const ABSENT: Duration = Duration::from_millis(20);

/// One thread that asks one node again and again, for one id, for packed ids and for ranges by turns.
pub struct Drawing {
    drawn: Arc<Mutex<Drawn>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// All that one of them got.
#[derive(Clone, Debug, Default)]
pub struct Drawn {
    pub name: String,
    pub ranges: Vec<IdRange>,
    /// When each answer with ids was there, and its first id.
    pub answers: Vec<(Instant, u64)>,
    pub refused: Vec<Refused>,
    /// When it was asked, and why no answer came: the connection could not be made, or ended.
    pub lost: Vec<(Instant, String)>,
    /// The last id of each slot: what comes next from it must be higher.
    last: BTreeMap<u16, u64>,
    disorder: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Refused {
    pub at: Instant,
    pub status: u16,
    pub code: String,
    pub retry_after: Option<u64>,
}

impl Drawing {
    pub fn from(node: &Node) -> Drawing {
        Drawing::start(node.name(), node.http())
    }

    fn start(name: &str, address: SocketAddr) -> Drawing {
        let drawn = Arc::new(Mutex::new(Drawn::named(name)));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (drawn, stop) = (drawn.clone(), stop.clone());
            move || draw(address, &drawn, &stop)
        });
        Drawing { drawn, stop, thread: Some(thread) }
    }

    /// What there is so far.
    pub fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().expect("nothing panics under it")
    }

    /// Waits for an answer with ids that came after this moment, and says when.
    pub fn issued_after(&self, moment: Instant) -> Instant {
        let name = self.drawn().name.clone();
        block_until(format!("ids from {name}"), || self.drawn().first_after(moment))
    }

    /// Stops asking.
    pub fn finish(mut self) -> Drawn {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a drawing thread does not panic");
        }
        self.drawn().clone()
    }
}

impl Drop for Drawing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drawn {
    pub fn named(name: impl Into<String>) -> Drawn {
        Drawn { name: name.into(), ..Drawn::default() }
    }

    pub fn first_after(&self, moment: Instant) -> Option<Instant> {
        self.answers.iter().map(|(at, _)| *at).find(|at| *at > moment)
    }

    pub fn last_answer(&self) -> Option<Instant> {
        self.answers.last().map(|(at, _)| *at)
    }

    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.count)).sum()
    }

    pub fn slots(&self) -> Vec<u16> {
        self.last.keys().copied().collect()
    }

    /// The highest timestamp among the ids of a slot.
    pub fn highest_ms(&self, slot: u16) -> Option<Millis> {
        let last = SNOWFLAKE64.decode(*self.last.get(&slot)?).expect("an id of the layout");
        Some(last.timestamp)
    }

    /// The longest time between two answers with ids.
    pub fn longest_gap(&self) -> Duration {
        let gaps = self.answers.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0));
        gaps.max().unwrap_or_default()
    }

    /// Ids that were not above all before them of their slot.
    pub fn disordered(&self) -> usize {
        self.disorder.len()
    }

    pub fn assert_none_refused(&self) {
        let Drawn { name, refused, lost, .. } = self;
        assert!(refused.is_empty() && lost.is_empty(), "{name}: refused {refused:?}, lost {lost:?}");
        assert!(!self.answers.is_empty(), "{name}: nothing was drawn");
    }

    /// What became of a request.
    pub(super) fn note(&mut self, asked: Instant, path: &str, reply: io::Result<Reply>) {
        match reply {
            Ok(reply) if reply.status == 200 => self.take(ranges_of(path, &reply.body)),
            Ok(reply) => {
                let (code, retry_after) = (reply.code(), reply.retry_after());
                self.refused.push(Refused { at: Instant::now(), status: reply.status, code, retry_after });
            }
            Err(error) => self.lost.push((asked, format!("{path}: {error}"))),
        }
    }

    fn take(&mut self, ranges: Vec<IdRange>) {
        let Some(first) = ranges.first().map(|range| range.first) else { return };
        for range in ranges {
            let slot = SNOWFLAKE64.decode(range.first).expect("an id of the layout").origin.worker;
            let last = range.first + u64::from(range.count) - 1;
            if let Some(before) = self.last.insert(slot, last)
                && before >= range.first
            {
                self.disorder.push(format!("slot {slot}: {} after {before}", range.first));
            }
            self.ranges.push(range);
        }
        self.answers.push((Instant::now(), first));
    }
}

/// No id was given twice, by whomever, and each slot of each thread rose. Says how many there were.
pub fn assert_unique(drawn: &[&Drawn]) -> u64 {
    for drawn in drawn {
        assert!(drawn.disorder.is_empty(), "{}: ids went back: {:?}", drawn.name, drawn.disorder);
    }
    let mut all: Vec<(u64, u64, &str)> = drawn
        .iter()
        .flat_map(|drawn| drawn.ranges.iter().map(|range| (range.first, u64::from(range.count), drawn.name.as_str())))
        .collect();
    all.sort_unstable();
    for pair in all.windows(2) {
        let ((first, count, one), (next, _, other)) = (pair[0], pair[1]);
        assert!(first + count <= next, "duplicate: {next} was given by {other} and by {one} ({first} and {count} on)");
    }
    let count = all.iter().map(|(_, count, _)| count).sum();
    assert!(count > 0, "nothing was drawn");
    count
}

/// What drawing threads ask for by turns, and how.
pub(super) const FORMS: [(&str, &str); 3] = [
    ("/api/v1/id", "application/json"),
    ("/api/v1/ids?count=300", "application/octet-stream"),
    ("/api/v1/ranges?count=6000", "application/json"),
];

fn draw(address: SocketAddr, drawn: &Mutex<Drawn>, stop: &AtomicBool) {
    let mut caller = Caller::new(address);
    for (path, accept) in FORMS.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let asked = Instant::now();
        let reply = caller.ask(path, accept);
        let pause = if reply.is_ok() { PAUSE } else { ABSENT };
        drawn.lock().expect("nothing panics under it").note(asked, path, reply);
        std::thread::sleep(pause);
    }
}

/// The ids in an answer to this path, whatever its representation: packed if the body is no JSON.
pub fn ranges_of(path: &str, body: &[u8]) -> Vec<IdRange> {
    let json = || -> serde_json::Value { serde_json::from_slice(body).expect("JSON") };
    let number = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok()).expect("an id as text");
    if path.contains("/ranges") {
        let document = json();
        let ranges = document["ranges"].as_array().expect("ranges");
        let count = |range: &serde_json::Value| range["count"].as_u64().expect("a count") as u32;
        return ranges.iter().map(|range| IdRange { first: number(&range["first"]), count: count(range) }).collect();
    }
    if path.contains("/ids") {
        let ids: Vec<u64> = match body.first() {
            Some(b'[') => json().as_array().expect("ids").iter().map(number).collect(),
            _ => body.chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes"))).collect(),
        };
        let asked = path.rsplit('=').next().and_then(|count| count.parse().ok());
        assert_eq!(Some(ids.len()), asked, "all the ids that were asked for");
        return ids.into_iter().map(|id| IdRange { first: id, count: 1 }).collect();
    }
    vec![IdRange { first: number(&json()["id"]), count: 1 }]
}
