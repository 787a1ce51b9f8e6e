//! The embedded backend: the same protocol on a locked file, for the nodes of one machine and no server.
//!
//! ```text
//! DIR/dc-0.json            the znodes of datacenter 0      DIR/sessions/0-<id>.lock   one per session, locked while
//! DIR/dc-0.lock            locked for each transaction                                it lives
//! ```
//! Invariant: every answer is that of one transaction on the document, after those who died before it are gone. The
//! folder must be on a local file system (flock, atomic rename), and nobody but nodes may touch what is in it.

mod document;
mod presence;

use super::coordination::*;
use super::tree::{Glance, Znodes};
use super::znode::*;
use document::{Document, Transaction, Trouble};
use presence::Presence;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, spawn_blocking};

/// How often a session looks whether what it waits for has happened.
const POLL: Duration = Duration::from_millis(100);

/// A folder in which the nodes of one machine meet.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// A session; it ends when its last clone is dropped, or its process dies.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    tree: Tree,
    document: Document,
    presence: Presence,
    over: AtomicBool,
    watched: Mutex<Option<Watched>>,
    pulse: watch::Sender<Pulse>,
    poller: OnceLock<AbortHandle>,
}

/// What the session waits for, and what it saw of it last.
struct Watched {
    interest: Interest,
    glance: Glance,
    bytes: Vec<u8>,
    concerned: std::collections::BTreeSet<i64>,
}

impl Directory {
    pub fn new(path: impl AsRef<Path>) -> Directory {
        Directory { path: path.as_ref().to_owned() }
    }

    /// Opens a session on the tree of a datacenter.
    pub async fn open(&self, expected: &Expected) -> Result<Session, OpenError> {
        let (path, expected) = (self.path.clone(), expected.clone());
        let inner = spawn_blocking(move || Inner::open(&path, &expected)).await.map_err(unreachable)??;
        let inner = Arc::new(inner);
        let poller = tokio::spawn(poll(Arc::downgrade(&inner)));
        inner.poller.set(poller.abort_handle()).expect("set once, here");
        Ok(Session { inner })
    }

    /// Makes the folder and the tree of a datacenter, or what is missing of them.
    pub async fn init(&self, blueprint: &Blueprint) -> Result<Initialised, OpenError> {
        let (path, blueprint) = (self.path.clone(), blueprint.clone());
        spawn_blocking(move || {
            let document = Document::new(&path, blueprint.tree.datacenter, now);
            let refuse = |trouble| open_error(trouble, &document);
            document.prepare().map_err(refuse)?;
            let init = |transaction: &mut Transaction| {
                let (znodes, done) = Znodes::init(transaction.znodes.clone(), &blueprint, transaction.now)?;
                transaction.znodes = Some(znodes);
                Ok(done)
            };
            let done: Result<Initialised, String> = document.transact(init).map_err(refuse)?;
            done.map_err(|difference| mismatch(&document, &difference))
        })
        .await
        .map_err(unreachable)?
    }
}

impl Session {
    pub fn id(&self) -> SessionId {
        self.inner.presence.id
    }

    pub fn tree(&self) -> &Tree {
        &self.inner.tree
    }

    pub async fn register(&self, value: &Registration) -> Result<Registered, Failure> {
        let (value, id) = (value.clone(), self.id());
        self.transact(move |znodes, now| Ok(znodes.register(&value, id, now))).await
    }

    pub async fn update_registration(&self, name: &str, value: &Registration) -> Result<ServerTime, Failure> {
        let (name, value) = (name.to_owned(), value.clone());
        self.transact(move |znodes, now| znodes.update_registration(&name, &value, now)).await
    }

    pub async fn unregister(&self, name: &str) -> Result<(), Failure> {
        let name = name.to_owned();
        self.transact(move |znodes, _| match znodes.unregister(&name) {
            Err(Refusal::NoNode) => Ok(()),
            other => other,
        })
        .await
    }

    pub async fn look(&self) -> Result<View, Failure> {
        let id = self.id();
        self.transact(move |znodes, _| Ok(znodes.look(id))).await
    }

    pub async fn admission(&self) -> Result<AdmissionRead, Failure> {
        self.transact(|znodes, _| Ok(znodes.admission())).await
    }

