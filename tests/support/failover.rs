//! Real nodes, the first of which fails under callers that never pause, and what they noticed.

use super::program::{Program, meridian, send};
use super::proxy::Proxy;
use super::wait_for;
use super::web::{await_ok, get};
use hdrhistogram::Histogram;
use meridian::census::{Bounds, Census};
use meridian::client::{Client, Counters, Error, Regions, Settings};
use meridian::id::{IdRange, Origin, SNOWFLAKE64};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinSet;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/regions/meridian.yaml");
const CALLERS: u32 = 8;

/// All regions.
pub const NAMES: [&str; 4] = ["us-east", "us-west", "eu-west", "apac"];

/// How a node fails; the only one of its region, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to one of two nodes of one region, which is all there is.
    NodeOfTwo,
    /// The same where the two are a region each.
    RegionOfTwo,
    /// SIGKILL: connections are cut, new ones refused. Soon the second region crashes as well.
    Crash,
    /// SIGSTOP: connections stay, new ones are made, nobody answers. Then SIGCONT: late answers come.
    Hang,
    /// Nothing comes back from it: connections are silent, SYNs are dropped.
    BlackHole,
}

impl Fault {
    pub const ALL: [Fault; 5] = [Fault::NodeOfTwo, Fault::RegionOfTwo, Fault::Crash, Fault::Hang, Fault::BlackHole];

    /// The regions of the nodes.
    fn nodes(self) -> &'static [&'static str] {
        match self {
            Fault::NodeOfTwo => &["us-east", "us-east"],
            Fault::RegionOfTwo => &["us-east", "us-west"],
            Fault::Crash | Fault::Hang | Fault::BlackHole => &NAMES,
        }
    }
}

/// What callers noticed of a fault.
#[derive(Debug)]
pub struct Noticed {
    pub calls: u64,
    pub failures: Vec<Error>,
    pub ids: u64,
    pub duplicates: u64,
    /// The longest call that ended after the fault began, less the median of those before.
    pub added: Duration,
    pub counters: Counters,
}

/// Lets the first node fail under load. Panics if others do not take over, or one that hung does not come back.
pub async fn fail(fault: Fault, settings: Settings) -> Noticed {
    let mut fleet = Fleet::of(fault.nodes());
    let mut door = (fault == Fault::BlackHole).then(|| fleet.put_proxy_before_first());
    let client = fleet.client(fleet.nodes.len(), settings);
    let load = Load::start(&client);
    load.draws_from(&fleet, 0, 100_000).await;
    load.begin_fault();
    match (fault, &mut door) {
        (Fault::NodeOfTwo | Fault::RegionOfTwo, _) => {
            fleet.signal(0, libc::SIGKILL);
            load.draws_from(&fleet, 1, 500_000).await;
        }
        (Fault::Hang, _) => {
            fleet.signal(0, libc::SIGSTOP);
            load.draws_from(&fleet, 1, 500_000).await;
            fleet.signal(0, libc::SIGCONT);
            load.draws_from(&fleet, 0, 100_000).await;
        }
        (Fault::BlackHole, Some(door)) => {
            door.become_black_hole();
            load.draws_from(&fleet, 1, 500_000).await;
        }
        (Fault::Crash | Fault::BlackHole, _) => {
            fleet.signal(0, libc::SIGKILL);
            load.draws_from(&fleet, 1, 200_000).await;
            fleet.signal(1, libc::SIGKILL);
            load.draws_from(&fleet, 2, 300_000).await;
        }
    }
    load.end(&client).await
}

/// Nodes, with locked files to meet at.
pub struct Fleet {
    pub nodes: Vec<Program>,
    /// The region of each.
    regions: Vec<&'static str>,
    urls: Vec<String>,
    /// Whose ids each gives.
    origins: Vec<Origin>,
    _folder: TempDir,
}

impl Fleet {
    /// A node of each region.
    pub fn start() -> Fleet {
        Fleet::of(&NAMES)
    }

