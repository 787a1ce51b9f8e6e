//! Everything that was seen while a drill played, in seconds since the stage was ready. Data, and the changes in it.

use super::script::{Act, Blow};
use std::collections::BTreeMap;
use std::fmt;

/// One answer of the authoritative server to clients of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    pub at_s: f64,
    /// Whose clients these are: a region, by its place in the manifest, like every number here.
    pub network: usize,
    /// Whose address was answered; `None`: no answer.
    pub answered: Option<usize>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By the region that made the id.
    Served(usize),
    /// 429 or 503: shed, with a word.
    Refused,
    /// No connection, no answer in time, no name.
    Dropped,
}

/// One request of a client behind the caching resolver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Call {
    pub at_s: f64,
    pub client: usize,
    /// Where its resolver sent it.
    pub to: Option<usize>,
    pub end: End,
}

/// One id taken by a client with a list of regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    pub at_s: f64,
    pub client: usize,
    pub took_s: f64,
    pub served: bool,
}

/// How the machine was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breath {
    pub at_s: f64,
    /// So much later than it asked to was a thread woken.
    pub late_s: f64,
    /// Threads that ran or wanted to.
    pub runnable: u32,
}

/// Something changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Act(String),
    Broke {
        region: usize,
        blow: Blow,
    },
    Mended {
        region: usize,
    },
    /// The region's own verdict, as anybody who asks its address sees it.
    Verdict {
        region: usize,
        well: bool,
    },
    /// The authoritative server answers clients their own region, or not.
    Answers {
        network: usize,
        home: bool,
    },
    /// Nodes of a region hold another one for dead, or no longer.
    Peer {
        by: usize,
        peer: usize,
        up: bool,
    },
    Surge {
        region: usize,
        on: bool,
    },
    /// So many of its nodes can issue, as its load balancer sees it.
    Ready {
        region: usize,
        nodes: u32,
    },
    /// Slots whose owner lives, as nodes of the region see it.
    Workers {
        region: usize,
        live: u32,
    },
    /// A node that stood by gave an id.
    Standby {
        region: usize,
        worker: u16,
    },
    /// Clients behind the cache get ids of this region, or fail.
    Client {
        client: usize,
        by: Option<usize>,
    },
    GaveUp(String),
    /// An act that does not count.
    Again(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at_s: f64,
    pub change: Change,
}

/// Where the authoritative server sends the clients of each network, by some thousand questions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// By network, how often each region was answered.
    pub answers: BTreeMap<usize, BTreeMap<usize, u32>>,
}

/// An act as it was played.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    pub act: Act,
    pub down: Vec<usize>,
    pub begun_s: f64,
    /// The first blow.
    pub broke_s: Option<f64>,
    /// The last repair.
    pub mended_s: Option<f64>,
    pub ended_s: f64,
    pub shares: Option<Shares>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub regions: Vec<String>,
    /// Of the machine.
    pub processors: u32,
    pub looks: Vec<Look>,
    pub calls: Vec<Call>,
    pub draws: Vec<Draw>,
    pub events: Vec<Event>,
    pub breaths: Vec<Breath>,
    pub acts: Vec<Played>,
    /// Region by network, the last said.
    home: BTreeMap<usize, bool>,
    /// By client, who served the last request, and when that was sent.
    clients: BTreeMap<usize, (Option<usize>, f64)>,
    states: BTreeMap<(u8, usize, usize), u32>,
}

impl Record {
    pub fn new(regions: Vec<String>) -> Record {
        Record { regions, ..Record::default() }
    }

    /// Notes an answer. `Some`: it changes something.
    pub fn look(&mut self, look: Look) -> Option<Event> {
        self.looks.push(look);
        let home = look.answered? == look.network;
        (self.home.insert(look.network, home) != Some(home))
            .then(|| self.event(look.at_s, Change::Answers { network: look.network, home }))
    }

    /// Notes a request, when it has ended.
    pub fn call(&mut self, call: Call, ended_s: f64) -> Option<Event> {
        self.calls.push(call);
        let by = match call.end {
            End::Served(by) => Some(by),
            End::Refused | End::Dropped => None,
        };
        let last = self.clients.get(&call.client).copied();
        // What was sent earlier and took longer tells nothing new.
        if last.is_some_and(|(_, sent_s)| sent_s > call.at_s) {
            return None;
        }
        self.clients.insert(call.client, (by, call.at_s));
        let changed = last.is_none_or(|(last, _)| last != by);
        changed.then(|| self.event(ended_s, Change::Client { client: call.client, by }))
    }

    pub fn draw(&mut self, draw: Draw) {
        self.draws.push(draw);
    }

