//! How this node's region is: who holds slots in it, whether it is drained. Looked up once a second beside the lease, on the
//! session the keeper opened; whatever happens here, the lease goes on.

use super::coordination::{Failure, Session, SessionId, Survey, View};
use super::grant::Grant;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const EVERY: Duration = Duration::from_secs(1);

/// A survey that takes longer is given up; the next one comes anyway.
const WITHIN: Duration = Duration::from_secs(2);

/// What is known of the region, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub survey: Survey,
    /// When it was seen (BOOTTIME, microseconds).
    pub seen_us: i64,
    /// Since when (BOOTTIME, microseconds) this region is carried by somebody alive; `None`: since its first day.
    pub carried_since_us: Option<i64>,
}

/// Surveys the region until the keeper is gone. Nothing is known before this node has its first grant: what was before
/// that is read from who else holds a slot at that moment.
pub async fn run(
    mut sessions: watch::Receiver<Option<Session>>,
    mut grants: watch::Receiver<Option<Arc<Grant>>>,
    known: watch::Sender<Option<Known>>,
    boot_us: fn() -> i64,
) {
    let mut carried_since_us = None;
    loop {
        let session = sessions.borrow_and_update().clone();
        let holding = grants.borrow_and_update().is_some();
        if let Some(session) = session {
            let look = async {
                if carried_since_us.is_none() && holding {
                    let age_ms = carried_for_ms(&session.look().await?, session.id());
                    carried_since_us = Some(age_ms.map(|age_ms| boot_us() - age_ms * 1_000));
                }
                session.survey().await
            };
            match tokio::time::timeout(WITHIN, look).await {
                Ok(Ok(survey)) => {
                    if let Some(carried_since_us) = carried_since_us {
                        known.send_replace(Some(Known { survey, seen_us: boot_us(), carried_since_us }));
                    }
                }
                Ok(Err(failure)) => unseen(&failure),
                Err(_) => unseen(&Failure::Unknown(format!("no answer within {WITHIN:?}"))),
            }
        }
        let gone = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            changed = sessions.changed() => changed.is_err(),
            changed = grants.changed() => changed.is_err(),
        };
        if gone {
            return;
        }
    }
}

/// For how long the region has had a worker without a gap, as far as its owners show; `None`: none of its slots was ever
/// left, so that there was no gap.
fn carried_for_ms(view: &View, me: SessionId) -> Option<i64> {
    let unbroken = view.slots.iter().all(|slot| match slot.value.fence {
        0 => true,
        1 => slot.owner.is_some(),
        _ => false,
    });
    if unbroken {
        return None;
    }
    let owners = || view.slots.iter().filter_map(|slot| slot.owner.as_ref());
    let mine = owners().filter(|owner| owner.session == me).map(|owner| owner.created.0).max();
    let oldest = owners().map(|owner| owner.created.0).min();
    Some(mine.zip(oldest).map_or(0, |(mine, oldest)| (mine - oldest).max(0)))
}

fn unseen(failure: &Failure) {
    tracing::debug!(%failure, "the region could not be surveyed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Millis;
    use crate::lease::coordination::{AdmissionRead, OwnerRead, ServerTime, SlotRead, Version};
    use crate::lease::znode::{Admission, Guid, Owner, Slot};

    const ME: SessionId = SessionId(1);

    /// A slot: its fence and, where somebody owns it, the session and the moment.
    type Told = (u64, Option<(i64, i64)>);

    fn view(slots: &[Told]) -> View {
        let value = Admission { v: 1, quota: 4, fixed: 0, surge: 8, digest: String::new(), ..Admission::default() };
        let slot = |(number, (fence, owner)): (usize, &Told)| SlotRead {
            slot: number as u16,
            version: Version(0),
            value: Slot { v: 1, holder: None, host: String::new(), ceiling: Millis(0), fence: *fence },
            modified: ServerTime(0),
            owner: owner.map(|(session, created)| OwnerRead {
                value: Owner { v: 1, guid: Guid(String::new()), worker: String::new() },
                session: SessionId(session),
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
    fn how_long_a_region_was_carried() {
        let check = |slots: &[Told], expect| assert_eq!(carried_for_ms(&view(slots), ME), expect);
        check(&[(1, Some((1, 500))), (0, None)], None); // its first worker
        check(&[(1, Some((2, 100))), (1, Some((1, 500)))], None); // its second
        check(&[(2, Some((1, 500))), (0, None)], Some(0)); // back after all were gone
        check(&[(2, Some((1, 500))), (3, Some((2, 490)))], Some(10)); // all came back together
        check(&[(2, Some((1, 500))), (1, Some((2, 100)))], Some(400)); // one of several came back
        check(&[(1, Some((1, 500))), (1, None)], Some(0)); // somebody has left
        check(&[(1, None), (5, None)], Some(0)); // its own is lost again already
    }
}
