//! How this node's region is: who holds slots in it, whether it is drained. Looked up once a second beside the lease, on the
//! session the keeper opened; whatever happens here, the lease goes on.

use super::coordination::{Failure, SessionId, SlotRead, Survey, View};
use super::keeper::Watched;
use super::znode::{NodeId, Registration};
use crate::fetch::{REGION_HEALTH_PATH, fetch};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

/// A survey that takes longer is given up; the next one comes anyway.
const WITHIN: Duration = Duration::from_secs(2);

/// Another node that holds a slot is asked what it remembers, when this one begins; one that does not answer in time may
/// be behind a wall.
const ELDERS_WITHIN: Duration = Duration::from_secs(1);

/// A service that stood still for longer than a session ends all sessions at once, and everybody attaches anew. For so long
/// after this node had to, those who are missing are not taken for dead: they issue below their ceilings all the while.
const SETTLE_US: i64 = 5_000_000;

/// What is known of the region.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub survey: Survey,
    /// When it was seen (BOOTTIME, microseconds).
    pub seen_us: i64,
    pub past: Past,
}

/// What was before this node had its first grant, and while it stood still. All nodes of a region must say the same of it,
/// whoever is asked, also right after some of them were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// When it was asked for (BOOTTIME, microseconds).
    pub asked_us: i64,
    /// How long the region stays out, if anything is known of an outage: until then (BOOTTIME, microseconds).
    pub out: Out,
    /// As many workers as others say the region needs.
    pub needed: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// It was well, or is at its first deployment.
    No,
    /// It was out since this moment (BOOTTIME, microseconds), or longer.
    Since(i64),
    /// It has this much of its hold left, from this moment (BOOTTIME, microseconds).
    Left { ms: u64, at_us: i64 },
}

/// What an elder says of the region: the part of its verdict that is memory.
#[derive(Deserialize)]
struct Elder {
    workers: ElderWorkers,
    checks: ElderChecks,
}

#[derive(Deserialize)]
struct ElderWorkers {
    needed: u16,
}

#[derive(Deserialize)]
struct ElderChecks {
    hold: ElderHold,
}

#[derive(Deserialize)]
struct ElderHold {
    #[serde(rename = "observed")]
    left_ms: u64,
}

/// Whether this process stood still: frozen, stopped, starved. It saw no bad look then, and others may have seen nothing
/// else. Whoever looks beats, and the first one to beat afterwards notices it for all.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
struct Beats {
    last_us: Option<i64>,
    stood_still_until_us: Option<i64>,
}

/// Everybody looks once a second at least, and a survey takes [`WITHIN`] and [`ELDERS_WITHIN`] at most.
const STOOD_STILL_US: i64 = 5_000_000;

impl Pulse {
    /// Beats; says until when it last stood still, if ever. All in microseconds of BOOTTIME.
    pub fn beat(&self, now_us: i64) -> Option<i64> {
        let mut beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if beats.last_us.is_some_and(|last_us| now_us - last_us > STOOD_STILL_US) {
            beats.stood_still_until_us = Some(now_us);
        }
        beats.last_us = Some(now_us);
        beats.stood_still_until_us
    }
}

/// Surveys the region until the keepers are gone, whenever `again` says so (each second, by a timer that others share) or a
/// session or a grant is new. Nothing is known before this process has its first grant. `me`: what its keepers are called.
pub async fn run(
    mut lease: Watched,
    me: Vec<NodeId>,
    again: Arc<Notify>,
    known: watch::Sender<Option<Known>>,
    pulse: Arc<Pulse>,
    boot_us: fn() -> i64,
) {
    let mut past: Option<Past> = None;
    let mut attached = Attached::default();
    let mut opened = true;
    loop {
        lease.sessions.mark_unchanged();
        let holding = lease.grants.borrow_and_update().iter().any(Option::is_some);
        // A session that was just opened is its keeper's first: no claim waits behind a look whose answer is told nobody before
        // there is a grant.
        let claiming = past.is_none() && !holding && opened;
        if let Some(session) = lease.session()
            && !claiming
        {
            let stood_still_until_us = pulse.beat(boot_us());
            let stood_still = past.is_some_and(|past| Some(past.asked_us) < stood_still_until_us);
            let look = async {
                if stood_still || (past.is_none() && holding) {
                    let view = session.look().await?;
                    past = Some(remember(&view, &me, stood_still, boot_us).await);
                }
                session.survey().await
            };
            match tokio::time::timeout(WITHIN + ELDERS_WITHIN, look).await {
                Ok(Ok(mut survey)) => {
                    let seen_us = boot_us();
                    survey.live = attached.live(session.id(), survey.live, seen_us);
                    if let Some(past) = past {
                        known.send_replace(Some(Known { survey, seen_us, past }));
                    }
                }
                Ok(Err(failure)) => unseen(&failure),
                Err(_) => unseen(&Failure::Unknown(format!("no answer within {WITHIN:?}"))),
            }
        }
        let gone;
        (opened, gone) = tokio::select! {
            () = again.notified() => (false, false),
            changed = lease.sessions.changed() => (true, changed.is_err()),
            changed = lease.grants.changed() => (false, changed.is_err()),
        };
        if gone {
            return;
        }
    }
}