    pub fn event(&mut self, at_s: f64, change: Change) -> Event {
        let event = Event { at_s, change };
        self.events.push(event.clone());
        event
    }

    /// Notes a state that is looked at again and again. `Some`: it is another than the last.
    pub fn state(&mut self, at_s: f64, change: Change) -> Option<Event> {
        let (key, value) = match change {
            Change::Verdict { region, well } => ((0, region, 0), u32::from(well)),
            Change::Peer { by, peer, up } => ((1, by, peer), u32::from(up)),
            Change::Surge { region, on } => ((2, region, 0), u32::from(on)),
            Change::Workers { region, live } => ((3, region, 0), live),
            Change::Ready { region, nodes } => ((4, region, 0), nodes),
            _ => return Some(self.event(at_s, change)),
        };
        (self.states.insert(key, value) != Some(value)).then(|| self.event(at_s, change))
    }

    /// Whether any nodes hold a region for dead, or carry one.
    pub fn alarmed(&self) -> bool {
        self.states.iter().any(|((kind, ..), value)| (*kind == 1 && *value == 0) || (*kind == 2 && *value == 1))
    }

    pub fn name(&self, region: usize) -> &str {
        self.regions.get(region).map_or("?", String::as_str)
    }

    /// How it all began is no change: told is what happens once the first act has begun.
    pub fn has_begun(&self) -> bool {
        self.events.iter().any(|event| matches!(event.change, Change::Act(_)))
    }

    /// What an event says to people.
    pub fn tell(&self, event: &Event) -> String {
        Telling { record: self, event }.to_string()
    }
}

struct Telling<'a> {
    record: &'a Record,
    event: &'a Event,
}

impl fmt::Display for Telling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |region: &usize| self.record.name(*region);
        match &self.event.change {
            Change::Act(title) => write!(f, "— {title}"),
            Change::Broke { region, blow } => write!(f, "{}: {blow}", name(region)),
            Change::Mended { region } => write!(f, "{}: whole again", name(region)),
            Change::Verdict { region, well: true } => write!(f, "{} says 200", name(region)),
            Change::Verdict { region, well: false } => write!(f, "{} does not say 200", name(region)),
            Change::Answers { network, home: true } => write!(f, "DNS answers {0} to clients of {0}", name(network)),
            Change::Answers { network, home: false } => write!(f, "DNS answers others to clients of {}", name(network)),
            Change::Peer { by, peer, up: false } => write!(f, "{} holds {} for lost", name(by), name(peer)),
            Change::Peer { by, peer, up: true } => write!(f, "{} sees {} again", name(by), name(peer)),
            Change::Surge { region, on: true } => write!(f, "{} surges", name(region)),
            Change::Surge { region, on: false } => write!(f, "{} no longer surges", name(region)),
            Change::Ready { region, nodes: 1 } => write!(f, "{}: 1 node is ready", name(region)),
            Change::Ready { region, nodes } => write!(f, "{}: {nodes} nodes are ready", name(region)),
            Change::Workers { region, live } => write!(f, "{}: {live} workers live", name(region)),
            Change::Standby { region, worker } => {
                write!(f, "{}: a standby issues as worker {worker}", name(region))
            }
            Change::Client { client, by: None } => write!(f, "clients of {} fail", name(client)),
            Change::Client { client, by: Some(by) } => {
                write!(f, "clients of {} are served by {}", name(client), name(by))
            }
            Change::Again(why) => write!(f, "once more: {why}"),
            Change::GaveUp(what) => write!(f, "gave up: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_an_event() {
        let mut record = Record::new(vec!["a".to_owned(), "b".to_owned()]);
        let look = |at_s, answered| Look { at_s, network: 0, answered };
        assert!(record.look(look(0.0, Some(0))).is_some());
        assert!(record.look(look(0.1, Some(0))).is_none());
        assert!(record.look(look(0.2, None)).is_none(), "no answer tells nothing");
        let event = record.look(look(0.3, Some(1))).unwrap();
        assert_eq!(record.tell(&event), "DNS answers others to clients of a");
        assert!(record.state(0.4, Change::Peer { by: 1, peer: 0, up: true }).is_some());
        assert!(!record.alarmed());
        record.state(0.5, Change::Peer { by: 1, peer: 0, up: false });
        assert!(record.alarmed());
        let call = |end| Call { at_s: 1.0, client: 1, to: Some(1), end };
        assert!(record.call(call(End::Served(1)), 1.1).is_some());
        assert!(record.call(call(End::Dropped), 2.0).is_some());
        assert!(record.call(call(End::Refused), 2.1).is_none());
        assert_eq!((record.looks.len(), record.calls.len(), record.events.len()), (4, 3, 6));
    }
}
