//! What an id costs before any network: Meridian's generator beside those of other crates, by one thread and by several
//! that share one.
//!
//! `cargo bench --bench generator` writes `docs/results/generator.md`. *Given clock*: all read the same word of memory for
//! the time, which they move on; so this is the cost of the counter. *Own clock*: each reads the clock for each id
//! (Meridian as a node does, ferroid and snowflaked through `SystemTime`), a thousand at a time, at the beginning of a
//! millisecond, so that nobody runs out of ids. A time is that of a thread for one id, not a share of what all threads made.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group};
use ferroid::generator::AtomicSnowflakeGenerator;
use ferroid::id::SnowflakeTwitterId;
use ferroid::time::TimeSource;
use meridian::clock::{self, Clock, Now};
use meridian::desk::Desk;
use meridian::generator::Generator;
use meridian::id::SNOWFLAKE64;
use meridian::issuer::Issuer;
use meridian::lease::coordination::{Blueprint, Coordination, Expected};
use meridian::lease::file::Directory;
use meridian::lease::keeper::{Config, Keeper};
use meridian::lease::state::Settings;
use meridian::lease::znode::{Admission, Class, Guid, NodeId, Registration, Tree, VERSION};
use meridian::load::Load;
use meridian::outcomes::Outcomes;
use prometheus_client::registry::Registry;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;

/// A day: more ids than any run takes, at any speed.
const WINDOW_MS: u64 = 86_400_000;

const EPOCH: &str = "2024-01-01T00:00:00Z";
const EPOCH_UNIX_MS: i64 = 1_704_067_200_000;

/// Of every format here.
const IDS_PER_MS: u64 = 4_096;

const THREADS: [u64; 3] = [1, 2, MOST_THREADS];
const MOST_THREADS: u64 = 8;

/// Ids in one request.
const BATCHES: [u64; 3] = [16, 256, IDS_PER_MS];

/// What is there at each layer for one id.
const ACCOUNTS: [(&str, &str); 3] = [
    ("generator", "`Generator::take`, as above"),
    ("issuer", "`Issuer::issue_now`: which slot, and the count of ids"),
    ("desk", "`Desk::draw_now`: a second look at the clock, the histogram of latency, the outcomes health judges by"),
];

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/generator.md");

/// Of a burst at the beginning of a millisecond: a quarter of what every format here has, for all threads.
const BURST: u64 = 1_000;

/// Milliseconds, for all whose clock is given.
static GIVEN_MS: AtomicU64 = AtomicU64::new(0);

