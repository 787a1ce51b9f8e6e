//! The one task that keeps a lease: it carries the state machine's requests to the coordination service, brings the
//! answers back, and publishes the grant. It decides nothing itself.
//!
//! A process that wants several slots has a keeper for each, with a session and a registration of its own: to the
//! coordination service they are as many workers. What they share is the machine: its clock, its disk, its metrics.

mod metrics;

use super::coordination::*;
use super::grant::Grant;
use super::high_water::HighWater;
use super::state::{Answer, At, Event, Next, Notice, Opened, Overview, Phase, Request, Settings, State, Unopened};
use super::znode::{Guid, Registration, Tree};
use crate::clock::{self, Clock, STEP_US};
use crate::id::Millis;
use metrics::{Asked, Kind, Metrics};
use prometheus_client::registry::Registry;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// A clock this far from the ensemble's, on a machine whose kernel is not synchronised either, may not claim.
const HELD_BACK_MS: f64 = 1_000.0;

/// High-water marks waiting for the disk. More means the disk hangs: they are dropped, and that is an alarm.
const MARKS_QUEUED: usize = 64;

/// A disk that takes longer to tell its high-water marks is not waited for.
const DISK_WITHIN: Duration = Duration::from_secs(2);

/// What the keepers of a process are made from.
pub struct Config {
    pub coordination: Coordination,
    pub expected: Expected,
    pub settings: Settings,
    /// What the node says of itself in the line, once for each slot it wants: the nodes in them differ.
    pub cards: Vec<Registration>,
    /// Where high-water marks are kept; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// Made before each session is opened, when the tree may have to be.
    pub init: Option<Blueprint>,
}

/// Where the lease stands, for health, metrics and people.
#[derive(Clone, Debug)]
pub struct Status {
    pub phase: Phase,
    pub registration: Option<String>,
    pub overview: Option<Overview>,
    /// Why there is no session, when there is none.
    pub trouble: Option<String>,
    /// The disk does not take high-water marks.
    pub high_water_failing: bool,
}

/// One comparison of clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    /// The service's clock minus ours.
    pub offset_ms: f64,
    /// Half a round trip: the comparison is no better than this.
    pub error_ms: f64,
}

/// The task.
pub struct Keeper {
    machine: Arc<Machine>,
    state: State,
    session: Place<Option<Session>>,
    pulse: Option<watch::Receiver<Pulse>>,
    wakes: u64,
    grant: Place<Option<Arc<Grant>>>,
    status: Place<Status>,
    marks: Option<mpsc::Sender<(HighWater, u16, Millis)>>,
    high_water: Option<HighWater>,
}

/// What the keepers of a process have in common.
struct Machine {
    config: Config,
    clock: Arc<Clock>,
    offset: watch::Sender<Option<Offset>>,
    /// A slot was held, so that timestamps may have been issued.
    held: AtomicBool,
    metrics: Metrics,
}

/// One keeper's place in what all of a process publish.
struct Place<T> {
    all: watch::Sender<Vec<T>>,
    index: usize,
}

impl<T> Clone for Place<T> {
    fn clone(&self) -> Place<T> {
        Place { all: self.all.clone(), index: self.index }
    }
}

impl<T> Place<T> {
    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.all.borrow()[self.index])
    }

    fn replace(&self, value: T) -> T {
        let mut value = Some(value);
        let mut old = None;
        self.all.send_modify(|all| old = value.take().map(|value| std::mem::replace(&mut all[self.index], value)));
        old.expect("it was modified")
    }

    /// Tells the others if `modify` says that it changed something.
    fn modify(&self, modify: impl FnOnce(&mut T) -> bool) {
        self.all.send_if_modified(|all| modify(&mut all[self.index]));
    }
}

/// What the rest of the process sees of its keepers, each in its place.
#[derive(Clone)]
pub struct Watched {
    pub grants: watch::Receiver<Vec<Option<Arc<Grant>>>>,
    pub status: watch::Receiver<Vec<Status>>,
    pub sessions: watch::Receiver<Vec<Option<Session>>>,
    /// Our clock against the service's, by the last write of any of them.
    pub offset: watch::Receiver<Option<Offset>>,
}

