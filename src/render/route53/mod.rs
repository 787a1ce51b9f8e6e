//! Route 53: a tree of records as data, for the Terraform stack to create. The stack adds no choice of its own.

mod report;
pub mod tree;

pub use tree::{Policy, Tree};

use super::layout::Layout;
use super::{MARK, Rendering, fidelity};
use crate::topology::Topology;

/// What the Terraform stack reads.
pub const FILE: &str = "route53.json";

pub fn route53(topology: &Topology, policy: Policy, probe_port: u16) -> Result<Rendering, String> {
    let layout = Layout::of(topology)?;
    let tree = tree::build(&layout, policy, probe_port);
    let mut findings = Vec::new();
    layout.common_findings(&mut findings);
    report::findings(&layout, &tree, &mut findings);
    let document = tree::Document {
        generated: format!(
            "{MARK} route53` for the fleet {}, from the manifest with the sha256 below. Do not edit: change the \
             manifest and render again.",
            topology.fleet
        ),
        manifest_sha256: &topology.digest,
        tree: &tree,
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())? + "\n";
    Ok(Rendering::new("route53", topology, vec![(FILE.to_owned(), text)], fidelity::sorted(findings)))
}
