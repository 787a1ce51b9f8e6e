//! What a target can say of the manifest and what it cannot, so that nobody learns it in an outage.

use super::header;
use crate::topology::Topology;
use serde::Serialize;
use std::fmt;

/// Everything of the manifest that a GeoDNS is asked to do. Every target says something about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    Nearest,
    OtherClients,
    Spill,
    Order,
    Residency,
    NobodyLeft,
    Addresses,
    Interval,
    Timeout,
    UnhealthyThreshold,
    HealthyThreshold,
    ProbeVerdict,
    FirstAnswers,
    Rejoin,
    Ttl,
    Endpoints,
}

impl Aspect {
    pub const ALL: [Aspect; 16] = [
        Aspect::Nearest,
        Aspect::OtherClients,
        Aspect::Spill,
        Aspect::Order,
        Aspect::Residency,
        Aspect::NobodyLeft,
        Aspect::Addresses,
        Aspect::Interval,
        Aspect::Timeout,
        Aspect::UnhealthyThreshold,
        Aspect::HealthyThreshold,
        Aspect::ProbeVerdict,
        Aspect::FirstAnswers,
        Aspect::Rejoin,
        Aspect::Ttl,
        Aspect::Endpoints,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Aspect::Nearest => "nearest region",
            Aspect::OtherClients => "other clients",
            Aspect::Spill => "spill set",
            Aspect::Order => "order",
            Aspect::Residency => "residency",
            Aspect::NobodyLeft => "nobody left",
            Aspect::Addresses => "addresses",
            Aspect::Interval => "interval_seconds",
            Aspect::Timeout => "timeout_seconds",
            Aspect::UnhealthyThreshold => "unhealthy_threshold",
            Aspect::HealthyThreshold => "healthy_threshold",
            Aspect::ProbeVerdict => "verdict of a probe",
            Aspect::FirstAnswers => "after a start",
            Aspect::Rejoin => "rejoin",
            Aspect::Ttl => "ttl",
            Aspect::Endpoints => "endpoints",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As the manifest says.
    Kept,
    /// Nearly: what differs is said.
    Changed,
    /// The target has no such thing.
    Lost,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Kept => "kept",
            Verdict::Changed => "changed",
            Verdict::Lost => "lost",
        })
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub aspect: Aspect,
    pub verdict: Verdict,
    /// What the manifest says.
    pub manifest: String,
    /// What the target does.
    pub target: String,
}

impl Finding {
    pub fn kept(aspect: Aspect, manifest: impl Into<String>, target: impl Into<String>) -> Finding {
        Finding { aspect, verdict: Verdict::Kept, manifest: manifest.into(), target: target.into() }
    }

    pub fn changed(aspect: Aspect, manifest: impl Into<String>, target: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Changed, ..Finding::kept(aspect, manifest, target) }
    }

    pub fn lost(aspect: Aspect, manifest: impl Into<String>, target: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Lost, ..Finding::kept(aspect, manifest, target) }
    }
}

/// In the order of the aspects; what is lost before what is kept.
pub fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.aspect, std::cmp::Reverse(finding.verdict)));
    findings
}

/// The report as a file.
pub fn document(target: &str, topology: &Topology, findings: &[Finding]) -> String {
    let mut text = String::from("<!--\n");
    text += &header(target, topology, "  ");
    text += &format!("-->\n# What {target} makes of the manifest\n\n");
    text += "| of the manifest | | it says | the target does |\n|---|---|---|---|\n";
    for Finding { aspect, verdict, manifest, target } in findings {
        let cell = |text: &str| text.replace('|', "\\|");
        text += &format!("| {} | {verdict} | {} | {} |\n", aspect.name(), cell(manifest), cell(target));
    }
    text
}