    pub async fn survey(&self) -> Result<Survey, Failure> {
        self.transact(|znodes, _| Ok(znodes.survey())).await
    }

    pub async fn set_drain(&self, drain: Option<&Drain>) -> Result<(), Failure> {
        let drain = drain.cloned();
        self.transact(move |znodes, _| {
            znodes.set_drain(drain.as_ref());
            Ok(())
        })
        .await
    }

    pub async fn set_surge(&self, admission: &AdmissionRead, surge: &Surge) -> Result<(), Failure> {
        let (version, surge) = (admission.version, surge.clone());
        self.transact(move |znodes, _| znodes.set_surge(version, &surge)).await
    }

    pub async fn read_slot(&self, slot: u16) -> Result<SlotRead, Failure> {
        self.transact(move |znodes, _| znodes.read_slot(slot)).await
    }

    pub async fn write(&self, write: &Write) -> Result<Written, Failure> {
        let (write, id) = (write.clone(), self.id());
        self.transact(move |znodes, now| znodes.apply(&write, id, now)).await
    }

    pub async fn watch(&self, interest: &Interest) -> Result<(), Failure> {
        let (inner, interest) = (self.inner.clone(), interest.clone());
        spawn_blocking(move || inner.watch(interest)).await.map_err(unknown)?
    }

    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.inner.pulse.subscribe()
    }

    /// Ends the session, also for its other clones.
    pub async fn close(self) {
        // If this is not run to its end, dropping the last clone does what matters of it.
        let _ = spawn_blocking(move || self.inner.close()).await;
    }

    async fn transact<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Znodes, ServerTime) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Failure> {
        let inner = self.inner.clone();
        spawn_blocking(move || inner.transact(step)).await.map_err(unknown)?
    }
}

impl Inner {
    fn open(path: &Path, expected: &Expected) -> Result<Inner, OpenError> {
        let document = Document::new(path, expected.datacenter, now);
        // Asked before the lock, which would leave a lock file in a folder that is none of ours.
        document.bytes().map_err(|trouble| open_error(trouble, &document))?;
        let enter = |transaction: &mut Transaction| -> Result<(Tree, Presence), OpenError> {
            let document = transaction.document;
            let missing = || open_error(Trouble::Missing, document);
            let znodes = transaction.znodes.as_ref().ok_or_else(missing)?;
            if let Some(difference) = znodes.mismatch(expected) {
                return Err(mismatch(document, &difference));
            }
            document.sessions.sweep();
            let entered = document.sessions.enter();
            let failed = |error| OpenError::Unreachable(format!("{}: {error}", document.sessions.path(0).display()));
            Ok((znodes.tree().clone(), entered.map_err(failed)?))
        };
        let entered = document.transact(enter);
        let (tree, presence) = entered.map_err(|trouble| open_error(trouble, &document))??;
        Ok(Inner {
            tree,
            document,
            presence,
            over: AtomicBool::new(false),
            watched: Mutex::new(None),
            pulse: watch::Sender::new(Pulse { wakes: 0, link: Link::Connected }),
            poller: OnceLock::new(),
        })
    }

    fn transact<T>(&self, step: impl FnOnce(&mut Znodes, ServerTime) -> Result<T, Refusal>) -> Result<T, Failure> {
        let step = |transaction: &mut Transaction| {
            let gone = || Err(self.end(&format!("{} is gone", self.document.path().display())));
            let Some(znodes) = &mut transaction.znodes else { return gone() };
            // Asked under the lock, as `close` removes what is ours under it: nothing of ours comes after that.
            self.check(znodes)?;
            step(znodes, transaction.now).map_err(Failure::Refused)
        };
        self.document.transact(step).map_err(|trouble| match trouble {
            Trouble::Missing => self.end(&format!("{} is gone", self.document.path().display())),
            Trouble::Corrupt(text) | Trouble::Io(text) => Failure::Unknown(text),
        })?
    }

