//! Laying a datacenter's tree: what is missing is made in one `multi`, so that no half of a tree is ever seen.
//!
//! Several may do it at once, and each may be interrupted: whoever loses a race, or comes again, surveys what stands
//! and makes the rest. A slot that exists is never touched, because its ceiling is what keeps ids apart.

use super::ensemble::Ensemble;
use super::rights::Rights;
use super::{encode, recognise};
use crate::id::Millis;
use crate::lease::coordination::{Blueprint, Expected, Initialised, OpenError, ServerTime};
use crate::lease::znode::{Paths, Slot, VERSION};
use std::collections::BTreeSet;
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error, MultiWriter};

/// Every lost race means that somebody else got further, so few attempts are enough; bumps of a busy admission are why
/// it is not two.
const ATTEMPTS: usize = 32;

/// What stands already.
struct Survey {
    tree: bool,
    /// Its bytes and their version.
    admission: Option<(Vec<u8>, i32)>,
    workers: bool,
    slots: Option<BTreeSet<String>>,
}

/// `client` is not in the chroot, which may not exist yet.
pub(super) async fn lay(
    client: &Client,
    ensemble: &Ensemble,
    rights: &Rights,
    blueprint: &Blueprint,
) -> Result<Initialised, OpenError> {
    let paths = Paths::new(blueprint.tree.datacenter);
    let root = format!("{}{}", ensemble.chroot(), paths.root());
    let refused = |verb: &str, error: Error| ensemble.refused(verb, &root, error);

    ancestors(client, rights, &root).await.map_err(|error| refused("make the znodes above", error))?;
    let client = client
        .clone()
        .chroot(if ensemble.chroot().is_empty() { "/" } else { ensemble.chroot() })
        .map_err(|_| refused("enter the chroot of", Error::UnexpectedError("invalid path".to_owned())))?;
    for _ in 0..ATTEMPTS {
        let survey = survey(&client, &paths, &root, blueprint, |error| refused("read", error)).await?;
        let mut multi = client.new_multi_writer();
        let slots = survey.slots.as_ref().map_or(0, BTreeSet::len);
        let first_ceiling = match slots < usize::from(blueprint.slots) {
            true => {
                let now = server_clock(&client, rights, &paths).await;
                blueprint.first_ceiling(now.map_err(|error| refused("ask the clock beside", error))?)
            }
            false => Millis::default(), // no slot is made
        };
        let done = plan(&mut multi, &survey, &paths, rights, blueprint, first_ceiling).map_err(|plan| match plan {
            Unplanned::Malformed(error) => refused("plan", error),
            Unplanned::Foreign(why) => OpenError::Mismatch(format!("{root}/admission holds no admission: {why}")),
        })?;
        if done == Initialised::default() && survey.workers && survey.slots.is_some() {
            return Ok(done);
        }
        match multi.commit().await.map_err(Error::from) {
            Ok(_) => return Ok(done),
            // Somebody else was faster with a part of it.
            Err(Error::NodeExists | Error::NoNode | Error::BadVersion) => continue,
            Err(error) => return Err(refused("write", error)),
        }
    }
    Err(refused("write", Error::UnexpectedError(format!("lost {ATTEMPTS} races against other writers"))))
}

