//! A cluster that knows one release: applies what Helm rendered, lets the controllers decide, and keeps the pods.

use crate::chart::{self, Release, name, number};
use crate::controllers::{Deployment, Gate, Orders, Seen, Share, StatefulSet};
use crate::pod::{Birth, ConfigMaps, Pod};
use crate::service::Service;
use crate::template::{self, Identity, Template};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What a cluster is like.
#[derive(Debug)]
pub struct Ground {
    pub folder: PathBuf,
    /// The pods' addresses are 127.`block`.*.*.
    pub block: u8,
    pub gate: Gate,
    pub zone: bool,
    /// Values of variables that replace the template's: only to see the harness fail.
    pub overrides: Vec<(&'static str, &'static str)>,
}

pub struct Cluster {
    ground: Ground,
    service: Arc<Service>,
    selector: BTreeMap<String, String>,
    maps: ConfigMaps,
    sets: BTreeMap<String, StatefulSet>,
    deployments: BTreeMap<String, Deployment>,
    /// Of each workload, by revision.
    templates: BTreeMap<(String, String), Template>,
    jobs: BTreeSet<String>,
    pods: Vec<Arc<Pod>>,
    /// Deleted by force: out of the API, and still running.
    ghosts: Vec<Arc<Pod>>,
    threads: Vec<JoinHandle<()>>,
    born: u64,
    objections: Vec<String>,
}

impl Cluster {
    pub fn new(ground: Ground, service: Arc<Service>) -> Cluster {
        Cluster {
            ground,
            service,
            selector: BTreeMap::new(),
            maps: ConfigMaps::default(),
            sets: BTreeMap::new(),
            deployments: BTreeMap::new(),
            templates: BTreeMap::new(),
            jobs: BTreeSet::new(),
            pods: Vec::new(),
            ghosts: Vec::new(),
            threads: Vec::new(),
            born: 0,
            objections: Vec::new(),
        }
    }

    /// All objects at once, as Helm sends them: nothing in the release waits for the init Job, so nothing does here.
    pub fn apply(&mut self, release: &Release) {
        let service = release.of_kind("Service").find(|service| service["spec"]["clusterIP"] != "None");
        let service = service.expect("a Service for clients");
        assert_eq!(service["spec"]["ports"][0]["targetPort"], "http", "where clients are sent");
        self.selector = template::labels(&service["spec"]["selector"]);
        for map in release.of_kind("ConfigMap").filter(|map| name(map).ends_with("-manifest")) {
            let file = release.file_of(name(map));
            self.maps.lock().expect("nothing panics under it").insert(name(map).to_owned(), file);
        }
        self.pods.iter().filter(|pod| !pod.is_deleted()).for_each(|pod| pod.sync_files());
        for set in release.of_kind("StatefulSet") {
            self.apply_set(set);
        }
        for deployment in release.of_kind("Deployment") {
            self.apply_deployment(deployment, release);
        }
        // A Job of the release before that is in this one as well has run and stays; one that is not is deleted.
        let jobs: BTreeMap<&str, &Value> = release.of_kind("Job").map(|job| (name(job), job)).collect();
        self.jobs.retain(|job| jobs.contains_key(job.as_str()));
        for pod in self.pods.iter().filter(|pod| pod.owner.contains("-init-") && !jobs.contains_key(&*pod.owner)) {
            pod.delete();
        }
        for (name, job) in jobs {
            if self.jobs.insert(name.to_owned()) {
                let template = Template::read(&job["spec"]["template"]);
                let revision = template.revision.clone();
                self.templates.insert((name.to_owned(), revision.clone()), template);
                self.create(name, &revision, 0);
            }
        }
    }

    fn apply_set(&mut self, object: &Value) {
        let (owner, spec) = (name(object).to_owned(), &object["spec"]);
        assert_eq!(spec["podManagementPolicy"], "Parallel", "the order that is played here");
        let update = self.learn(&owner, object);
        let rolling = &spec["updateStrategy"]["rollingUpdate"];
        assert!(rolling["partition"].is_null(), "a partition is not played here");
        let set = self.sets.entry(owner).or_insert_with(|| StatefulSet {
            replicas: 0,
            start: 0,
            max_unavailable: 1,
            gate: self.ground.gate,
            current: update.clone(),
            update: update.clone(),
        });
        set.replicas = number(&spec["replicas"]);
        set.start = spec["ordinals"]["start"].as_u64().unwrap_or_default() as usize;
        set.max_unavailable = rolling["maxUnavailable"].as_u64().unwrap_or(1) as usize;
        set.update = update;
    }