/// Since when this node has its session, and how many were alive before it.
#[derive(Clone, Copy, Debug, Default)]
struct Attached {
    session: Option<(SessionId, i64)>,
    live: u16,
}

impl Attached {
    /// How many to take for alive, of so many owners seen on this session.
    fn live(&mut self, session: SessionId, live: u16, now_us: i64) -> u16 {
        let since_us = match self.session {
            Some((same, since_us)) if same == session => since_us,
            Some(_) => now_us,
            None => now_us - SETTLE_US, // the first one: nothing was lost
        };
        self.session = Some((session, since_us));
        self.live = if now_us - since_us < SETTLE_US { live.max(self.live) } else { live };
        self.live
    }
}

/// What was before: what those who were there say. Where nobody can be asked, what the ages of the owners tell; of a time
/// when this node stood still they tell nothing.
async fn remember(view: &View, me: &[NodeId], stood_still: bool, boot_us: fn() -> i64) -> Past {
    let asked_us = boot_us();
    let age_ms = match carried_for_ms(view, me) {
        _ if stood_still => 0,
        Some(age_ms) => age_ms,
        None => return Past { asked_us, out: Out::No, needed: 0 },
    };
    let mut asked = JoinSet::new();
    for url in elders(view, me) {
        asked.spawn(async move { fetch(&format!("{url}{REGION_HEALTH_PATH}"), ELDERS_WITHIN).await });
    }
    let (mut told, mut silent): (Vec<Elder>, bool) = (Vec::new(), false);
    while let Some(answered) = asked.join_next().await {
        match answered {
            // One that has just begun itself remembers nothing, and says nothing of a hold.
            Ok(Ok((_, body))) => match serde_json::from_slice::<Elder>(&body) {
                Ok(elder) => told.push(elder),
                Err(_) => silent = true,
            },
            Ok(Err(error)) => silent |= !is_refusal(&error),
            Err(_) => {}
        }
    }
    let now_us = boot_us();
    let needed = told.iter().map(|elder| elder.workers.needed).max().unwrap_or(0);
    let out = match told.iter().map(|elder| elder.checks.hold.left_ms).min() {
        Some(0) => Out::No,
        Some(ms) => Out::Left { ms, at_us: now_us },
        None if silent => Out::Since(now_us - age_ms * 1_000),
        None => Out::Since(now_us), // whoever still shows as an owner is gone
    };
    Past { asked_us, out, needed }
}

/// Where the other holders of slots answer, each once.
fn elders(view: &View, me: &[NodeId]) -> BTreeSet<String> {
    let others = view.slots.iter().filter(|slot| !is_mine(slot, me)).filter_map(|slot| slot.owner.as_ref());
    let card = |worker: &str| view.registrations.iter().find(|registration| registration.name == worker);
    others.filter_map(|owner| Some(card(&owner.value.worker)?.value.http.clone())).collect()
}

/// Whether a slot's owner is one of this process.
fn is_mine(slot: &SlotRead, me: &[NodeId]) -> bool {
    let owner = slot.owner.as_ref().map(|owner| Registration::node_of(&owner.value.worker));
    me.iter().any(|node| owner == Some(node.0.as_str()))
}

/// Nobody is there, said by the machine where it was.
fn is_refusal(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset))
}

/// For how long the region has had a worker without a gap, as far as its owners show; `None`: none of its slots was ever
/// left, so that there was no gap.
fn carried_for_ms(view: &View, me: &[NodeId]) -> Option<i64> {
    let unbroken = view.slots.iter().all(|slot| match slot.value.fence {
        0 => true,
        1 => slot.owner.is_some(),
        _ => false,
    });
    if unbroken {
        return None;
    }
    let attached = |slot: &SlotRead| slot.owner.as_ref().map(|owner| owner.created.0);
    let mine = view.slots.iter().filter(|slot| is_mine(slot, me)).filter_map(attached).min();
    let oldest = view.slots.iter().filter_map(attached).min();
    Some(mine.zip(oldest).map_or(0, |(mine, oldest)| (mine - oldest).max(0)))
}

