//! All endpoints known now, by region in order, and which of them to ask next.

use super::counters::{Counters, EndpointCounters, Tally};
use super::ejection::{Outcome, Standing};
use super::line::{Miss, Source};
use super::pool::Pool;
use super::regions::Regions;
use super::settings::Settings;
use crate::id::IdRange;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// After so many failures in a region within one request, the next region is asked first.
const FAILURES_IN_REGION: usize = 2;

/// One address.
#[derive(Debug)]
pub struct Endpoint {
    pub region: usize,
    site: usize,
    address: SocketAddr,
    pool: Pool,
    seat: Mutex<Seat>,
    tally: Tally,
}

#[derive(Debug)]
struct Seat {
    standing: Standing,
    answered: Option<Instant>,
}

#[derive(Debug)]
pub struct Roster {
    settings: Settings,
    regions: Vec<RegionSeats>,
    /// Endpoints came or went.
    pub changed: Notify,
}

#[derive(Debug)]
struct RegionSeats {
    name: String,
    endpoints: RwLock<Vec<Arc<Endpoint>>>,
    /// Whose turn it is.
    turn: AtomicUsize,
    /// Why a name of it has no addresses.
    trouble: Mutex<Option<String>>,
}

/// The endpoints that a request has failed at in this round.
#[derive(Debug, Default)]
pub struct Tried(Vec<Arc<Endpoint>>);

impl Tried {
    pub fn add(&mut self, endpoint: Arc<Endpoint>) {
        self.0.push(endpoint);
    }

    /// A new round.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn has(&self, endpoint: &Arc<Endpoint>) -> bool {
        self.0.iter().any(|tried| Arc::ptr_eq(tried, endpoint))
    }

    fn in_region(&self, region: usize) -> usize {
        self.0.iter().filter(|tried| tried.region == region).count()
    }
}

/// What a request is to do next.
#[derive(Debug)]
pub enum Choice {
    Ask(Arc<Endpoint>),
    /// All that may be asked were, in this round.
    Again,
    /// All that live ask to be left alone until then.
    Rest(Instant),
    /// No name has an address yet.
    Nobody,
}

impl Roster {
    pub fn new(regions: &Regions, settings: Settings) -> Roster {
        let seats = |name: &String| RegionSeats {
            name: name.clone(),
            endpoints: RwLock::default(),
            turn: AtomicUsize::new(0),
            trouble: Mutex::default(),
        };
        let roster = Roster {
            settings,
            regions: regions.0.iter().map(|region| seats(&region.name)).collect(),
            changed: Notify::new(),
        };
        for (number, region) in regions.0.iter().enumerate() {
            for (place, site) in region.sites.iter().enumerate() {
                let literal: Option<IpAddr> = site.source.host.parse().ok();
                roster.seat(number, place, &site.source, literal.as_slice().iter().chain(&site.addresses).copied());
            }
        }
        roster
    }

    pub fn region_name(&self, region: usize) -> &str {
        &self.regions[region].name
    }

    /// Exchanges the addresses of a site. Those that stay keep their connections and their standing.
    pub fn seat(&self, region: usize, site: usize, source: &Source, addresses: impl Iterator<Item = IpAddr>) {
        let Settings { connections, idle_timeout, max_lifetime, ejection, .. } = self.settings;
        let mut endpoints = self.regions[region].endpoints.write().expect("no holder of this lock panics");
        let (mine, mut next): (Vec<_>, Vec<_>) = endpoints.drain(..).partition(|endpoint| endpoint.site == site);
        for address in addresses.map(|ip| SocketAddr::new(ip, source.port)) {
            let known = mine.iter().find(|endpoint| endpoint.address == address).cloned();
            let fresh = || Endpoint {
                region,
                site,
                address,
                pool: Pool::new(address, source.clone(), connections, idle_timeout, max_lifetime),
                seat: Mutex::new(Seat { standing: Standing::new(ejection), answered: None }),
                tally: Tally::default(),
            };
            next.push(known.unwrap_or_else(|| Arc::new(fresh())));
        }
        *endpoints = next;
        drop(endpoints);
        self.changed.notify_waiters();
    }

    pub fn set_trouble(&self, region: usize, why: Option<String>) {
        *self.regions[region].trouble.lock().expect("no holder of this lock panics") = why;
    }

    /// Why there are no addresses.
    pub fn trouble(&self) -> Option<String> {
        let trouble = |region: &RegionSeats| {
            let why = region.trouble.lock().expect("no holder of this lock panics").clone()?;
            Some(format!("{}: {why}", region.name))
        };
        self.regions.iter().find_map(trouble)
    }

