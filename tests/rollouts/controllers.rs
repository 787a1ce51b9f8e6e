//! What the controllers of Kubernetes decide, as values: given the pods that are there, which to delete and which to
//! make. Written after `pkg/controller/statefulset` and `pkg/controller/deployment`.

use std::collections::BTreeMap;

/// A pod as a controller sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: u64,
    pub revision: String,
    pub ordinal: usize,
    pub ready: bool,
    /// Deleted, and still running.
    pub terminating: bool,
}

/// What is done now. The next look sees what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    pub delete: Vec<u64>,
    /// Revision and ordinal (of a Deployment's pods: nothing).
    pub create: Vec<(String, usize)>,
}

/// How a StatefulSet's rolling update reads `maxUnavailable`.
///
/// The field is behind the gate MaxUnavailableStatefulSet: alpha and off from Kubernetes 1.24, on by default from 1.35.
/// Where it is off the field is dropped, and one pod is replaced at a time, from the highest ordinal down, the next when
/// all above it are ready. Where it is on, so many may be away at once *whatever the reason*: a pod that is not ready
/// holds the update up even if it is of the old revision. The chart says 1, so both look alike unless a pod is ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Off,
    On,
}

#[derive(Clone, Debug)]
pub struct StatefulSet {
    pub replicas: usize,
    pub start: usize,
    pub max_unavailable: usize,
    pub gate: Gate,
    /// The revision that was complete last, and the wanted one.
    pub current: String,
    pub update: String,
}

impl StatefulSet {
    /// `podManagementPolicy: Parallel`: what is missing is made at once. A name is taken until its pod is gone.
    pub fn reconcile(&mut self, pods: &[Seen]) -> Orders {
        let range = self.start..self.start + self.replicas;
        let mut orders = Orders::default();
        let old = pods.iter().filter(|pod| pod.revision == self.current && !pod.terminating).count();
        for ordinal in range.clone().filter(|ordinal| !pods.iter().any(|pod| pod.ordinal == *ordinal)) {
            // In the middle of an update, a pod that was lost comes back as what it was.
            let was = self.current != self.update && ordinal < self.start + old;
            orders.create.push((if was { &self.current } else { &self.update }.clone(), ordinal));
        }
        let condemned = pods.iter().filter(|pod| !range.contains(&pod.ordinal) && !pod.terminating);
        orders.delete.extend(condemned.map(|pod| pod.id));
        if orders != Orders::default() {
            return orders;
        }
        let healthy = |pod: &Seen| pod.ready && !pod.terminating;
        let mut sorted: Vec<&Seen> = pods.iter().collect();
        sorted.sort_by_key(|pod| std::cmp::Reverse(pod.ordinal));
        match self.gate {
            Gate::Off => {
                for pod in &sorted {
                    if pod.revision != self.update && !pod.terminating {
                        orders.delete.push(pod.id);
                        return orders;
                    }
                    if !healthy(pod) {
                        return orders;
                    }
                }
            }
            Gate::On => {
                let away = sorted.iter().filter(|pod| !healthy(pod)).count();
                let room = self.max_unavailable.saturating_sub(away);
                let due = sorted.iter().filter(|pod| pod.revision != self.update && !pod.terminating);
                orders.delete.extend(due.take(room).map(|pod| pod.id));
            }
        }
        if sorted.len() == self.replicas && sorted.iter().all(|pod| pod.revision == self.update && healthy(pod)) {
            self.current.clone_from(&self.update);
        }
        orders
    }
}

/// A number of pods, or per cent of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Pods(usize),
    Percent(usize),
}

#[derive(Clone, Debug)]
pub struct Deployment {
    pub replicas: usize,
    pub max_surge: Share,
    pub max_unavailable: Share,
    pub update: String,
    /// What each ReplicaSet is told to have, in the order they were made.
    sets: Vec<(String, usize)>,
}

impl Deployment {
    pub fn new(replicas: usize, max_surge: Share, max_unavailable: Share, update: String) -> Deployment {
        Deployment { replicas, max_surge, max_unavailable, update, sets: Vec::new() }
    }

    /// Surge and unavailable pods. Per cent of a surge are rounded up, of those away down; if both come out at zero, one
    /// may be away.
    pub fn bounds(&self) -> (usize, usize) {
        let surge = match self.max_surge {
            Share::Pods(pods) => pods,
            Share::Percent(percent) => (self.replicas * percent).div_ceil(100),
        };
        let away = match self.max_unavailable {
            Share::Pods(pods) => pods,
            Share::Percent(percent) => self.replicas * percent / 100,
        };
        let away = if surge == 0 && away == 0 { 1 } else { away };
        (surge, away.min(self.replicas))
    }

    /// Pods that are on their way out do not count, so that their replacements start beside them.
    pub fn reconcile(&mut self, pods: &[Seen]) -> Orders {
        let active: Vec<&Seen> = pods.iter().filter(|pod| !pod.terminating).collect();
        let available: BTreeMap<String, usize> =
            active.iter().filter(|pod| pod.ready).fold(BTreeMap::new(), |mut counts, pod| {
                *counts.entry(pod.revision.clone()).or_default() += 1;
                counts
            });
        self.resize(&available);
        let mut orders = Orders::default();
        for (revision, size) in &self.sets {
            let mut own: Vec<&&Seen> = active.iter().filter(|pod| pod.revision == *revision).collect();
            // Who goes first: those that are not ready, then the youngest.
            own.sort_by_key(|pod| (pod.ready, std::cmp::Reverse(pod.id)));
            orders.delete.extend(own.iter().take(own.len().saturating_sub(*size)).map(|pod| pod.id));
            orders.create.extend((own.len()..*size).map(|_| (revision.clone(), 0)));
        }
        self.sets.retain(|(revision, size)| {
            *size > 0 || *revision == self.update || active.iter().any(|pod| pod.revision == *revision)
        });
        orders
    }

