//! The Service: which pods get traffic, as each client's node has heard. A pod is an endpoint while it is ready and not
//! told to stop; whoever forwards to it hears of a change a while later, each in its own time.

use crate::pod::Pod;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How late a change may come. The chart allows kube-proxy and load balancers 3 s beyond what the probe needs.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    pub least: Duration,
    pub most: Duration,
}

#[derive(Debug)]
pub struct Service {
    lag: Lag,
    endpoints: Mutex<Vec<Endpoint>>,
}

#[derive(Debug)]
struct Endpoint {
    pod: Arc<Pod>,
    /// When it became one, or ceased to be: in this order, whatever each hearer's delay is.
    changes: Vec<(Instant, bool)>,
}

impl Service {
    pub fn new(lag: Lag) -> Service {
        Service { lag, endpoints: Mutex::default() }
    }

    /// Looks at all pods that its selector finds: what changed is heard of by and by.
    pub fn update(&self, pods: &[Arc<Pod>]) {
        let now = Instant::now();
        let mut endpoints = self.endpoints.lock().expect("nothing panics under it");
        for pod in pods {
            if !endpoints.iter().any(|endpoint| Arc::ptr_eq(&endpoint.pod, pod)) {
                endpoints.push(Endpoint { pod: pod.clone(), changes: Vec::new() });
            }
        }
        for endpoint in endpoints.iter_mut() {
            let there = pods.iter().any(|pod| Arc::ptr_eq(pod, &endpoint.pod));
            let serves = there && endpoint.pod.serves();
            if endpoint.changes.last().map_or(serves, |(_, before)| *before != serves) {
                endpoint.changes.push((now, serves));
            }
        }
        // Forgotten once everybody has heard that it is none any more.
        endpoints.retain(|endpoint| match endpoint.changes.last() {
            Some((at, false)) => {
                at.elapsed() <= self.lag.most || pods.iter().any(|pod| Arc::ptr_eq(pod, &endpoint.pod))
            }
            Some((_, true)) => true,
            None => pods.iter().any(|pod| Arc::ptr_eq(pod, &endpoint.pod)),
        });
    }

    /// Where a client's next connection may go.
    pub fn endpoints(&self, client: u64) -> Vec<Arc<Pod>> {
        let now = Instant::now();
        let endpoints = self.endpoints.lock().expect("nothing panics under it");
        let heard = endpoints.iter().filter(|endpoint| {
            let heard = endpoint.changes.iter().enumerate().rev();
            let mut heard = heard.filter(|(number, (at, _))| now >= *at + self.delay(endpoint, *number, client));
            heard.next().is_some_and(|(_, (_, serves))| *serves)
        });
        heard.map(|endpoint| endpoint.pod.clone()).collect()
    }

    /// As chance would have it, and the same with each look.
    fn delay(&self, endpoint: &Endpoint, change: usize, client: u64) -> Duration {
        let mixed = crate::dice::Dice::new(endpoint.pod.id << 16 ^ (change as u64) << 8 ^ client).below(1_000) as u32;
        self.lag.least + (self.lag.most - self.lag.least) * mixed / 1_000
    }
}