/// The znodes above the tree, one by one: they are shared, carry nothing and are looked for first, since the server
/// checks the right to create before it says that something exists.
async fn ancestors(client: &Client, rights: &Rights, root: &str) -> Result<(), Error> {
    let list = rights.ancestor();
    let options = CreateMode::Persistent.with_acls(Acls::new(&list));
    for (slash, _) in root.match_indices('/').skip(1) {
        let path = &root[..slash];
        if client.check_stat(path).await?.is_some() {
            continue;
        }
        match client.create(path, b"", &options).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn survey(
    client: &Client,
    paths: &Paths,
    root: &str,
    blueprint: &Blueprint,
    refused: impl Fn(Error) -> OpenError,
) -> Result<Survey, OpenError> {
    let tree = match client.get_data(paths.root()).await {
        Ok((bytes, _)) => {
            let wanted = blueprint.tree.clone();
            let expected = Expected {
                fleet: wanted.fleet,
                datacenter: wanted.datacenter,
                epoch: wanted.epoch,
                layout: wanted.layout,
            };
            recognise(root, &bytes, &expected)?;
            true
        }
        Err(Error::NoNode) => false,
        Err(error) => return Err(refused(error)),
    };
    let admission = match client.get_data(&paths.admission()).await {
        Ok((bytes, stat)) => Some((bytes, stat.version)),
        Err(Error::NoNode) => None,
        Err(error) => return Err(refused(error)),
    };
    let workers = client.check_stat(&paths.workers()).await.map_err(&refused)?.is_some();
    let slots = match client.list_children(&paths.slots()).await {
        Ok(names) => Some(names.into_iter().collect()),
        Err(Error::NoNode) => None,
        Err(error) => return Err(refused(error)),
    };
    Ok(Survey { tree, admission, workers, slots })
}

/// The service's clock, as it stamps a znode that goes with this session.
async fn server_clock(client: &Client, rights: &Rights, paths: &Paths) -> Result<ServerTime, Error> {
    let list = rights.registration();
    let options = CreateMode::EphemeralSequential.with_acls(Acls::new(&list));
    let beside = paths.root().rsplit_once('/').map_or("", |(parent, _)| parent);
    let (stat, sequence) = client.create(&format!("{beside}/clock-"), b"", &options).await?;
    let _ = client.delete(&format!("{beside}/clock-{sequence}"), None).await; // or it goes with the session
    Ok(ServerTime(stat.ctime))
}

enum Unplanned {
    Malformed(Error),
    Foreign(String),
}

impl From<Error> for Unplanned {
    fn from(error: Error) -> Unplanned {
        Unplanned::Malformed(error)
    }
}

fn plan(
    multi: &mut MultiWriter<'_>,
    survey: &Survey,
    paths: &Paths,
    rights: &Rights,
    blueprint: &Blueprint,
    first_ceiling: Millis,
) -> Result<Initialised, Unplanned> {
    let mut done = Initialised::default();
    let create = |multi: &mut MultiWriter<'_>, path: &str, data: &[u8], list: Vec<Acl>| {
        multi.add_create(path, data, &CreateMode::Persistent.with_acls(Acls::new(&list)))
    };
    if !survey.tree {
        create(multi, paths.root(), &encode(&blueprint.tree), rights.tree())?;
        done.tree_created = true;
    }
    match &survey.admission {
        None => create(multi, &paths.admission(), &encode(&blueprint.admission), rights.admission())?,
        Some((bytes, version)) => {
            if let Some(bytes) = revised_admission(bytes, blueprint).map_err(Unplanned::Foreign)? {
                multi.add_set_data(&paths.admission(), &bytes, Some(*version))?;
                done.admission_changed = true;
            }
        }
    }
    if !survey.workers {
        create(multi, &paths.workers(), b"", rights.workers())?;
    }
    if survey.slots.is_none() {
        create(multi, &paths.slots(), b"", rights.slots())?;
    }
    let first = Slot { v: VERSION, holder: None, host: String::new(), ceiling: first_ceiling, fence: 0 };
    for slot in 0..blueprint.slots {
        let path = paths.slot(slot);
        let name = path.rsplit('/').next().unwrap_or_default();
        if survey.slots.as_ref().is_some_and(|slots| slots.contains(name)) {
            continue;
        }
        create(multi, &path, &encode(&first), rights.slot())?;
        done.slots_created += 1;
    }
    Ok(done)
}

/// The admission's bytes with the manifest's numbers, or `None` if it has them. `surge_until` stays, and so do fields
/// that a newer version added.
fn revised_admission(bytes: &[u8], blueprint: &Blueprint) -> Result<Option<Vec<u8>>, String> {
    let mut there: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let wanted = &blueprint.admission;
    let fields = [
        ("quota", serde_json::Value::from(wanted.quota)),
        ("static", serde_json::Value::from(wanted.fixed)),
        ("surge", serde_json::Value::from(wanted.surge)),
        ("digest", serde_json::Value::from(wanted.digest.as_str())),
    ];
    if fields.iter().all(|(field, value)| there.get(*field) == Some(value)) {
        return Ok(None);
    }
    there.extend(fields.map(|(field, value)| (field.to_owned(), value)));
    Ok(Some(encode(&there)))
}
