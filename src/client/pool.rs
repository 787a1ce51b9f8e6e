//! The connections to one endpoint: kept for the next request, bounded in number, idle time and age.

use super::line::{Form, Line, Miss, Source};
use crate::id::{IdRange, Layout};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    source: Source,
    idle_timeout: Duration,
    max_lifetime: Duration,
    permits: Semaphore,
    /// The one used last is taken first, so that those that are not needed grow old.
    idle: Mutex<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    line: Line,
    born: Instant,
    since: Instant,
}

impl Pool {
    pub fn new(
        address: SocketAddr,
        source: Source,
        connections: usize,
        idle_timeout: Duration,
        max_lifetime: Duration,
    ) -> Pool {
        let (permits, idle) = (Semaphore::new(connections), Mutex::default());
        Pool { address, source, idle_timeout, max_lifetime, permits, idle }
    }

    /// Asks for ids on a connection that is free, or a new one.
    ///
    /// # Cancel safety
    /// The connection is closed if the future is dropped, and ids on their way are never given: a gap.
    pub async fn draw(&self, count: u32, layout: Layout, until: Instant) -> Result<Vec<IdRange>, Miss> {
        let permit = timeout_at(until, self.permits.acquire()).await;
        let _permit = permit.ok().and_then(Result::ok).ok_or_else(|| Miss::local("all connections are in use"))?;
        if let Some(mut idle) = self.take(until).await {
            match idle.line.draw(Form::Ranges, count, layout, until).await {
                // The server may close a connection just when it is used again. What is true of this one is true of
                // all that are idle; a new one tells whether anybody is there.
                Err(miss) if miss.is_lost() => self.clear(),
                drawn => return self.done(idle, drawn),
            }
        }
        let line = Line::connect_to(self.address, &self.source, until).await?;
        let now = Instant::now();
        let mut fresh = Idle { line, born: now, since: now };
        let drawn = fresh.line.draw(Form::Ranges, count, layout, until).await;
        self.done(fresh, drawn)
    }

    /// Closes all that are idle.
    pub fn clear(&self) {
        self.idle().clear();
    }

    /// Closes those that have been idle or alive for too long, and says when the next one will be.
    pub fn reap(&self, now: Instant) -> Option<Instant> {
        let over = |idle: &Idle| (idle.since + self.idle_timeout).min(idle.born + self.max_lifetime);
        let mut all = self.idle();
        all.retain(|idle| over(idle) > now);
        all.iter().map(over).min()
    }

    pub fn connections(&self) -> usize {
        self.idle().len()
    }

    async fn take(&self, until: Instant) -> Option<Idle> {
        loop {
            self.reap(Instant::now());
            let mut idle = self.idle().pop_back()?;
            if idle.line.is_open(until).await {
                return Some(idle);
            }
        }
    }

    fn done(&self, idle: Idle, drawn: Result<Vec<IdRange>, Miss>) -> Result<Vec<IdRange>, Miss> {
        if drawn.as_ref().err().is_none_or(|miss| !miss.broken) {
            self.idle().push_back(Idle { since: Instant::now(), ..idle });
        }
        drawn
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().expect("no holder of this lock panics")
    }
}
