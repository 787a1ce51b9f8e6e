//! One connection's life: connect, wait for its turn, draw, look at the order, hand over; after a failure, pause.

use super::pace::Pace;
use crate::client::{Form, Line, Miss, Source};
use crate::id::{IdRange, Layout, Origin};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

/// A timer may fire this much late without it being the target's fault.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The first pause after a failure; each further one in a row is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most that a target's own wish to be left alone is heeded.
const LONGEST_WISH: Duration = Duration::from_secs(5);

/// A connection that cannot be made by then cannot be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// When all ids are asked for: until the next look whether some came back.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What is handed over at once, at the latest.
const BATCH_AGE: Duration = Duration::from_millis(100);
const BATCH_DRAWS: usize = 128;
const BATCH_RANGES: usize = 4_096;

/// What every drawer asks for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub form: Form,
    pub count: u32,
    pub layout: Layout,
    pub timeout: Duration,
}

/// What one connection got in a while.
#[derive(Debug, Default)]
pub struct Batch {
    pub target: usize,
    pub ranges: Vec<IdRange>,
    /// One for each answer with ids.
    pub latencies: Vec<Duration>,
    pub misses: Vec<Miss>,
    /// Places where a worker's ids did not ascend.
    pub disordered: u64,
    pub connections: u64,
    /// Requests under way when the run ended.
    pub unanswered: u64,
}

pub struct Drawer {
    target: usize,
    source: Source,
    request: Request,
    pace: Arc<Pace>,
    ledger: mpsc::Sender<Batch>,
    line: Option<Line>,
    batch: Batch,
    batch_since: Instant,
    failures: u32,
    asking: bool,
    /// The last id of each worker that came over this connection.
    last: HashMap<Origin, u64>,
}

/// Nobody takes what is drawn any more.
struct Closed;

impl Drawer {
    pub fn new(
        target: usize,
        source: Source,
        request: Request,
        pace: Arc<Pace>,
        ledger: mpsc::Sender<Batch>,
    ) -> Drawer {
        Drawer {
            target,
            source,
            request,
            pace,
            ledger,
            line: None,
            batch: Batch { target, ..Batch::default() },
            batch_since: Instant::now(),
            failures: 0,
            asking: false,
            last: HashMap::new(),
        }
    }

    /// Draws until the end, and hands over what it has.
    pub async fn run(mut self) {
        let pace = self.pace.clone();
        let closed = tokio::select! {
            biased; // nothing is sent once the end was called
            () = pace.done() => false,
            Closed = self.draw_on() => true,
        };
        self.batch.unanswered = u64::from(self.asking);
        if !closed {
            let _ = self.hand_over().await; // a ledger that is gone has said why
        }
    }

    async fn draw_on(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.turn().await {
                return closed;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Closed> {
        if self.line.is_none() && !self.connect().await? {
            return Ok(());
        }
        let count = self.pace.reserve(self.request.count);
        if count == 0 {
            self.hand_over().await?;
            sleep(LOOK_AGAIN).await;
            return Ok(());
        }
        let since = self.wait().await?;
        // It may have been closed meanwhile, as is the other side's right.
        let until = Instant::now() + self.request.timeout;
        if let Some(line) = &mut self.line
            && !line.is_open(until).await
            && !self.connect().await?
        {
            self.pace.give_back(count);
            return Ok(());
        }
        let Request { form, layout, timeout, .. } = self.request;
        let line = self.line.as_mut().expect("connected just now");
        self.asking = true;
        let drawn = line.draw(form, count, layout, Instant::now() + timeout).await;
        self.asking = false;
        match drawn {
            Ok(ranges) => {
                self.batch.latencies.push(since.elapsed());
                self.failures = 0;
                self.pace.drew(count);
                self.look_at_order(&ranges);
                self.batch.ranges.extend(ranges);
                let full = self.batch.latencies.len() >= BATCH_DRAWS || self.batch.ranges.len() >= BATCH_RANGES;
                if full || self.batch_since.elapsed() > BATCH_AGE {
                    self.hand_over().await?;
                }
                Ok(())
            }
            Err(miss) => {
                self.pace.give_back(count);
                self.missed(miss).await
            }
        }
    }

    /// Waits until the next request is due, and says from when its latency counts: from the due time if that had passed
    /// (because answers before it took long), from now if only the timer was a little late.
    async fn wait(&mut self) -> Result<Instant, Closed> {
        let Some(due) = self.pace.due() else { return Ok(Instant::now()) };
        let now = Instant::now();
        if due <= now {
            return Ok(due);
        }
        if due - now > BATCH_AGE / 4 {
            self.hand_over().await?;
        }
        sleep_until(due).await;
        let now = Instant::now();
        Ok(if now - due <= TIMER_SLACK { now } else { due })
    }

    async fn connect(&mut self) -> Result<bool, Closed> {
        self.line = None;
        match Line::connect(&self.source, Instant::now() + CONNECT_WITHIN.min(self.request.timeout)).await {
            Ok(line) => {
                self.pace.reach();
                self.batch.connections += 1;
                self.line = Some(line);
                Ok(true)
            }
            Err(miss) => self.missed(miss).await.map(|()| false),
        }
    }

    /// Notes a failure and leaves the target alone for a while.
    async fn missed(&mut self, miss: Miss) -> Result<(), Closed> {
        if miss.broken {
            self.line = None;
        }
        let pause = match miss.retry_after {
            Some(wish) => wish.clamp(FIRST_PAUSE, LONGEST_WISH),
            None => FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE),
        };
        self.failures += 1;
        self.batch.misses.push(miss);
        self.hand_over().await?;
        sleep(pause).await;
        Ok(())
    }

    /// A worker counts upwards, and requests on one connection follow each other.
    fn look_at_order(&mut self, ranges: &[IdRange]) {
        for range in ranges {
            let Some(parts) = self.request.layout.decode(range.first) else { continue };
            let end = range.first + u64::from(range.count) - 1;
            if self.last.insert(parts.origin, end).is_some_and(|last| last >= range.first) {
                self.batch.disordered += 1;
            }
        }
    }

    /// # Cancel safety
    /// A batch stays here until there is room for it.
    async fn hand_over(&mut self) -> Result<(), Closed> {
        let room = self.ledger.reserve().await.map_err(|_| Closed)?;
        room.send(std::mem::replace(&mut self.batch, Batch { target: self.target, ..Batch::default() }));
        self.batch_since = Instant::now();
        Ok(())
    }
}