impl Watched {
    /// A session of the moment, for what else there is to ask beside the lease: one that is connected, if any is.
    pub fn session(&self) -> Option<Session> {
        let sessions = self.sessions.borrow();
        let connected = |session: &&Session| session.pulse().borrow().link == Link::Connected;
        sessions.iter().flatten().find(connected).or(sessions.iter().flatten().next()).cloned()
    }

    /// Whether all slots that are held are about to be given back.
    pub fn is_leaving(&self) -> bool {
        let status = self.status.borrow();
        let stays = |status: &Status| matches!(status.phase, Phase::Holding | Phase::Detached);
        status.iter().any(|status| status.phase == Phase::Leaving) && !status.iter().any(stays)
    }

    /// The service's wall clock minus ours, in milliseconds, as far as it is known.
    pub fn offset_ms(&self) -> f64 {
        self.offset.borrow().map_or(0.0, |offset| offset.offset_ms)
    }
}

type InFlight = Pin<Box<dyn Future<Output = (Answer, Option<Arrived>)> + Send>>;

/// The one request under way.
struct Sent {
    asked: Asked,
    sent_us: i64,
    answer: InFlight,
}

/// What an opened session brings beside the answer.
struct Arrived {
    session: Session,
    high_water: Option<HighWater>,
}

impl Keeper {
    /// A keeper for each card.
    pub fn of_each(config: Config, clock: Arc<Clock>, registry: &mut Registry) -> (Vec<Keeper>, Watched) {
        let states: Vec<State> =
            config.cards.iter().map(|card| State::new(config.settings.clone(), card.clone())).collect();
        let status = |state: &State| Status {
            phase: state.phase(),
            registration: None,
            overview: None,
            trouble: None,
            high_water_failing: false,
        };
        let (grants, watch_grants) = watch::channel(vec![None; states.len()]);
        let (statuses, watch_status) = watch::channel(states.iter().map(status).collect());
        let (sessions, watch_sessions) = watch::channel(vec![None; states.len()]);
        let (offset, watch_offset) = watch::channel(None);
        let metrics = Metrics::new(registry);
        let machine = Arc::new(Machine { config, clock, offset, held: AtomicBool::new(false), metrics });
        let keeper = |(index, state)| Keeper {
            machine: machine.clone(),
            state,
            session: Place { all: sessions.clone(), index },
            pulse: None,
            wakes: 0,
            grant: Place { all: grants.clone(), index },
            status: Place { all: statuses.clone(), index },
            marks: None,
            high_water: None,
        };
        let keepers = states.into_iter().enumerate().map(keeper).collect();
        let watched =
            Watched { grants: watch_grants, status: watch_status, sessions: watch_sessions, offset: watch_offset };
        (keepers, watched)
    }

