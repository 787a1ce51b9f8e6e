//! One session: the keeper's words as ZooKeeper requests.
//!
//! A request goes out when its future is first polled, in that order, and is not called back by dropping the future.
//! The session lives as long as a client does; only this file holds one (and the lookout, whose task ends with it).

use super::lookout::{Lookout, Task, follow_link, link};
use super::rights::Rights;
use super::{decode, encode, failure};
use crate::lease::coordination::{
    AdmissionRead, Failure, Interest, Link, OwnerRead, Pulse, Refusal, Registered, RegistrationRead, ServerTime,
    SessionId, SlotRead, Surge, Survey, Version, View, Write, Written,
};
use crate::lease::znode::{Drain, Paths, Registration, Tree};
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::{
    Acls, Client, CreateMode, Error, MultiReadResult, MultiWriteResult, MultiWriter, Stat, StateWatcher,
};

/// How long `close` waits for the server to say that the session is gone.
const CLOSE_BOUND: Duration = Duration::from_secs(2);

/// Znodes read in one request. Their data must fit into a packet, of which the server's and the client's bound is 1 MB.
const READ_AT_ONCE: usize = 128;

/// The client gives up on a session after 7/5 of its time-out, and fails every request with it. This is only for
/// requests it should lose sight of.
const PATIENCE: u32 = 2;

/// A znode's bytes, and what the server says of it.
type Data = (Vec<u8>, Stat);

#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    id: SessionId,
    tree: Tree,
    paths: Paths,
    rights: Rights,
    patience: Duration,
    /// None once it is closed.
    client: Mutex<Option<Client>>,
    states: StateWatcher,
    pulse: watch::Sender<Pulse>,
    lookout: Mutex<Option<Task>>,
    _link: Task,
}

impl Session {
    pub(super) fn new(client: Client, tree: Tree, paths: Paths, rights: Rights) -> Session {
        let states = client.state_watcher();
        let (pulse, _) = watch::channel(Pulse { wakes: 0, link: link(states.peek_state()) });
        let shared = Shared {
            id: SessionId(client.session_id().0),
            tree,
            paths,
            rights,
            patience: client.session_timeout() * PATIENCE,
            states: states.clone(),
            _link: Task::spawn(follow_link(states, pulse.clone())),
            client: Mutex::new(Some(client)),
            pulse,
            lookout: Mutex::new(None),
        };
        Session { shared: Arc::new(shared) }
    }

    pub fn id(&self) -> SessionId {
        self.shared.id
    }