    fn total(&self) -> usize {
        self.sets.iter().map(|(_, size)| size).sum()
    }

    /// `RollingUpdate`: one step of either the new set or the old ones.
    fn resize(&mut self, available: &BTreeMap<String, usize>) {
        let (surge, away) = self.bounds();
        // A set of an older revision that is rolled back to is the new one again.
        if let Some(at) = self.sets.iter().position(|(revision, _)| *revision == self.update) {
            let set = self.sets.remove(at);
            self.sets.push(set);
        } else {
            self.sets.push((self.update.clone(), 0));
        }
        let total = self.total();
        let new = self.sets.len() - 1;
        let size = self.sets[new].1;
        if size > self.replicas {
            self.sets[new].1 = self.replicas;
            return;
        }
        let more = (self.replicas + surge).saturating_sub(total).min(self.replicas - size);
        if more > 0 {
            self.sets[new].1 += more;
            return;
        }
        let counted = |revision: &str, size: usize| available.get(revision).copied().unwrap_or_default().min(size);
        let least = self.replicas - away;
        let new_away = size - counted(&self.update, size);
        let mut room = total.saturating_sub(least + new_away);
        if room == 0 || total == size {
            return;
        }
        // Old pods that are not ready go first: nobody misses them.
        for (revision, size) in &mut self.sets[..new] {
            let cut = room.min(*size - counted(revision, *size));
            *size -= cut;
            room -= cut;
        }
        let ready: usize = available.values().sum();
        let mut cut = ready.saturating_sub(least);
        for (_, size) in &mut self.sets[..new] {
            let now = cut.min(*size);
            *size -= now;
            cut -= now;
        }
    }
}

/// The arithmetic, by example, before anything is started.
pub fn check() {
    let pod = |id: u64, revision: &str, ready: bool, terminating: bool| Seen {
        id,
        revision: revision.to_owned(),
        ordinal: id as usize,
        ready,
        terminating,
    };
    let set = |gate| StatefulSet {
        replicas: 3,
        start: 0,
        max_unavailable: 1,
        gate,
        current: "a".to_owned(),
        update: "b".to_owned(),
    };
    for gate in [Gate::Off, Gate::On] {
        let well = [pod(0, "a", true, false), pod(1, "a", true, false), pod(2, "a", true, false)];
        assert_eq!(set(gate).reconcile(&well).delete, [2], "from the highest ordinal down");
        let leaving = [pod(0, "a", true, false), pod(1, "a", true, false), pod(2, "a", false, true)];
        assert_eq!(set(gate).reconcile(&leaving), Orders::default(), "one at a time, and no name twice");
        let gone = [pod(0, "a", true, false), pod(1, "a", true, false)];
        assert_eq!(set(gate).reconcile(&gone).create, [("b".to_owned(), 2)]);
        let lost = [pod(1, "a", true, false), pod(2, "b", true, false)];
        assert_eq!(set(gate).reconcile(&lost).create, [("a".to_owned(), 0)], "what is lost comes back as it was");
        let ill = [pod(0, "a", true, false), pod(1, "a", false, false), pod(2, "b", true, false)];
        let expected: &[u64] = if gate == Gate::Off { &[1] } else { &[] };
        assert_eq!(set(gate).reconcile(&ill).delete, expected);
    }
    let deployment = |surge, away| Deployment::new(4, surge, away, "b".to_owned());
    assert_eq!(deployment(Share::Percent(25), Share::Percent(30)).bounds(), (1, 1));
    assert_eq!(deployment(Share::Pods(0), Share::Percent(10)).bounds(), (0, 1));
    assert_eq!(deployment(Share::Pods(0), Share::Pods(9)).bounds(), (0, 4));
    // No surge, two away: two old ones go, their replacements start beside them, and the next two wait.
    let mut rolling = deployment(Share::Pods(0), Share::Pods(2));
    rolling.sets.push(("a".to_owned(), 4));
    let old: Vec<Seen> = (0..4).map(|id| pod(id, "a", true, false)).collect();
    assert_eq!(rolling.reconcile(&old).delete, [3, 2]);
    let leaving =
        [pod(0, "a", true, false), pod(1, "a", true, false), pod(2, "a", true, true), pod(3, "a", true, true)];
    assert_eq!(rolling.reconcile(&leaving).create.len(), 2);
    let started = [&leaving[..], &[pod(4, "b", false, false), pod(5, "b", false, false)]].concat();
    assert_eq!(rolling.reconcile(&started), Orders::default());
    // One of the new ones never gets ready: with two that may be away, the rollout goes on all the same.
    let half = [&leaving[..2], &[pod(4, "b", false, false), pod(5, "b", true, false)]].concat();
    assert_eq!(rolling.reconcile(&half).delete, [1]);
}