    /// Keeps the lease until `stop` turns true, then seals it, gives it back and leaves. The caller bounds the leaving:
    /// with the service away it would go on trying.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let (marks, queue) = mpsc::channel(MARKS_QUEUED);
        let writer = tokio::spawn(write_marks(queue, self.status.clone(), self.machine.metrics.clone()));
        self.marks = Some(marks);
        let mut in_flight: Option<Sent> = None;
        let mut stopping = false;
        loop {
            let wake = match self.state.next(self.at()) {
                Next::Done => break,
                Next::Send(request) => {
                    let asked = Asked::of(&request);
                    in_flight = Some(Sent { asked, sent_us: clock::boot_us(), answer: self.perform(request) });
                    None
                }
                Next::Wait(until) => until,
            };
            self.publish();
            let now_ms = self.at().boot_ms;
            let event = tokio::select! {
                (answer, arrived, asked, sent_us) = answer_of(&mut in_flight) => {
                    in_flight = None;
                    let took = Duration::from_micros((clock::boot_us() - sent_us).max(0) as u64);
                    self.machine.metrics.took(asked, took);
                    self.arrived(arrived);
                    if let Some(verdict) = self.compare_clocks(&answer, sent_us) {
                        self.step(Event::MayClaim(verdict));
                    }
                    Event::Answered(answer)
                }
                event = pulsed(&mut self.pulse, &mut self.wakes) => event,
                _ = sleep_until(wake, now_ms) => continue,
                _ = stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    Event::Stop
                }
            };
            self.step(event);
        }
        self.publish();
        if let Some(session) = self.session.replace(None) {
            session.close().await;
        }
        self.marks = None;
        if let Err(error) = writer.await {
            tracing::error!(%error, "the writer of high-water marks failed");
        }
    }

    fn at(&self) -> At {
        let now = self.machine.clock.now();
        At { boot_ms: now.boot_us / 1_000, credible: now.credible() }
    }

    fn step(&mut self, event: Event) {
        if let Event::Woken = event {
            self.machine.metrics.count(Kind::woken);
        }
        for notice in self.state.step(self.at(), event) {
            self.tell(notice);
        }
    }

    /// Starts a request. It is sent now, and runs to its end: a write that was sent is never taken back.
    fn perform(&self, request: Request) -> InFlight {
        let config = &self.machine.config;
        let session_timeout = Duration::from_millis(config.settings.session_ms);
        let Request::Open = request else {
            let session = self.session.read(Clone::clone).expect("the state machine sends on a session it opened");
            return Box::pin(async move { (ask(&session, request, session_timeout * 2).await, None) });
        };
        let (coordination, expected) = (config.coordination.clone(), config.expected.clone());
        // A tree that was wiped meanwhile and is made again is another tree.
        let init = config
            .init
            .clone()
            .map(|blueprint| Blueprint { tree: Tree { genesis: Guid::random(), ..blueprint.tree }, ..blueprint });
        let state_dir = config.state_dir.clone();
        Box::pin(async move {
            match open(coordination, expected, init, state_dir, session_timeout).await {
                Ok((opened, arrived)) => (Answer::Opened(Ok(opened)), Some(arrived)),
                Err(why) => (Answer::Opened(Err(Unopened(why))), None),
            }
        })
    }

    fn arrived(&mut self, arrived: Option<Arrived>) {
        if let Some(Arrived { session, high_water }) = arrived {
            let mut pulse = session.pulse();
            self.wakes = pulse.borrow_and_update().wakes;
            self.pulse = Some(pulse);
            self.session.replace(Some(session));
            self.high_water = high_water;
        }
    }

    /// Each stamped write compares our wall clock with the service's. Says whether the clock may be trusted with a
    /// claim: two sources (service and kernel) must agree that it is wrong before it is held back.
    ///
    /// A process that started with a clock far ahead would keep that time, which never goes back, and burn it into the
    /// first slot it claims. As long as it has issued nothing, it takes the service's word instead.
    fn compare_clocks(&self, answer: &Answer, sent_us: i64) -> Option<bool> {
        if !self.machine.config.coordination.is_second_clock() {
            return None;
        }
        let ServerTime(server_ms) = match answer {
            Answer::Registered(Ok(registered)) => registered.at,
            Answer::Updated(Ok(at)) => *at,
            Answer::Written(Ok(Written { at: Some(at), .. })) => *at,
            _ => return None,
        };
        // The round trip by BOOTTIME: a wall clock that jumps meanwhile must not look like a long way to the service.
        let received_ms = clock::real_us() as f64 / 1_000.0;
        let error_ms = (clock::boot_us() - sent_us).max(0) as f64 / 2_000.0;
        let offset_ms = server_ms as f64 + 0.5 - (received_ms - error_ms); // stamps are cut to whole milliseconds
        if error_ms > HELD_BACK_MS {
            return None; // too long on the way to tell anything
        }
        self.machine.offset.send_replace(Some(Offset { offset_ms, error_ms }));
        let distance_ms = (offset_ms.abs() - error_ms).max(0.0);
        let synchronized = clock::kernel_state().synchronized;
        if (offset_ms.abs() + error_ms) * 1_000.0 <= STEP_US as f64 {
            self.machine.clock.confirm();
        }
        let service_now_ms = server_ms as f64 + 0.5 + error_ms;
        let ahead_ms = self.machine.clock.unix_ms_of(self.machine.clock.now().credible()) as f64 - service_now_ms;
        let service_is_wrong = synchronized && distance_ms > HELD_BACK_MS;
        if !self.machine.held.load(Relaxed) && !service_is_wrong && ahead_ms - error_ms > HELD_BACK_MS {
            tracing::warn!(ahead_ms, "started with a clock far ahead; taking the coordination service's time instead");
            self.machine.clock.start_again(service_now_ms);
        }
        Some(distance_ms <= HELD_BACK_MS || synchronized)
    }

    fn publish(&mut self) {
        let grant = self.state.grant();
        self.grant.modify(|published| {
            let changed = published.as_ref().map(Arc::as_ptr) != grant.map(Arc::as_ptr);
            if changed {
                *published = grant.cloned();
            }
            changed
        });
        let (phase, registration) = (self.state.phase(), self.state.registered());
        let overview = self.state.overview();
        self.status.modify(|status| {
            let same = status.phase == phase
                && status.registration.as_deref() == registration
                && status.overview.as_ref() == overview;
            if !same {
                status.phase = phase;
                status.registration = registration.map(str::to_owned);
                status.overview = overview.cloned();
            }
            !same
        });
    }

    fn tell(&mut self, notice: Notice) {
        let kind = match &notice {
            Notice::Opened(session) => {
                self.status.modify(|status| status.trouble.take().is_some());
                tracing::info!(%session, "session opened");
                Kind::session_opened
            }
            Notice::SessionOver => {
                tracing::warn!("session over; opening another");
                self.session.replace(None);
                self.pulse = None;
                Kind::session_over
            }
            Notice::Unreachable(why) => {
                let known = self.status.read(|status| status.trouble.as_ref() == Some(why));
                if !known {
                    tracing::warn!(%why, "no session; trying again");
                    self.status.modify(|status| status.trouble.replace(why.clone()).as_ref() != Some(why));
                }
                Kind::unreachable
            }
            Notice::Registered(name) => {
                tracing::info!(%name, "registered");
                Kind::registered
            }
            Notice::Granted { slot, floor, ceiling, borrowed_ms } => {
                tracing::info!(slot, floor = floor.0, ceiling = ceiling.0, borrowed_ms, "slot granted");
                self.machine.held.store(true, Relaxed);
                self.mark(*slot, *ceiling);
                Kind::granted
            }
            Notice::Extended { slot, ceiling } => {
                tracing::debug!(slot, ceiling = ceiling.0, "extended");
                self.mark(*slot, *ceiling);
                Kind::extended
            }
            Notice::Reattached { slot } => {
                tracing::info!(slot, "re-attached to the new session");
                Kind::reattached
            }
            Notice::Fenced { slot } => {
                tracing::warn!(slot, "fenced: another node has the slot; back to the line");
                Kind::fenced
            }
            Notice::Released { slot, mark } => {
                tracing::info!(slot, mark = mark.0, "slot released");
                self.mark(*slot, *mark);
                Kind::released
            }
            Notice::GivingBack { slot } => {
                tracing::warn!(
                    slot,
                    "the quota is full without this slot; unready, and giving it back after the lame duck"
                );
                Kind::giving_back
            }
            Notice::Evicted { slot } => {
                tracing::info!(slot, "removed an owner left by a claim that was given up");
                Kind::evicted
            }
            Notice::ClockBehind { slot, gap_ms } => {
                tracing::error!(
                    slot,
                    gap_ms,
                    "the clock is further behind every free slot than may be borrowed: check it"
                );
                Kind::clock_behind
            }
            Notice::VersionFell { slot, known, read } => {
                tracing::error!(
                    slot,
                    known = known.0,
                    read = read.0,
                    "the coordination service has lost acknowledged writes"
                );
                Kind::version_fell
            }
            Notice::Trouble { doing, failure } => {
                tracing::warn!(doing, failure, "trying again");
                Kind::trouble
            }
        };
        self.machine.metrics.count(kind);
    }

    fn mark(&self, slot: u16, ceiling: Millis) {
        let (Some(marks), Some(high_water)) = (&self.marks, &self.high_water) else { return };
        if marks.try_send((high_water.clone(), slot, ceiling)).is_err() {
            alarm(&self.status, &self.machine.metrics, "the disk does not keep up with high-water marks".into());
        }
    }
}

