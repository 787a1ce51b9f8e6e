//! More is asked of a node than it has.

use crate::page::{Findings, Promise};
use crate::region::{Region, leave};
use crate::support::block_until;
use crate::support::flood::{Flood, Flooded};
use std::time::Duration;

/// Ids a second that a worker of the format has.
const WORKER: f64 = 4_096_000.0;
const COUNT: u32 = 20_000;

fn pour(region: &mut Region, in_flight: usize, flood: Flood) -> Flooded {
    let manifest = std::fs::read_to_string(&region.scene.manifest).expect("the region's manifest");
    let narrow = region.scene.folder.path().join("narrow.yaml");
    let text = manifest.replace("in_flight: 1024", &format!("in_flight: {in_flight}"));
    std::fs::write(&narrow, text).expect("a manifest");
    // No hold: the node before it has left, which was no failure.
    let node = region.launch().manifest(&narrow).with(&["--region-hold-seconds", "0"]).start();
    node.wait_ready();
    block_until("the region to be seen", || (node.get("/api/v1/region/health").status == 200).then_some(()));
    let flooded = flood.pour(&node);
    leave(vec![node]);
    flooded
}

fn tell(findings: &mut Findings, [twice, thrice]: [Flooded; 2]) {
    let lost = (1.0 - thrice.goodput() / twice.goodput()) * 100.0;
    findings.add("goodput lost at 3x against 2x", Promise::Most(5.0), " %", lost);
    for (flooded, [served, shed]) in [
        (&twice, ["requests served at 2x", "requests shed at 2x"]),
        (&thrice, ["requests served at 3x", "requests shed at 3x"]),
    ] {
        findings.add(served, Promise::None, "", flooded.served as f64);
        findings.add(shed, Promise::None, "", flooded.shed as f64);
    }
    for flooded in [twice, thrice] {
        findings.zero("refusals that are not 429 or 503 `shed` with Retry-After", flooded.wrong.len());
        findings.zero("looks at /api/v1/health and /api/v1/region/health that were no 200", flooded.unwell.len());
        findings.add("looks at health", Promise::None, "", flooded.looks as f64);
    }
}

pub fn format(region: &mut Region, findings: &mut Findings) {
    let flood = |times: f64| Flood {
        connections: 400,
        rate: Some(times * WORKER / f64::from(COUNT)),
        count: COUNT,
        lasts: Duration::from_secs(10),
    };
    let floods = [2.0, 3.0].map(|times| pour(region, 1_024, flood(times)));
    let share = floods[1].goodput() / WORKER * 100.0;
    findings.add("goodput at 3x, of the format's 4,096,000 ids/s", Promise::None, " %", share);
    tell(findings, floods);
}

/// Few, as clients that ask again at once take the processors from the node.
const IN_FLIGHT: usize = 16;

pub fn in_flight(region: &mut Region, findings: &mut Findings) {
    let flood = |times: u32| Flood {
        connections: times * IN_FLIGHT as u32,
        rate: None,
        count: 40_000,
        lasts: Duration::from_secs(10),
    };
    let floods = [2, 3].map(|times| pour(region, IN_FLIGHT, flood(times)));
    let share = floods[1].goodput() / WORKER * 100.0;
    findings.add("goodput at 3x, of the format's 4,096,000 ids/s", Promise::None, " %", share);
    tell(findings, floods);
}