/// A generator with a real lease, which a keeper keeps in a folder.
struct Leased {
    generator: Generator,
    clock: Arc<Clock>,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Leased {
    /// An id, as the others give one.
    #[inline(always)]
    fn id(&self, now: Now) -> u64 {
        let taken = self.generator.take(now, 1).expect("a day is enough");
        SNOWFLAKE64.id(self.generator.origin(), taken.ticks.from)
    }
}

fn leased() -> Leased {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let clock = Arc::new(Clock::start(EPOCH_UNIX_MS));
    let (fleet, epoch, layout) = ("bench".to_owned(), EPOCH.to_owned(), "snowflake64".to_owned());
    let expected = Expected { fleet: fleet.clone(), datacenter: 0, epoch: epoch.clone(), layout: layout.clone() };
    let blueprint = Blueprint {
        tree: Tree { v: VERSION, fleet, datacenter: 0, epoch, layout, genesis: Guid::random() },
        admission: Admission { v: VERSION, quota: 1, fixed: 0, surge: 1, ..Admission::default() },
        slots: SNOWFLAKE64.workers(),
        window_ms: 0,
        epoch_unix_ms: EPOCH_UNIX_MS,
    };
    let settings = Settings {
        layout: SNOWFLAKE64,
        datacenter: 0,
        dynamic: 16..=31,
        session_ms: 6_000,
        window_ms: WINDOW_MS,
        first_window_ms: WINDOW_MS,
        max_borrow_ms: 60_000,
        lame_duck_ms: 0,
    };
    let [host, zone, http, ops, version, started] = [(); 6].map(|()| String::new());
    let (node, class, wanted_slot, eligible) = (NodeId::random(), Class::Dynamic, None, true);
    let card = Registration { v: VERSION, node, class, wanted_slot, eligible, host, zone, http, ops, version, started };
    let coordination = Coordination::File(Directory::new(folder.path()));
    let config = Config { coordination, expected, settings, cards: vec![card], state_dir: None, init: Some(blueprint) };
    let (mut keepers, mut watched) = Keeper::of_each(config, clock.clone(), &mut Default::default());
    let keeper = keepers.remove(0);
    let (stop, stops) = tokio::sync::watch::channel(false);
    runtime.spawn(async move {
        let _stop = stop;
        keeper.run(stops).await;
    });
    let grant = runtime.block_on(async {
        let granted =
            tokio::time::timeout(Duration::from_secs(20), watched.grants.wait_for(|grants| grants[0].is_some())).await;
        granted.expect("a slot in time").expect("the keeper lives")[0].clone().expect("waited for")
    });
    // As far ahead of the clock as they come: what is measured is the counter, not the wait.
    let generator = Generator::new(grant, Duration::from_millis(WINDOW_MS), clock.now());
    GIVEN_MS.fetch_max(clock.now().credible_us / 1_000 + 60_000, Relaxed);
    Leased { generator, clock, _runtime: runtime, _folder: folder }
}

/// The time that is given, for ferroid.
struct Given;

impl TimeSource<u64> for Given {
    fn current_millis(&self) -> u64 {
        GIVEN_MS.load(Relaxed)
    }
}

/// The machine's clock, for ferroid, as it is read for everybody else: its own is a word that a thread of its own sets.
struct System;

impl TimeSource<u64> for System {
    fn current_millis(&self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        now.as_millis() as u64 - EPOCH_UNIX_MS as u64
    }
}

/// So many threads make `each` ids together, from the same moment on; the time until the last has.
fn together(threads: u64, each: u64, make: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        let (make, barrier) = (&make, &barrier);
        let runs: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(move || {
                    barrier.wait();
                    let started = Instant::now();
                    (0..each).for_each(|n| {
                        // Each moves the time that is given, or who is left when the others are done waits for it for ever;
                        // and so often that all of them together find ids in a millisecond.
                        if n.is_multiple_of(IDS_PER_MS / MOST_THREADS) {
                            GIVEN_MS.fetch_add(1, Relaxed);
                        }
                        make(n);
                    });
                    started.elapsed()
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().expect("no thread panics")).max().unwrap_or_default()
    })
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, make: impl Fn(u64) + Sync) {
    for threads in THREADS {
        group.bench_function(BenchmarkId::new(name, threads), |bencher| {
            bencher.iter_custom(|ids| together(threads, ids, &make));
        });
    }
}

fn given_clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("given clock");
    let own = leased();
    let present = own.clock.now();
    let offset_us = present.credible_us - present.boot_us;
    measure(&mut group, "meridian", |_| {
        let us = GIVEN_MS.load(Relaxed) * 1_000;
        let now = Now { credible_us: us, pace_us: us, boot_us: us - offset_us };
        black_box(own.id(now));
    });
    let ferroid = AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(1, Given);
    measure(&mut group, "ferroid", |_| {
        black_box(ferroid.next_id(|_| std::hint::spin_loop()));
    });
    group.finish();
}

/// So many threads make `each` ids in bursts, all at the beginning of a millisecond; only they are timed.
fn bursts(threads: u64, each: u64, make: impl Fn() + Sync) -> Duration {
    // Who has a processor of its own looks all the time; on a shared one that would only take the others' turn.
    let crowded = std::thread::available_parallelism().is_ok_and(|processors| threads > processors.get() as u64);
    let barrier = Barrier::new(threads as usize);
    let run = || {
        barrier.wait();
        let (mut left, mut took) = (each, Duration::ZERO);
        while left > 0 {
            let n = left.min(BURST / threads);
            let present = clock::real_us() / 1_000;
            while clock::real_us() / 1_000 == present {
                match crowded {
                    true => std::thread::sleep(Duration::from_micros(100)),
                    false => std::hint::spin_loop(),
                }
            }
            let started = Instant::now();
            (0..n).for_each(|_| make());
            took += started.elapsed();
            left -= n;
        }
        took
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        runs.into_iter().map(|run| run.join().expect("no thread panics")).max().unwrap_or_default()
    })
}

fn in_bursts(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, threads: &[u64], make: impl Fn() + Sync) {
    for threads in threads {
        group.bench_function(BenchmarkId::new(name, threads), |bencher| {
            bencher.iter_custom(|ids| bursts(*threads, ids, &make));
        });
    }
}

fn own_clock(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("own clock");
    let own = leased();
    let ferroid = AtomicSnowflakeGenerator::<SnowflakeTwitterId, _>::new(1, System);
    let snowflaked = snowflaked::sync::Generator::new(1);
    in_bursts(&mut group, "meridian", &THREADS, || {
        black_box(own.id(own.clock.now()));
    });
    in_bursts(&mut group, "ferroid", &THREADS, || {
        black_box(ferroid.next_id(|_| std::hint::spin_loop()));
    });
    in_bursts(&mut group, "snowflaked", &THREADS, || {
        black_box(snowflaked.generate::<u64>());
    });
    group.finish();
}

