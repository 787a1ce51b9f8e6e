//! Whether a region lives, as an engine that probes it sees it: the status of its own verdict.

use crate::fetch::fetch;
use crate::render::REGION_HEALTH_PATH;
use crate::topology::Topology;
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// The regions none of whose addresses answers 200, asked all at once. In the manifest's order.
pub async fn down(topology: &Topology, port: u16) -> Vec<String> {
    let mut asked = JoinSet::new();
    for (number, region) in topology.regions.iter().enumerate() {
        for address in &region.addresses {
            let url = format!("http://{}{REGION_HEALTH_PATH}", SocketAddr::new(*address, port));
            let within = topology.health.timeout;
            asked.spawn(async move { (number, fetch(&url, within).await.is_ok_and(|(status, _)| status == 200)) });
        }
    }
    let mut lives = vec![false; topology.regions.len()];
    while let Some(answered) = asked.join_next().await {
        if let Ok((number, well)) = answered {
            lives[number] |= well;
        }
    }
    let dead = topology.regions.iter().zip(lives).filter(|(_, lives)| !lives);
    dead.map(|(region, _)| region.name.clone()).collect()
}