/// # Cancel safety
/// The request stays in flight when this is dropped.
async fn answer_of(in_flight: &mut Option<Sent>) -> (Answer, Option<Arrived>, Asked, i64) {
    match in_flight {
        Some(sent) => {
            let (answer, arrived) = (&mut sent.answer).await;
            (answer, arrived, sent.asked, sent.sent_us)
        }
        None => std::future::pending().await,
    }
}

/// # Cancel safety
/// What was not returned is seen by the next call.
async fn pulsed(pulse: &mut Option<watch::Receiver<Pulse>>, wakes: &mut u64) -> Event {
    let Some(receiver) = pulse else { return std::future::pending().await };
    if receiver.changed().await.is_err() {
        *pulse = None;
        return Event::Link(Link::Over);
    }
    let now = *receiver.borrow_and_update();
    if now.link != Link::Connected {
        return Event::Link(now.link);
    }
    if now.wakes != *wakes {
        *wakes = now.wakes;
        receiver.mark_changed(); // the link may have changed as well: told next
        return Event::Woken;
    }
    Event::Link(now.link)
}

async fn sleep_until(wake: Option<u64>, now: u64) {
    match wake {
        Some(wake) => tokio::time::sleep(Duration::from_millis(wake.saturating_sub(now))).await,
        None => std::future::pending().await,
    }
}

