//! What can happen to a region, and how it is undone.

use super::{Place, Stage};
use crate::drill::Fault;
use crate::drill::script::Blow;
use crate::drill::world;
use crate::lease::coordination::{Coordination, Session};
use crate::lease::znode::{self, Drain};
use crate::lease::zookeeper::Ensemble;
use anyhow::{Context, anyhow, bail};
use std::time::Duration;

const SESSION: Duration = Duration::from_secs(6);
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

impl Stage {
    pub async fn strike(&mut self, region: &str, blow: Blow) -> anyhow::Result<()> {
        let place = self.place(region)?;
        if let Some(blow) = place.blow {
            bail!("{region} already suffers: {blow}");
        }
        place.blow = Some(blow);
        match blow {
            Blow::Lost(Fault::Crash) => {
                // All at once: killed one by one, the last would hand their slots on.
                place.signal(libc::SIGKILL);
                if let Some(balancer) = place.balancer.take() {
                    balancer.close().await;
                }
                for node in &mut place.nodes {
                    node.kill().await;
                }
            }
            Blow::Lost(Fault::Hang) => place.signal(libc::SIGSTOP),
            Blow::Lost(Fault::BlackHole) => world::reach(&place.region, false)?,
            // Lame ducks: unready, unwell, and still serving.
            Blow::Lost(Fault::Unavailable) => place.signal(libc::SIGTERM),
            Blow::Refusing => self.drain(region, true).await?,
            Blow::Drained => {
                self.drain(region, true).await?;
                let drained = self.topology.region(region);
                self.gdnsd.force_down(drained)?;
            }
            Blow::ZookeeperPaused => place.zookeeper.pause(),
            Blow::ZookeeperKilled => place.zookeeper.kill().await,
        }
        Ok(())
    }

    pub async fn mend(&mut self, region: &str) -> anyhow::Result<()> {
        let Some(blow) = self.place(region)?.blow.take() else { return Ok(()) };
        let launch = self.launch.clone();
        let place = self.place(region)?;
        match blow {
            Blow::Lost(Fault::Crash) => {
                place.nodes.iter_mut().try_for_each(|node| node.start(&launch))?;
                place.listen().await?;
            }
            Blow::Lost(Fault::Hang) => place.signal(libc::SIGCONT),
            Blow::Lost(Fault::BlackHole) => world::reach(&place.region, true)?,
            Blow::Lost(Fault::Unavailable) => {
                for node in &mut place.nodes {
                    node.kill().await;
                    node.start(&launch)?;
                }
            }
            Blow::Refusing => self.drain(region, false).await?,
            Blow::Drained => {
                self.drain(region, false).await?;
                self.gdnsd.force_down(None)?;
            }
            Blow::ZookeeperPaused => place.zookeeper.resume(),
            Blow::ZookeeperKilled => place.zookeeper.restart().await?,
        }
        Ok(())
    }

    /// Drains a region where its nodes meet, as `meridian drain` does, or ends its drain.
    async fn drain(&mut self, region: &str, drained: bool) -> anyhow::Result<()> {
        let topology = self.topology.clone();
        let place = self.place(region)?;
        let connect = place.zookeeper.address.to_string();
        let coordination = Coordination::Zookeeper(Ensemble::new(&connect)?);
        let set = async {
            let session: Session = coordination.open(&place.expected(&topology), SESSION).await?;
            let drain = Drain {
                v: znode::VERSION,
                by: "meridian drill".to_owned(),
                reason: "a drill".to_owned(),
                since: crate::clock::timestamp(),
            };
            let set = session.set_drain(drained.then_some(&drain)).await;
            session.close().await;
            set.map_err(|failure| anyhow!("{failure}"))
        };
        let done = tokio::time::timeout(DRAIN_WITHIN, set).await;
        done.with_context(|| format!("{region} could not be drained within {DRAIN_WITHIN:?}"))?
    }
}

impl Place {
    fn signal(&self, signal: libc::c_int) {
        for node in &self.nodes {
            node.signal(signal);
        }
    }
}