/// What a node does besides for one id: finding the slot and counting it is the issuer's, and how long it took, by the
/// histogram and for its health, the desk's.
fn accounts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("accounts");
    let own = leased();
    let mut registry = Registry::default();
    let issuer = Arc::new(Issuer::new(own.clock.clone(), Duration::from_secs(1), &mut registry));
    issuer.install([own.generator.grant().clone()]);
    let load = Arc::new(Load::new(1_024, &mut registry));
    let desk = Desk::new(issuer.clone(), load, Arc::new(Outcomes::default()), &mut registry);
    in_bursts(&mut group, "generator", &[1], || {
        black_box(own.id(own.clock.now()));
    });
    in_bursts(&mut group, "issuer", &[1], || {
        black_box(issuer.issue_now().expect("ids of this millisecond"));
    });
    in_bursts(&mut group, "desk", &[1], || {
        black_box(desk.draw_now().expect("ids of this millisecond"));
    });
    group.finish();
}

/// Many ids a request: one claim, and each id written out.
fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batches, own clock");
    let own = leased();
    let mut ids = Vec::new();
    for count in BATCHES {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("meridian", count), |bencher| {
            bencher.iter(|| {
                let taken = own.generator.take(own.clock.now(), count as u32).expect("a day is enough").ticks;
                ids.clear();
                for range in SNOWFLAKE64.ranges(own.generator.origin(), taken.from, taken.to) {
                    ids.extend(range.ids());
                }
                black_box(ids.last());
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // More than a second of each would use up a day of ids.
    config = Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    targets = given_clock, own_clock, batches, accounts
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Neither a part of it nor the smoke test is worth a page.
    if std::env::args().skip(1).eq(["--bench"]) {
        std::fs::write(PAGE, page()).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    }
}

/// What criterion has found just now, with the others in the same row.
fn page() -> String {
    // Where criterion keeps what it found.
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/target").to_owned());
    let estimates = std::env::var("CRITERION_HOME").unwrap_or(format!("{target}/criterion"));
    let median = |group: &str, name: &str, which: u64| {
        let path = format!("{estimates}/{group}/{name}/{which}/new/estimates.json");
        let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found: serde_json::Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        found["median"]["point_estimate"].as_f64().unwrap_or_else(|| panic!("{path}: no median"))
    };
    let mut text = format!(
        "# The generator\n\nWritten by `cargo bench --bench generator` on {}: {} cores. Medians of criterion, in ns for one id.\n\n\
         | clock | threads | meridian | ferroid | snowflaked | meridian by the best of the others |\n|---|---:|---:|---:|---:|---:|\n",
        &clock::timestamp()[..10],
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let mut row = |group: &str, threads: u64, snowflaked: Option<f64>| {
        let (ours, ferroid) = (median(group, "meridian", threads), median(group, "ferroid", threads));
        let other = snowflaked.map_or("".to_owned(), |ns| format!("{ns:.1}"));
        let ratio = ours / snowflaked.unwrap_or(f64::INFINITY).min(ferroid);
        writeln!(text, "| {group} | {threads} | {ours:.1} | {ferroid:.1} | {other} | {ratio:.2}x |").expect("a string");
    };
    for threads in THREADS {
        row("given clock", threads, None);
    }
    for threads in THREADS {
        row("own clock", threads, Some(median("own clock", "snowflaked", threads)));
    }
    text += "\nNo clock can be given to snowflaked. Of its own ferroid has a word that a thread of its own sets; here it reads what \
             snowflaked reads.\n";
    text += "\n| ids in one request, own clock | ns a request | ns an id |\n|---:|---:|---:|\n";
    for count in BATCHES {
        let ns = median("batches, own clock", "meridian", count);
        writeln!(text, "| {count} | {ns:.0} | {:.2} |", ns / count as f64).expect("a string");
    }
    text += "\n| one id in a node, own clock | ns | more than the line before |\n|---|---:|---:|\n";
    let mut before = None;
    for (name, what) in ACCOUNTS {
        let ns = median("accounts", name, 1);
        let more = before.replace(ns).map_or("".to_owned(), |before: f64| format!("{:.1}", ns - before));
        writeln!(text, "| {what} | {ns:.1} | {more} |").expect("a string");
    }
    text
}