fn unseen(failure: &Failure) {
    tracing::debug!(%failure, "the region could not be surveyed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Millis;
    use crate::lease::coordination::{AdmissionRead, OwnerRead, RegistrationRead, ServerTime, SlotRead, Version};
    use crate::lease::znode::{Admission, Class, Guid, Owner, Registration, Slot};

    const ME: SessionId = SessionId(1);

    /// A slot: its fence and, where somebody owns it, who and the moment.
    type Told<'a> = (u64, Option<(&'a str, i64)>);

    fn view(slots: &[Told<'_>]) -> View {
        let value = Admission { v: 1, quota: 4, fixed: 0, surge: 8, digest: String::new(), ..Admission::default() };
        let slot = |(number, (fence, owner)): (usize, &Told)| SlotRead {
            slot: number as u16,
            version: Version(0),
            value: Slot { v: 1, holder: None, host: String::new(), ceiling: Millis(0), fence: *fence },
            modified: ServerTime(0),
            owner: owner.map(|(worker, created)| OwnerRead {
                value: Owner { v: 1, guid: Guid(String::new()), worker: worker.to_owned() },
                session: ME,
                created: ServerTime(created),
            }),
        };
        View {
            session: ME,
            admission: AdmissionRead { version: Version(0), value, raw: Vec::new() },
            registrations: Vec::new(),
            slots: slots.iter().enumerate().map(slot).collect(),
            drain: None,
        }
    }

    #[test]
    fn who_must_attach_anew_is_not_dead() {
        let (mut attached, other) = (Attached::default(), SessionId(2));
        let second = 1_000_000;
        assert_eq!([(0, 4), (1, 3), (2, 4)].map(|(s, live)| attached.live(ME, live, s * second)), [4, 3, 4]);
        assert_eq!([(9, 0), (10, 2), (13, 3)].map(|(s, live)| attached.live(other, live, s * second)), [4, 4, 4]);
        assert_eq!([(14, 3), (15, 4), (16, 0)].map(|(s, live)| attached.live(other, live, s * second)), [3, 4, 0]);
    }

    #[test]
    fn a_pause_is_noticed_once_by_whoever_beats_first() {
        let (pulse, second) = (Pulse::default(), 1_000_000);
        assert_eq!([100, 104, 109].map(|s| pulse.beat(s * second)), [None; 3]);
        assert_eq!([115, 116].map(|s| pulse.beat(s * second)), [Some(115 * second); 2]);
    }

    #[test]
    fn how_long_a_region_was_carried() {
        let me = ["me", "twin"].map(|node| NodeId(node.to_owned()));
        let check = |slots: &[Told<'_>], expect| assert_eq!(carried_for_ms(&view(slots), &me), expect);
        check(&[(1, Some(("me-7", 500))), (0, None)], None); // its first worker
        check(&[(1, Some(("other-3", 100))), (1, Some(("me-7", 500)))], None); // its second
        check(&[(2, Some(("me-7", 500))), (0, None)], Some(0)); // back after all were gone
        check(&[(2, Some(("me-7", 500))), (2, Some(("twin-6", 450)))], Some(0)); // with two workers
        check(&[(2, Some(("me-7", 500))), (3, Some(("other-6", 490)))], Some(10)); // all came back together
        check(&[(2, Some(("me-7", 500))), (1, Some(("other-3", 100)))], Some(400)); // one of several came back
        check(&[(1, Some(("me-7", 500))), (1, None)], Some(0)); // somebody has left
        check(&[(1, None), (5, None)], Some(0)); // its own is lost again already
    }

    #[test]
    fn a_node_is_no_elder_of_its_own() {
        let mut view = view(&[(1, Some(("me-7", 500))), (1, Some(("twin-8", 510))), (1, Some(("other-3", 100)))]);
        let card = |name: &str| RegistrationRead {
            name: name.to_owned(),
            sequence: 0,
            session: ME,
            created: ServerTime(0),
            value: Registration {
                v: 1,
                node: NodeId(Registration::node_of(name).to_owned()),
                class: Class::Dynamic,
                wanted_slot: None,
                eligible: true,
                host: String::new(),
                zone: String::new(),
                http: if name == "other-3" { "http://there" } else { "http://here" }.to_owned(),
                ops: String::new(),
                version: String::new(),
                started: String::new(),
            },
        };
        view.registrations = ["me-7", "twin-8", "other-3"].map(card).to_vec();
        let me = ["me", "twin"].map(|node| NodeId(node.to_owned()));
        assert_eq!(elders(&view, &me), BTreeSet::from(["http://there".to_owned()]));
        assert_eq!(elders(&view, &me[..1]).len(), 2);
    }
}