    pub fn tree(&self) -> &Tree {
        &self.shared.tree
    }

    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.shared.pulse.subscribe()
    }

    pub async fn register(&self, value: &Registration) -> Result<Registered, Failure> {
        let client = self.client()?;
        let prefix = format!("{}-", value.node);
        let list = self.shared.rights.registration();
        let options = CreateMode::EphemeralSequential.with_acls(Acls::new(&list));
        let (stat, sequence) =
            self.answer(client.create(&self.shared.paths.worker(&prefix), &encode(value), &options)).await?;
        Ok(Registered { name: format!("{prefix}{sequence}"), at: ServerTime(stat.ctime) })
    }

    pub async fn update_registration(&self, name: &str, value: &Registration) -> Result<ServerTime, Failure> {
        // Any version: nobody else writes a registration of this session.
        let request = self.client()?.set_data(&self.shared.paths.worker(name), &encode(value), None);
        Ok(ServerTime(self.answer(request).await?.mtime))
    }

    pub async fn unregister(&self, name: &str) -> Result<(), Failure> {
        let request = self.client()?.delete(&self.shared.paths.worker(name), None);
        match self.answer(request).await {
            Ok(()) | Err(Failure::Refused(Refusal::NoNode)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    pub async fn admission(&self) -> Result<AdmissionRead, Failure> {
        let path = self.shared.paths.admission();
        let (raw, stat) = self.answer(self.client()?.get_data(&path)).await?;
        Ok(AdmissionRead { version: Version(stat.version), value: decode(&path, "admission", &raw)?, raw })
    }

    /// The admission is awaited before anything else is asked, so that whatever is admitted later than what is read
    /// here has bumped the version that a claim will check.
    pub async fn look(&self) -> Result<View, Failure> {
        let Shared { id, paths, .. } = &*self.shared;
        let client = self.client()?;
        let admission = self.admission().await?;

        // Sent together; the answers of one session come in the order of its requests.
        let (workers_path, slots_path, drain_path) = (paths.workers(), paths.slots(), paths.drain());
        let workers = client.list_children(&workers_path);
        let slots = client.list_children(&slots_path);
        let drain = client.get_data(&drain_path);
        let names = self.answer(workers).await?;
        let slots = slot_numbers(&slots_path, self.answer(slots).await?)?;
        let drain = match self.present(drain).await? {
            Some((bytes, _)) => Some(decode(&drain_path, "drain", &bytes)?),
            None => None,
        };

        let mut view = View { session: *id, admission, registrations: Vec::new(), slots: Vec::new(), drain };
        let workers: Vec<String> = names.iter().map(|name| paths.worker(name)).collect();
        let records = slots.iter().flat_map(|slot| [paths.slot(*slot), paths.owner(*slot)]);
        let mut read = self.read_all(&client, workers.iter().cloned().chain(records).collect()).await?.into_iter();
        for (path, name) in workers.iter().zip(names) {
            // One that left since the list was made is skipped.
            if let Some((bytes, stat)) = one_of(&mut read)? {
                // The line is for fairness only: one znode that nobody can read must not stop the region.
                match registration(path, name, &bytes, &stat) {
                    Ok(registration) => view.registrations.push(registration),
                    Err(failure) => tracing::warn!(%failure, "a registration is passed over"),
                }
            }
        }
        view.registrations.sort_by_key(|registration| registration.sequence);
        for slot in slots {
            let record = one_of(&mut read)?.ok_or(Failure::Refused(Refusal::NoNode))?;
            view.slots.push(slot_read(paths, slot, record, one_of(&mut read)?)?);
        }
        Ok(view)
    }

    /// Owners are counted, not read: there is nothing else below a slot. Two requests, as every node asks this each second.
    pub async fn survey(&self) -> Result<Survey, Failure> {
        let paths = &self.shared.paths;
        let client = self.client()?;
        let (admission_path, slots_path, drain_path) = (paths.admission(), paths.slots(), paths.drain());
        let below = client.count_descendants_number(&slots_path);
        let wanted = vec![admission_path.clone(), slots_path.clone(), drain_path.clone()];
        let mut read = self.read_all(&client, wanted).await?.into_iter();
        let below = self.answer(below).await?;
        let (raw, stat) = one_of(&mut read)?.ok_or(Failure::Refused(Refusal::NoNode))?;
        let value = decode(&admission_path, "admission", &raw)?;
        let slots = one_of(&mut read)?.map_or(0, |(_, stat)| stat.num_children.max(0) as usize);
        let drain = match one_of(&mut read)? {
            Some((bytes, _)) => Some(decode(&drain_path, "drain", &bytes)?),
            None => None,
        };
        Ok(Survey {
            admission: AdmissionRead { version: Version(stat.version), value, raw },
            live: below.saturating_sub(slots).try_into().unwrap_or(u16::MAX),
            drain,
        })
    }

    pub async fn set_drain(&self, drain: Option<&Drain>) -> Result<(), Failure> {
        let path = self.shared.paths.drain();
        let client = self.client()?;
        let Some(drain) = drain else {
            return self.present(client.delete(&path, None)).await.map(|_| ());
        };
        let bytes = encode(drain);
        let list = self.shared.rights.drain();
        let options = CreateMode::Persistent.with_acls(Acls::new(&list));
        match self.answer(client.create(&path, &bytes, &options)).await {
            Ok(_) => Ok(()),
            // Another reason for the same drain.
            Err(Failure::Refused(Refusal::NodeExists)) => {
                self.answer(client.set_data(&path, &bytes, None)).await.map(|_| ())
            }
            Err(failure) => Err(failure),
        }
    }

    pub async fn set_surge(&self, admission: &AdmissionRead, surge: &Surge) -> Result<(), Failure> {
        let path = self.shared.paths.admission();
        let mut json: serde_json::Map<String, serde_json::Value> = decode(&path, "admission", &admission.raw)?;
        json.insert("surge_until".to_owned(), surge.until.as_str().into());
        json.insert("surge_for".to_owned(), surge.causes.clone().into());
        let request = self.client()?.set_data(&path, &encode(&json), expected(admission.version)?);
        self.answer(request).await.map(|_| ())
    }

    pub async fn read_slot(&self, slot: u16) -> Result<SlotRead, Failure> {
        let paths = &self.shared.paths;
        let path = paths.slot(slot);
        let client = self.client()?;
        let sync = client.sync(&path);
        let record = client.get_data(&path);
        let owner = client.get_data(&paths.owner(slot));
        self.answer(sync).await?;
        let record = self.answer(record).await?;
        let owner = self.present(owner).await?;
        slot_read(paths, slot, record, owner)
    }

    pub async fn write(&self, write: &Write) -> Result<Written, Failure> {
        let client = self.client()?;
        let paths = &self.shared.paths;
        let slot_path = paths.slot(write.slot());
        let owner_path = paths.owner(write.slot());
        if let Write::Extend { version, record, .. } = write {
            let request = client.set_data(&slot_path, &encode(record), expected(*version)?);
            return self.answer(request).await.map(|stat| written(&stat));
        }

        let list = self.shared.rights.owner();
        let options = CreateMode::Ephemeral.with_acls(Acls::new(&list));
        let mut multi = client.new_multi_writer();
        let bump = |multi: &mut MultiWriter<'_>, admission: &AdmissionRead| {
            let version = expected(admission.version)?;
            multi.add_set_data(&paths.admission(), &admission.raw, version).map_err(failure)
        };
        match write {
            Write::Extend { .. } => unreachable!("an extend is one request, made above"),
            Write::Claim { version, record, owner, admission, .. } => {
                multi.add_set_data(&slot_path, &encode(record), expected(*version)?).map_err(failure)?;
                multi.add_create(&owner_path, &encode(owner), &options).map_err(failure)?;
                bump(&mut multi, admission)?;
            }
            Write::Reattach { version, record, owner, admission, delete_owner, delete_registration, .. } => {
                if *delete_owner {
                    multi.add_delete(&owner_path, None).map_err(failure)?;
                }
                if let Some(name) = delete_registration {
                    multi.add_delete(&paths.worker(name), None).map_err(failure)?;
                }
                multi.add_create(&owner_path, &encode(owner), &options).map_err(failure)?;
                multi.add_set_data(&slot_path, &encode(record), expected(*version)?).map_err(failure)?;
                bump(&mut multi, admission)?;
            }
            Write::Release { version, record, delete_owner, .. } => {
                multi.add_set_data(&slot_path, &encode(record), expected(*version)?).map_err(failure)?;
                if *delete_owner {
                    multi.add_delete(&owner_path, None).map_err(failure)?;
                }
            }
            Write::Evict { version, .. } => {
                let Version(checked) = *version;
                expected(*version)?;
                multi.add_check_version(&slot_path, checked).map_err(failure)?;
                multi.add_delete(&owner_path, None).map_err(failure)?;
            }
        }
        let results = self.answer(async { multi.commit().await.map_err(Error::from) }).await?;
        if let Write::Evict { version, .. } = write {
            return Ok(Written { version: *version, at: None });
        }
        // The slot's record is the first data each of them sets.
        let stat = results.into_iter().find_map(|result| match result {
            MultiWriteResult::SetData { stat } => Some(stat),
            _ => None,
        });
        stat.map(|stat| written(&stat))
            .ok_or_else(|| Failure::Unknown("the answer says nothing of the slot's new version".to_owned()))
    }

    pub async fn watch(&self, interest: &Interest) -> Result<(), Failure> {
        let task = match interest {
            Interest::Nothing => None,
            interest => {
                let post = Lookout::post(self.client()?, self.shared.paths.clone(), interest.clone());
                let lookout = bounded(self.shared.patience, post).await?;
                Some(Task::spawn(lookout.keep(self.shared.pulse.clone())))
            }
        };
        let earlier = std::mem::replace(&mut *lock(&self.shared.lookout), task);
        if let Some(earlier) = earlier {
            earlier.end().await;
        }
        Ok(())
    }

    pub async fn close(self) {
        let lookout = lock(&self.shared.lookout).take();
        if let Some(lookout) = lookout {
            lookout.end().await;
        }
        // The client ends the session once nobody holds it: that includes requests under way.
        drop(lock(&self.shared.client).take());
        let mut states = self.shared.states.clone();
        let over =
            async { while link(states.peek_state()) != Link::Over && link(states.changed().await) != Link::Over {} };
        if tokio::time::timeout(CLOSE_BOUND, over).await.is_err() {
            tracing::debug!(session = %self.shared.id, "not closed in time: it ends on reconnection or by expiry");
        }
    }

    fn client(&self) -> Result<Client, Failure> {
        lock(&self.shared.client).clone().ok_or_else(|| Failure::SessionOver("closed by this process".to_owned()))
    }

    /// Reads many znodes in few requests: one by one they would be a hundred for each look, and a thousand nodes that
    /// look at once would keep the servers busy for seconds. What is not there is `None`.
    async fn read_all(&self, client: &Client, paths: Vec<String>) -> Result<Vec<Option<Data>>, Failure> {
        let mut requests = Vec::new();
        for some in paths.chunks(READ_AT_ONCE) {
            let mut reader = client.new_multi_reader();
            for path in some {
                reader.add_get_data(path).map_err(failure)?;
            }
            requests.push((some.len(), reader.commit()));
        }
        let mut all = Vec::with_capacity(paths.len());
        for (asked, request) in requests {
            let results = self.answer(request).await?;
            if results.len() != asked {
                return Err(Failure::Unknown(format!("{} answers to {asked} reads", results.len())));
            }
            for result in results {
                all.push(match result {
                    MultiReadResult::Data { data, stat } => Some((data, stat)),
                    MultiReadResult::Error { err: Error::NoNode } => None,
                    MultiReadResult::Error { err } => return Err(failure(err)),
                    _ => return Err(Failure::Unknown("an answer that is no data".to_owned())),
                });
            }
        }
        Ok(all)
    }

    async fn answer<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        bounded(self.shared.patience, async { request.await.map_err(failure) }).await
    }

    async fn present<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<Option<T>, Failure> {
        match self.answer(request).await {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Refused(Refusal::NoNode)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

async fn bounded<T>(bound: Duration, request: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(bound, request).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Unknown(format!("no answer within {bound:?}"))),
    }
}

/// The next of what was read together.
fn one_of(read: &mut impl Iterator<Item = Option<Data>>) -> Result<Option<Data>, Failure> {
    read.next().ok_or_else(|| Failure::Unknown("fewer answers than reads".to_owned()))
}

/// A poisoned lock guards a value that is whole: each critical section is one move.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To ZooKeeper -1 means "any version". No znode has it, so asking for it is answered here.
fn expected(version: Version) -> Result<Option<i32>, Failure> {
    match version {
        Version(version @ 0..) => Ok(Some(version)),
        Version(_) => Err(Failure::Refused(Refusal::BadVersion)),
    }
}

fn written(stat: &Stat) -> Written {
    Written { version: Version(stat.version), at: Some(ServerTime(stat.mtime)) }
}

fn slot_numbers(path: &str, names: Vec<String>) -> Result<Vec<u16>, Failure> {
    let number = |name: String| name.parse().map_err(|_| stray(path, &name));
    let mut slots = names.into_iter().map(number).collect::<Result<Vec<u16>, Failure>>()?;
    slots.sort_unstable();
    Ok(slots)
}

fn stray(path: impl Display, name: &str) -> Failure {
    Failure::Unknown(format!("{path} has a znode \"{name}\" that is not Meridian's: delete it"))
}

fn registration(path: &str, name: String, bytes: &[u8], stat: &Stat) -> Result<RegistrationRead, Failure> {
    let sequence = Registration::sequence_of(&name).ok_or_else(|| stray(path, &name))?;
    Ok(RegistrationRead {
        sequence,
        session: SessionId(stat.ephemeral_owner),
        created: ServerTime(stat.ctime),
        value: decode(path, "registration", bytes)?,
        name,
    })
}

fn slot_read(
    paths: &Paths,
    slot: u16,
    (bytes, stat): (Vec<u8>, Stat),
    owner: Option<(Vec<u8>, Stat)>,
) -> Result<SlotRead, Failure> {
    let owner = match owner {
        Some((bytes, stat)) => Some(OwnerRead {
            value: decode(&paths.owner(slot), "owner", &bytes)?,
            session: SessionId(stat.ephemeral_owner),
            created: ServerTime(stat.ctime),
        }),
        None => None,
    };
    Ok(SlotRead {
        slot,
        version: Version(stat.version),
        value: decode(&paths.slot(slot), "slot", &bytes)?,
        modified: ServerTime(stat.mtime),
        owner,
    })
}