    /// A node for each time a region is named; those of one region stand together.
    fn of(regions: &[&'static str]) -> Fleet {
        let folder = TempDir::new().expect("a folder");
        let start = |region: &&str| {
            let place = format!("file:{}", folder.path().join(region).display());
            let mut command = meridian(&["serve", "--json", "--init", "--manifest", MANIFEST, "--region", region]);
            command.args(["--coordination", &place, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]);
            command.args(["--health-off", "ntp_synchronized", "--log", "warn"]).env("TOKIO_WORKER_THREADS", "2");
            let mut node = Program::start(command);
            let bound: Value = serde_json::from_str(&node.line()).expect("one JSON object");
            let url = |key: &str| bound[key].as_str().expect("a URL").to_owned();
            (node, url("http"), url("ops"))
        };
        let (mut nodes, mut urls, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for (node, http, ops) in regions.iter().map(start).collect::<Vec<_>>() {
            await_ok(&ops, "/readyz");
            let id = get(&http, "/api/v1/ids?count=1", "application/json").expect("an answer").ids()[0];
            origins.push(origin(id));
            nodes.push(node);
            urls.push(http);
        }
        Fleet { nodes, regions: regions.to_vec(), urls, origins, _folder: folder }
    }

    /// A client of the first of them, in order.
    pub fn client(&self, first: usize, settings: Settings) -> Client {
        let nodes: Vec<(&str, &String)> = self.regions.iter().copied().zip(&self.urls).take(first).collect();
        let regions = nodes.chunk_by(|one, next| one.0 == next.0).fold(Regions::new(), |regions, of_one| {
            regions.region(of_one[0].0, of_one.iter().map(|(_, url)| url)).expect("URLs")
        });
        Client::with(regions, settings).expect("settings within their bounds")
    }

    fn signal(&self, node: usize, signal: libc::c_int) {
        send(self.nodes[node].pid(), signal);
    }

    fn put_proxy_before_first(&mut self) -> Proxy {
        let address = self.urls[0].strip_prefix("http://").and_then(|address| address.parse().ok());
        let proxy = Proxy::to(address.expect("the URL of an address"));
        self.urls[0] = format!("http://{}", proxy.address());
        proxy
    }
}

/// Callers that never pause for long: all but one take single ids, that one a thousand at a time.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    got: Arc<Mutex<Got>>,
}

struct Got {
    census: Census,
    ids: u64,
    of: HashMap<Origin, u64>,
    failures: Vec<Error>,
    faulty: bool,
    /// Microseconds of the calls that ended before the fault began.
    calm: Histogram<u64>,
    /// Of the others.
    after: Histogram<u64>,
}

impl Load {
    fn start(client: &Client) -> Load {
        let micros = || Histogram::new(3).expect("three digits");
        let got = Arc::new(Mutex::new(Got {
            census: Census::new(SNOWFLAKE64, Bounds::default(), std::env::temp_dir()),
            ids: 0,
            of: HashMap::new(),
            failures: Vec::new(),
            faulty: false,
            calm: micros(),
            after: micros(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (client, got, stop) = (client.clone(), got.clone(), stop.clone());
            tasks.spawn(async move {
                while !stop.load(Relaxed) {
                    let begun = Instant::now();
                    let drawn = match caller {
                        0 => client.ids(1_000).await.map(|ids| ids.ranges().to_vec()),
                        _ => client.next_id().await.map(|first| vec![IdRange { first, count: 1 }]),
                    };
                    let took = begun.elapsed();
                    got.lock().expect("no caller panics").take(drawn, took);
                    tokio::time::sleep(Duration::from_millis(1)).await; // the nodes need the machine too
                }
            });
        }
        Load { tasks, stop, got }
    }

    fn got(&self) -> MutexGuard<'_, Got> {
        self.got.lock().expect("no caller panics")
    }

    fn begin_fault(&self) {
        self.got().faulty = true;
    }

    /// Waits until the node has given so many more.
    async fn draws_from(&self, fleet: &Fleet, node: usize, more: u64) {
        let given = || self.got().of.get(&fleet.origins[node]).copied().unwrap_or(0);
        let before = given();
        let enough = async || (given() >= before + more).then_some(());
        wait_for(&format!("ids from {}, node {node}", fleet.regions[node]), enough).await;
    }

    async fn end(mut self, client: &Client) -> Noticed {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no caller panics");
        }
        let got = Arc::into_inner(self.got).expect("the callers have ended").into_inner().expect("no caller panics");
        let tally = got.census.finish().expect("it fits into memory");
        assert_eq!(tally.ids, got.ids);
        Noticed {
            calls: got.calm.len() + got.after.len(),
            failures: got.failures,
            ids: tally.ids,
            duplicates: tally.duplicates,
            added: Duration::from_micros(got.after.max().saturating_sub(got.calm.value_at_quantile(0.5))),
            counters: client.counters(),
        }
    }
}

impl Got {
    fn take(&mut self, drawn: Result<Vec<IdRange>, Error>, took: Duration) {
        match drawn {
            Ok(ranges) => {
                for range in ranges {
                    self.census.add(range).expect("it fits into memory");
                    self.ids += u64::from(range.count);
                    *self.of.entry(origin(range.first)).or_default() += u64::from(range.count);
                }
            }
            Err(error) => self.failures.push(error),
        }
        let calls = if self.faulty { &mut self.after } else { &mut self.calm };
        calls.record(took.as_micros() as u64).expect("it takes any number");
    }
}

fn origin(id: u64) -> Origin {
    SNOWFLAKE64.decode(id).expect("an id of the layout").origin
}