    /// The first region, in order, that has an endpoint which is well, does not rest and was not tried in this round.
    /// While all are ejected, the one whose time is over first: to ask somebody is better than to ask nobody.
    pub fn choose(&self, now: Instant, tried: &Tried) -> Choice {
        let mut rest: Option<Instant> = None;
        let mut ejected: Option<(Option<Instant>, Arc<Endpoint>)> = None;
        let mut second: Option<Arc<Endpoint>> = None;
        let mut any = false;
        for (number, region) in self.regions.iter().enumerate() {
            let endpoints = region.endpoints.read().expect("no holder of this lock panics");
            let turn = region.turn.fetch_add(1, Relaxed);
            for step in 0..endpoints.len() {
                any = true;
                let endpoint = &endpoints[turn.wrapping_add(step) % endpoints.len()];
                let seat = endpoint.seat();
                let untried = !tried.has(endpoint);
                if !seat.standing.is_well() {
                    let until = seat.standing.ejected_until().map(Instant::from_std);
                    drop(seat);
                    if untried && ejected.as_ref().is_none_or(|(best, _)| until < *best) {
                        ejected = Some((until, endpoint.clone()));
                    }
                } else if let Some(until) = seat.standing.rests(now.into_std()).map(Instant::from_std) {
                    rest = Some(rest.map_or(until, |best| best.min(until)));
                } else if untried && tried.in_region(number) < FAILURES_IN_REGION {
                    return Choice::Ask(endpoint.clone());
                } else if untried {
                    second.get_or_insert_with(|| endpoint.clone());
                }
            }
        }
        match (second, rest, ejected) {
            (Some(endpoint), ..) => Choice::Ask(endpoint),
            (None, Some(until), _) => Choice::Rest(until),
            (None, None, Some((_, endpoint))) => Choice::Ask(endpoint),
            (None, None, None) if any => Choice::Again,
            (None, None, None) => Choice::Nobody,
        }
    }

    /// Asks one endpoint once, and remembers how it went.
    pub async fn ask(&self, endpoint: &Endpoint, count: u32, until: Instant) -> Result<Vec<IdRange>, Miss> {
        let begun = Instant::now();
        endpoint.tally.requests.fetch_add(1, Relaxed);
        let drawn = endpoint.pool.draw(count, self.settings.layout, until).await;
        let now = Instant::now();
        let mut seat = endpoint.seat();
        let outcome = match &drawn {
            Ok(_) => {
                seat.answered = Some(now);
                Some(Outcome::Answered)
            }
            Err(miss) => {
                endpoint.tally.failed(miss);
                miss.outcome(seat.answered.is_some_and(|answered| answered > begun))
            }
        };
        if let Some(outcome) = outcome
            && seat.standing.step(outcome, now.into_std(), jitter())
        {
            drop(seat);
            endpoint.tally.ejections.fetch_add(1, Relaxed);
            endpoint.pool.clear(); // whatever it was, the others have it as well
            let region = self.region_name(endpoint.region);
            tracing::debug!(region, address = %endpoint.address, ?outcome, "ejected");
        }
        drawn
    }

    /// One request to each endpoint whose ejection is over.
    pub fn due(&self, now: Instant) -> Vec<Arc<Endpoint>> {
        self.all().filter(|endpoint| endpoint.seat().standing.begin_trial(now.into_std())).collect()
    }

    /// When the next trial is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.all().filter_map(|endpoint| endpoint.seat().standing.ejected_until()).min().map(Instant::from_std)
    }

    /// Closes what has been idle for too long, and says when to look again.
    pub fn reap(&self, now: Instant) -> Option<Instant> {
        self.all().filter_map(|endpoint| endpoint.pool.reap(now)).min()
    }

    pub fn count(&self, counters: &mut Counters) {
        for endpoint in self.all() {
            let Endpoint { region, address, pool, tally, .. } = &*endpoint;
            let row = EndpointCounters {
                region: self.region_name(*region).to_owned(),
                address: *address,
                requests: tally.requests.load(Relaxed),
                failures: tally.failures.load(Relaxed),
                timeouts: tally.timeouts.load(Relaxed),
                ejections: tally.ejections.load(Relaxed),
                ejected: !endpoint.seat().standing.is_well(),
                idle_connections: pool.connections(),
            };
            counters.ejections += row.ejections;
            counters.endpoints.push(row);
        }
    }

    fn all(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.regions.iter().flat_map(|region| region.endpoints.read().expect("no holder of this lock panics").clone())
    }
}

impl Endpoint {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn seat(&self) -> MutexGuard<'_, Seat> {
        self.seat.lock().expect("no holder of this lock panics")
    }
}

/// About 1: from 0.75 to 1.25.
pub fn jitter() -> f64 {
    // Without randomness all clients keep step, which is a pity and no more.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    0.75 + f64::from(random) / f64::from(u32::MAX) / 2.0
}

/// A pause before the n-th round.
pub fn pause(round: u32) -> Duration {
    Duration::from_millis(10 << round.min(6)).mul_f64(jitter())
}
