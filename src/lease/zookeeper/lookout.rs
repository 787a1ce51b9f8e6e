//! What a session is told without asking: the state of its link, and the events of its one interest.
//!
//! A session has one lookout at a time, with one persistent watch. The server forgets persistent watches when a
//! connection is lost and the client crate does not renew them (it resends only one-shot ones), so the lookout watches
//! anew after every reconnection, and *then* beats: what happened in between shows in the look that follows.

use super::failure;
use crate::lease::coordination::{Failure, Interest, Link, Pulse};
use crate::lease::znode::Paths;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use zookeeper_client::{
    AddWatchMode, Client, Error, EventType, PersistentWatcher, SessionState, StateWatcher, WatchedEvent,
};

/// A task that ends with its owner.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Task {
        Task(tokio::spawn(future))
    }

    /// Ends the task and waits until it holds nothing any more.
    pub async fn end(mut self) {
        self.0.abort();
        // Cancelled is what was asked for; a panic has already been reported by the runtime.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn link(state: SessionState) -> Link {
    match state {
        SessionState::SyncConnected => Link::Connected,
        // Read-only servers are not asked for; one would be of no use.
        SessionState::Disconnected | SessionState::ConnectedReadOnly => Link::Disconnected,
        SessionState::AuthFailed | SessionState::Expired | SessionState::Closed => Link::Over,
    }
}

/// Follows the session's state until it is over. Holds no client, so it keeps no session alive.
pub(super) async fn follow_link(mut states: StateWatcher, pulse: watch::Sender<Pulse>) {
    loop {
        let link = link(states.changed().await);
        pulse.send_modify(|pulse| {
            pulse.link = link;
            // Also without an interest posted yet: whatever was sent meanwhile is lost.
            pulse.wakes += u64::from(link == Link::Connected);
        });
        if link == Link::Over {
            return;
        }
    }
}

/// One interest, watched on one session.
pub(super) struct Lookout {
    client: Client,
    paths: Paths,
    interest: Interest,
    watcher: PersistentWatcher,
}

impl Lookout {
    pub async fn post(client: Client, paths: Paths, interest: Interest) -> Result<Lookout, Failure> {
        let watcher = watch_for(&client, &paths, &interest).await.map_err(failure)?;
        Ok(Lookout { client, paths, interest, watcher })
    }

    /// Beats for every event of the interest, until the session is over.
    pub async fn keep(mut self, pulse: watch::Sender<Pulse>) {
        loop {
            let event = self.watcher.changed().await;
            let beats = match event.event_type {
                EventType::Session if event.session_state.is_terminated() => return,
                EventType::Session if event.session_state == SessionState::SyncConnected => {
                    match watch_for(&self.client, &self.paths, &self.interest).await {
                        // Only now the old one goes: its loss would otherwise be sent after the new one's making.
                        Ok(watcher) => self.watcher = watcher,
                        // Lost again: the next reconnection follows on the old watcher.
                        Err(error) => tracing::debug!(%error, "cannot watch anew"),
                    }
                    true
                }
                EventType::Session => false,
                _ => concerns(&self.interest, &self.paths, &event),
            };
            if beats {
                pulse.send_modify(|pulse| pulse.wakes += 1);
            }
        }
    }
}

async fn watch_for(client: &Client, paths: &Paths, interest: &Interest) -> Result<PersistentWatcher, Error> {
    match interest {
        Interest::Nothing => unreachable!("nothing is not watched"),
        // Owners and the admission have only the tree in common. One node of a region stands at the head of its line,
        // so that the server tells one node of everything.
        Interest::Vacancy => client.watch(paths.root(), AddWatchMode::PersistentRecursive).await,
        Interest::Predecessor(name) => client.watch(&paths.worker(name), AddWatchMode::Persistent).await,
        Interest::SlotOwner(slot) => client.watch(&paths.owner(*slot), AddWatchMode::Persistent).await,
    }
}

fn concerns(interest: &Interest, paths: &Paths, event: &WatchedEvent) -> bool {
    let deleted = event.event_type == EventType::NodeDeleted;
    let changed = event.event_type == EventType::NodeDataChanged;
    match interest {
        Interest::Nothing => false,
        Interest::Vacancy => {
            let in_slots = event.path.strip_prefix(&paths.slots()).is_some_and(|rest| rest.starts_with('/'));
            deleted && in_slots && event.path.ends_with("/owner") || changed && event.path == paths.admission()
        }
        Interest::Predecessor(name) => (deleted || changed) && event.path == paths.worker(name),
        Interest::SlotOwner(slot) => deleted && event.path == paths.owner(*slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_concerns_little() {
        use EventType::{NodeCreated, NodeDataChanged, NodeDeleted};
        let root = "/meridian/v1/dc/4";
        let check = |interest: &Interest, event: EventType, path: &str, expect: bool| {
            let event = WatchedEvent::new(event, format!("{root}{path}"));
            assert_eq!(concerns(interest, &Paths::new(4), &event), expect, "{interest:?} {event:?}");
        };
        check(&Interest::Vacancy, NodeDeleted, "/slots/03/owner", true);
        check(&Interest::Vacancy, NodeDataChanged, "/admission", true);
        check(&Interest::Vacancy, NodeCreated, "/slots/03/owner", false);
        check(&Interest::Vacancy, NodeDataChanged, "/slots/03", false);
        check(&Interest::Vacancy, NodeDeleted, "/workers/owner", false);
        check(&Interest::Vacancy, NodeDeleted, "/workers/a-1", false);
        let predecessor = Interest::Predecessor("a-1".into());
        check(&predecessor, NodeDeleted, "/workers/a-1", true);
        check(&predecessor, NodeDataChanged, "/workers/a-1", true);
        check(&predecessor, NodeCreated, "/workers/a-1", false);
        check(&predecessor, NodeDeleted, "/workers/a-2", false);
        check(&Interest::SlotOwner(3), NodeDeleted, "/slots/03/owner", true);
        check(&Interest::SlotOwner(3), NodeCreated, "/slots/03/owner", false);
    }
}