    fn apply_deployment(&mut self, object: &Value, release: &Release) {
        let (owner, spec) = (name(object).to_owned(), &object["spec"]);
        let update = self.learn(&owner, object);
        let share = |value: &Value| match value.as_str().map(|text| text.trim_end_matches('%').parse()) {
            Some(percent) => Share::Percent(percent.expect("per cent")),
            None => Share::Pods(number(value)),
        };
        let rolling = &spec["strategy"]["rollingUpdate"];
        let (surge, away) = (share(&rolling["maxSurge"]), share(&rolling["maxUnavailable"]));
        // Without a number in the release an autoscaler owns it: it stays what it is, and is one at first.
        let bounds = release.autoscaler();
        let before = self.deployments.get(&owner).map(|deployment| deployment.replicas);
        let replicas = match (spec["replicas"].as_u64(), bounds) {
            (Some(replicas), _) => replicas as usize,
            (None, Some((least, most))) => before.unwrap_or(least.max(1)).clamp(least, most),
            (None, None) => panic!("{owner} has no number of replicas, and nobody to set it"),
        };
        let new = || Deployment::new(replicas, surge, away, update.clone());
        let deployment = self.deployments.entry(owner).or_insert_with(new);
        (deployment.replicas, deployment.max_surge, deployment.max_unavailable) = (replicas, surge, away);
        deployment.update = update;
    }

    fn learn(&mut self, owner: &str, object: &Value) -> String {
        let mut template = template::of(object);
        for (variable, value) in &self.ground.overrides {
            template = template.with(variable, value);
        }
        let revision = template.revision.clone();
        self.templates.insert((owner.to_owned(), revision.clone()), template);
        revision
    }

    /// What an autoscaler does.
    pub fn scale(&mut self, replicas: usize) {
        self.deployments.get_mut(&self.workload("burst")).expect("burst nodes").replicas = replicas;
    }

    fn workload(&self, component: &str) -> String {
        format!("meridian-{component}")
    }

    /// One round of all controllers.
    pub fn tick(&mut self) {
        self.bury();
        let owners: Vec<String> = self.sets.keys().chain(self.deployments.keys()).cloned().collect();
        for owner in owners {
            let own = self.pods.iter().filter(|pod| pod.owner == owner);
            let seen: Vec<Seen> = own
                .map(|pod| Seen {
                    id: pod.id,
                    revision: pod.revision.clone(),
                    ordinal: pod.ordinal,
                    ready: pod.is_ready(),
                    terminating: pod.is_deleted(),
                })
                .collect();
            let orders = match self.sets.get_mut(&owner) {
                Some(set) => set.reconcile(&seen),
                None => self.deployments.get_mut(&owner).expect("one or the other").reconcile(&seen),
            };
            self.carry_out(&owner, orders);
        }
        let selected =
            |pod: &&Arc<Pod>| self.selector.iter().all(|(label, value)| pod.identity.labels.get(label) == Some(value));
        let behind: Vec<Arc<Pod>> = self.pods.iter().filter(selected).cloned().collect();
        self.service.update(&behind);
    }

    fn carry_out(&mut self, owner: &str, orders: Orders) {
        for pod in self.pods.iter().filter(|pod| orders.delete.contains(&pod.id)) {
            pod.delete();
        }
        for (revision, ordinal) in orders.create {
            self.create(owner, &revision, ordinal);
        }
    }

