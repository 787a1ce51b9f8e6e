//! What a carrier tells the harness, one line each. A line without its end was cut off by a kill, and was never said.

use meridian::id::IdRange;
use meridian::lease::keeper::Status;
use meridian::lease::state::Phase;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// These ids were issued; from now on somebody has seen them.
    Ids(IdRange),
    /// A worker stands elsewhere now.
    Stands { worker: usize, slot: Option<(u16, u16)>, stand: Stand },
    /// A worker that has a grant refused ids.
    Refused,
    /// The sums of all keepers' metrics, asked for.
    Numbers(BTreeMap<String, f64>),
}

/// Where a worker stands, as far as the harness cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// Not in the line yet, or held back.
    Outside,
    /// In the line, and has looked.
    Waiting,
    Holding,
    /// Holding, out of touch with ZooKeeper.
    Detached,
}

impl Stand {
    pub fn of(status: &Status) -> Stand {
        match status.phase {
            Phase::Holding | Phase::Leaving => Stand::Holding,
            Phase::Detached => Stand::Detached,
            Phase::Standby { .. } if status.registration.is_some() && status.overview.is_some() => Stand::Waiting,
            Phase::Standby { .. } | Phase::Connecting | Phase::Ineligible | Phase::Stopping => Stand::Outside,
        }
    }

    const ALL: [(Stand, &str); 4] = [
        (Stand::Outside, "outside"),
        (Stand::Waiting, "waiting"),
        (Stand::Holding, "holding"),
        (Stand::Detached, "detached"),
    ];

    fn name(self) -> &'static str {
        Stand::ALL.iter().find(|(stand, _)| *stand == self).expect("all are named").1
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Ids(range) => write!(f, "i {} {}", range.first, range.count),
            Word::Stands { worker, slot, stand } => match slot {
                Some((datacenter, slot)) => write!(f, "s {worker} {} {datacenter} {slot}", stand.name()),
                None => write!(f, "s {worker} {}", stand.name()),
            },
            Word::Refused => write!(f, "r"),
            Word::Numbers(numbers) => write!(f, "n {}", serde_json::to_string(numbers).map_err(|_| fmt::Error)?),
        }
    }
}

impl Word {
    /// Reads a line, without its end.
    pub fn read(line: &str) -> Option<Word> {
        if let Some(json) = line.strip_prefix("n ") {
            return serde_json::from_str(json).ok().map(Word::Numbers);
        }
        let parts: Vec<&str> = line.split(' ').collect();
        match parts[..] {
            ["i", first, count] => Some(Word::Ids(IdRange { first: first.parse().ok()?, count: count.parse().ok()? })),
            ["s", worker, stand, ref slot @ ..] => {
                let stand = Stand::ALL.iter().find(|(_, name)| *name == stand)?.0;
                let slot = match slot {
                    [] => None,
                    [datacenter, slot] => Some((datacenter.parse().ok()?, slot.parse().ok()?)),
                    _ => return None,
                };
                Some(Word::Stands { worker: worker.parse().ok()?, slot, stand })
            }
            ["r"] => Some(Word::Refused),
            _ => None,
        }
    }
}