    /// Whether this session may still speak about this tree.
    fn check(&self, znodes: &Znodes) -> Result<(), Failure> {
        if self.over.load(Ordering::SeqCst) {
            return Err(Failure::SessionOver("closed".into()));
        }
        if znodes.tree().genesis != self.tree.genesis {
            return Err(self.end(&format!("{} was made anew", self.document.path().display())));
        }
        if !self.presence.stands() {
            return Err(self.end("its lock file is gone, so the others take it for dead"));
        }
        Ok(())
    }

    fn end(&self, why: &str) -> Failure {
        self.over.store(true, Ordering::SeqCst);
        self.presence.leave();
        self.pulse.send_modify(|pulse| pulse.link = Link::Over);
        Failure::SessionOver(why.to_owned())
    }

    fn close(&self) {
        self.over.store(true, Ordering::SeqCst);
        let id = self.presence.id;
        // If this fails, the lock that goes next says the same to whoever comes.
        let _ = self.document.transact(|transaction| transaction.znodes.as_mut().map(|znodes| znodes.end_session(id)));
        self.end("closed");
        if let Some(poller) = self.poller.get() {
            poller.abort();
        }
    }

    fn watch(&self, interest: Interest) -> Result<(), Failure> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if interest == Interest::Nothing {
            *watched = None;
            return Ok(());
        }
        let look = || {
            let bytes = self.document.bytes()?;
            let znodes = self.document.parse(&bytes)?;
            Ok((znodes, bytes))
        };
        let (znodes, bytes) = look().map_err(|trouble| match trouble {
            Trouble::Missing => self.end(&format!("{} is gone", self.document.path().display())),
            Trouble::Corrupt(text) | Trouble::Io(text) => Failure::Unknown(text),
        })?;
        self.check(&znodes)?;
        let (glance, concerned) = (znodes.glance(&interest), znodes.concerned(&interest));
        *watched = Some(Watched { interest, glance, bytes, concerned });
        Ok(())
    }

    /// One look at what is watched. An error tells nothing yet: the next look may, and every request will.
    fn poll(&self) -> Result<(), Trouble> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if self.over.load(Ordering::SeqCst) {
            return Ok(());
        }
        if !self.presence.stands() {
            self.end("its lock file is gone, so the others take it for dead");
            return Ok(());
        }
        let Some(watched) = watched.as_mut() else { return Ok(()) };
        if self.document.sessions.any_over(&watched.concerned).unwrap_or(false) {
            self.document.transact(|_| ())?;
        }
        let bytes = self.document.bytes()?;
        if bytes == watched.bytes {
            return Ok(());
        }
        let znodes = self.document.parse(&bytes)?;
        if self.check(&znodes).is_err() {
            return Ok(());
        }
        let glance = znodes.glance(&watched.interest);
        if watched.glance.wakes(&glance) {
            self.pulse.send_modify(|pulse| pulse.wakes += 1);
        }
        watched.concerned = znodes.concerned(&watched.interest);
        (watched.glance, watched.bytes) = (glance, bytes);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(poller) = self.poller.get() {
            poller.abort();
        }
    }
}

/// Polls for as long as the session lives. It holds the session only while it looks.
async fn poll(session: Weak<Inner>) {
    loop {
        tokio::time::sleep(POLL).await;
        let Some(inner) = session.upgrade() else { return };
        if spawn_blocking(move || inner.poll()).await.is_err() {
            return;
        }
    }
}

fn open_error(trouble: Trouble, document: &Document) -> OpenError {
    match trouble {
        Trouble::Missing => OpenError::NoTree { path: document.path().display().to_string() },
        Trouble::Corrupt(text) => OpenError::Mismatch(text),
        Trouble::Io(text) => OpenError::Unreachable(text),
    }
}

fn mismatch(document: &Document, difference: &str) -> OpenError {
    OpenError::Mismatch(format!("{}: {difference}", document.path().display()))
}

fn unreachable(error: JoinError) -> OpenError {
    OpenError::Unreachable(format!("the file's thread ended early: {error}"))
}

fn unknown(error: JoinError) -> Failure {
    Failure::Unknown(format!("the file's thread ended early: {error}"))
}

/// What stamps transactions: this machine's own clock, so comparing ours with it tells nothing.
fn now() -> ServerTime {
    ServerTime(crate::clock::real_us() / 1_000)
}

#[cfg(test)]
mod tests;