    fn create(&mut self, owner: &str, revision: &str, ordinal: usize) {
        self.born += 1;
        let id = self.born;
        let template = self.templates[&(owner.to_owned(), revision.to_owned())].clone();
        let mut labels = template.labels.clone();
        let name = match self.sets.contains_key(owner) {
            true => format!("{owner}-{ordinal}"),
            false => format!("{owner}-{revision}-{id:05}"),
        };
        if self.sets.contains_key(owner) {
            labels.insert("apps.kubernetes.io/pod-index".to_owned(), ordinal.to_string());
            labels.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.clone());
            assert!(!self.pods.iter().any(|pod| pod.name() == name), "two pods called {name}");
        }
        if self.ground.zone {
            labels.insert("topology.kubernetes.io/zone".to_owned(), format!("zone-{}", id % 3));
        }
        let ip = Ipv4Addr::new(127, self.ground.block, (id / 250) as u8, (id % 250 + 1) as u8);
        let (pod, threads) = Pod::start(Birth {
            id,
            owner,
            ordinal,
            identity: Identity { name, ip, labels },
            template,
            revision: revision.to_owned(),
            folder: &self.ground.folder,
            maps: self.maps.clone(),
        });
        self.pods.push(pod);
        self.threads.extend(threads);
    }

    /// Takes those that are gone out of the books.
    fn bury(&mut self) {
        for pods in [&mut self.pods, &mut self.ghosts] {
            for pod in pods.extract_if(.., |pod| pod.is_gone()) {
                self.objections.extend(pod.objections());
            }
        }
        for thread in self.threads.extract_if(.., |thread| thread.is_finished()) {
            if thread.join().is_err() {
                self.objections.push("a kubelet panicked".to_owned());
            }
        }
    }

    /// What was seen of pods that no pod should do, so far.
    pub fn objections(&self) -> Vec<String> {
        let living = self.pods.iter().chain(&self.ghosts).flat_map(|pod| pod.objections());
        self.objections.iter().cloned().chain(living).collect()
    }

    /// Pods of the API that are no Job's.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.iter().filter(|pod| !pod.owner.contains("-init-"))
    }

    pub fn of(&self, component: &str) -> Vec<Arc<Pod>> {
        let owner = self.workload(component);
        self.pods.iter().filter(|pod| pod.owner == owner).cloned().collect()
    }

    pub fn burst(&self) -> usize {
        self.deployments.get(&self.workload("burst")).map_or(0, |burst| burst.replicas)
    }

    /// Out of the API at once, whatever its process does: `kubectl delete --force`.
    pub fn forget(&mut self, pod: &Arc<Pod>) {
        self.pods.retain(|other| !Arc::ptr_eq(other, pod));
        self.ghosts.push(pod.clone());
        pod.delete();
    }

    pub fn has_ghosts(&self) -> bool {
        !self.ghosts.is_empty()
    }

    /// Why the release is not rolled out yet: each Job done, each pod of the wanted revision, none on its way out, and
    /// as many ready as there are slots or nodes for.
    pub fn unfinished(&self, dynamic: usize) -> Option<String> {
        if let Some(job) = self.pods.iter().find(|pod| pod.owner.contains("-init-") && !pod.is_completed()) {
            return Some(format!("the Job of {} is not done", job.describe()));
        }
        let sets = self.sets.iter().map(|(owner, set)| (owner, set.replicas, &set.update));
        let deployments = self.deployments.iter().map(|(owner, set)| (owner, set.replicas, &set.update));
        for (owner, replicas, update) in sets.chain(deployments) {
            let own: Vec<&Arc<Pod>> = self.pods.iter().filter(|pod| pod.owner == *owner).collect();
            if let Some(other) = own.iter().find(|pod| pod.revision != *update || pod.is_deleted()) {
                return Some(format!("{} is still there", other.describe()));
            }
            if own.len() != replicas {
                return Some(format!("{owner} has {} pods of {replicas}", own.len()));
            }
        }
        let core: usize = self.sets.values().map(|set| set.replicas).sum();
        if let Some(core) = self.of("core").iter().find(|pod| !pod.is_ready()) {
            return Some(format!("{} is not ready", core.describe()));
        }
        let others: usize = self.deployments.values().map(|deployment| deployment.replicas).sum();
        let (ready, wanted) = (self.nodes().filter(|pod| pod.is_ready()).count(), core + dynamic.min(others));
        (ready != wanted).then(|| format!("{ready} nodes are ready, and not {wanted}"))
    }

    /// Whether a burst Deployment is what `helm --wait` calls ready, and how many of its pods are not.
    pub fn burst_away(&self) -> Option<(usize, bool)> {
        let burst = self.deployments.get(&self.workload("burst"))?;
        let ready = self.of("burst").iter().filter(|pod| pod.is_ready()).count();
        let away = burst.replicas.saturating_sub(ready);
        Some((away, away <= burst.bounds().1))
    }

    /// `helm uninstall`: all objects go, and all pods have their grace.
    pub fn uninstall(&mut self) {
        self.sets.clear();
        self.deployments.clear();
        self.pods.iter().for_each(|pod| pod.delete());
        self.ghosts.iter().for_each(|pod| pod.reconnect());
    }

    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() && self.ghosts.is_empty() && self.threads.is_empty()
    }

    /// Ends everything at once: whoever asks no longer cares how.
    pub fn abandon(&mut self) {
        for pod in self.pods.drain(..).chain(self.ghosts.drain(..)) {
            pod.abandon();
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    pub fn describe(&self) -> String {
        let pods = self.pods.iter().chain(&self.ghosts);
        pods.map(|pod| format!("\n    {}\n{}", pod.describe(), pod.last_words())).collect()
    }

    /// How many of the evictions of a component the budget allows now.
    pub fn may_evict(&self, release: &Release, pod: &Pod) -> bool {
        let component = if pod.owner.ends_with("-core") { "-core" } else { "-burst" };
        let Some(budget) = release.object("PodDisruptionBudget", component) else { return true };
        let wanted = template::labels(&budget["spec"]["selector"]["matchLabels"]);
        let covers = |pod: &Pod| wanted.iter().all(|(label, value)| pod.identity.labels.get(label) == Some(value));
        // AlwaysAllow: who is not ready may always go.
        if !covers(pod) || !pod.is_ready() {
            return true;
        }
        assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow", "{}", chart::name(budget));
        let covered: Vec<&Arc<Pod>> = self.nodes().filter(|pod| covers(pod)).collect();
        let healthy = covered.iter().filter(|pod| pod.serves()).count();
        let expected: usize = match component {
            "-core" => self.sets.values().map(|set| set.replicas).sum(),
            _ => self.burst(),
        };
        // Per cent of what may be away are rounded up for budgets.
        let away = match budget["spec"]["maxUnavailable"].as_str() {
            Some(percent) => {
                (expected * percent.trim_end_matches('%').parse::<usize>().expect("per cent")).div_ceil(100)
            }
            None => number(&budget["spec"]["maxUnavailable"]),
        };
        healthy > expected.saturating_sub(away)
    }
}