async fn open(
    coordination: Coordination,
    expected: Expected,
    init: Option<Blueprint>,
    state_dir: Option<PathBuf>,
    session_timeout: Duration,
) -> Result<(Opened, Arrived), String> {
    if let Some(blueprint) = init {
        coordination.init(&blueprint).await.map_err(|error| error.to_string())?;
    }
    let session = coordination.open(&expected, session_timeout).await.map_err(|error| error.to_string())?;
    let high_water = state_dir.map(|folder| HighWater::new(&folder, &session.tree().genesis, expected.datacenter));
    let remembered = match high_water.clone() {
        Some(high_water) => {
            let load = tokio::task::spawn_blocking(move || high_water.load());
            match tokio::time::timeout(DISK_WITHIN, load).await {
                Ok(loaded) => loaded.expect("loading never panics"),
                Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "the disk does not answer")),
            }
        }
        None => Ok(Default::default()),
    };
    // Not to remember is no reason not to serve; to remember wrongly is.
    let remembered = match remembered {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(error.to_string()),
        Err(error) => {
            tracing::error!(%error, "high-water marks cannot be read; going on without them");
            Default::default()
        }
        Ok(remembered) => remembered,
    };
    let opened = Opened { session: session.id(), high_water: remembered };
    Ok((opened, Arrived { session, high_water }))
}

/// One request on a session, bounded: a service that never answers is an unknown outcome, settled by a read.
async fn ask(session: &Session, request: Request, patience: Duration) -> Answer {
    async fn bounded<T>(patience: Duration, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = || Failure::Unknown(format!("no answer within {patience:?}"));
        tokio::time::timeout(patience, request).await.unwrap_or_else(|_| Err(late()))
    }
    match request {
        Request::Open => unreachable!("opening needs no session"),
        Request::Register(value) => Answer::Registered(bounded(patience, session.register(&value)).await),
        Request::Update { name, value } => {
            Answer::Updated(bounded(patience, session.update_registration(&name, &value)).await)
        }
        Request::Unregister(name) => Answer::Unregistered(bounded(patience, session.unregister(&name)).await),
        Request::Look => Answer::Looked(bounded(patience, session.look()).await),
        Request::Admission => Answer::Admission(bounded(patience, session.admission()).await),
        Request::ReadSlot(slot) => Answer::SlotRead(bounded(patience, session.read_slot(slot)).await),
        Request::Write(write) => Answer::Written(bounded(patience, session.write(&write)).await),
        Request::Watch(interest) => Answer::Watching(bounded(patience, session.watch(&interest)).await),
    }
}

async fn write_marks(mut queue: mpsc::Receiver<(HighWater, u16, Millis)>, status: Place<Status>, metrics: Metrics) {
    while let Some((high_water, slot, ceiling)) = queue.recv().await {
        let stored = tokio::task::spawn_blocking(move || high_water.store(slot, ceiling)).await;
        match stored.expect("storing never panics") {
            Ok(()) => {
                status.modify(|status| std::mem::take(&mut status.high_water_failing));
            }
            Err(error) => alarm(&status, &metrics, error.to_string()),
        }
    }
}

/// Issuing goes on without the file, but somebody should know.
fn alarm(status: &Place<Status>, metrics: &Metrics, error: String) {
    tracing::error!(
        error,
        "the high-water mark could not be kept; issuing goes on without this second line of defence"
    );
    metrics.count(Kind::high_water_failed);
    status.modify(|status| !std::mem::replace(&mut status.high_water_failing, true));
}
