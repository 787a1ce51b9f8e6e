//! What Route 53 cannot express.

use super::tree::{MOST_WEIGHT, Policy, Tree, widened};
use crate::render::fidelity::{Aspect, Finding};
use crate::render::layout::Layout;
use crate::render::weights::whole;

pub fn findings(layout: &Layout<'_>, tree: &Tree, findings: &mut Vec<Finding>) {
    nearest(layout, tree.policy, findings);
    choices(layout, findings);
    probes(layout, tree, findings);
    findings.push(layout.pinned_ttl());
    findings.push(Finding::changed(
        Aspect::Endpoints,
        "one a region",
        "not in this tree: they are plain records without a choice; leaf-REGION answers the same addresses",
    ));
}

fn nearest(layout: &Layout<'_>, policy: Policy, findings: &mut Vec<Finding>) {
    let networks = layout.topology.regions.iter().flat_map(|region| &region.networks);
    let finding = match policy {
        Policy::Cidr => {
            for network in networks {
                if let Some(block) = widened(network) {
                    let why = format!("{block}, once: IP-based routing takes prefixes up to /24 and /48");
                    findings.push(Finding::changed(Aspect::Nearest, network.clone(), why));
                }
            }
            Finding::kept(
                Aspect::Nearest,
                "networks",
                "IP-based routing by a CIDR collection, also by EDNS Client Subnet",
            )
        }
        Policy::Geoproximity => Finding::lost(
            Aspect::Nearest,
            "networks",
            "geoproximity: by where Amazon believes a client to be; by distance, not as the networks say",
        ),
        Policy::Latency => Finding::lost(
            Aspect::Nearest,
            "networks",
            "latency: by Amazon's measurements to its regions, whatever networks the manifest lists",
        ),
    };
    findings.push(finding);
}

fn choices(layout: &Layout<'_>, findings: &mut Vec<Finding>) {
    let mut exact = true;
    for chain in &layout.chains {
        let weights: Vec<f64> = chain.spill.iter().map(|(_, weight)| *weight).collect();
        let (found, off) = whole(&weights, MOST_WEIGHT);
        if off > 0.0005 {
            exact = false;
            let asked: Vec<String> = chain.spill.iter().map(|(to, weight)| format!("{to} {weight}")).collect();
            let given: Vec<String> = found.iter().map(ToString::to_string).collect();
            findings.push(Finding::changed(
                Aspect::Spill,
                format!("{}: {}", chain.region, asked.join(", ")),
                format!("{}: whole numbers up to {MOST_WEIGHT}, off by {:.2} %", given.join(", "), off * 100.0),
            ));
        }
    }
    if exact {
        findings.push(Finding::kept(
            Aspect::Spill,
            "living members by weight",
            format!("weighted aliases; weights are whole numbers up to {MOST_WEIGHT}, and these fit"),
        ));
    }
    let complete = layout.chains.iter().all(|chain| chain.is_complete(layout.chains.len()));
    findings.extend([
        Finding::kept(Aspect::Order, "first living region", "failover pairs behind the spill set, one a step"),
        Finding::kept(
            Aspect::Residency,
            "load stays in its zone",
            match complete {
                true => "no list ends before all regions are down",
                false => "pairs that may end early are answered even when unhealthy (evaluate_target_health = false)",
            },
        ),
        Finding::changed(
            Aspect::NobodyLeft,
            "the load is shed",
            "fails open: when a group is all unhealthy it counts as all healthy, so the regions must refuse by themselves",
        ),
    ]);
    let several = layout.topology.regions.iter().any(|region| region.addresses.len() > layout.families.len());
    findings.push(match several {
        true => Finding::changed(
            Aspect::Addresses,
            "several of a region are all answered",
            "also those that are down while another of the region lives",
        ),
        false => Finding::kept(Aspect::Addresses, "all of a region are answered", "all of a region"),
    });
    if layout.families.len() > 1 {
        findings.push(Finding::kept(Aspect::Addresses, "A and AAAA", "a tree each, over the same checks"));
    }
}

fn probes(layout: &Layout<'_>, tree: &Tree, findings: &mut Vec<Finding>) {
    let health = &layout.topology.health;
    let asked = format!("{} s", health.interval.as_secs());
    let given = if health.interval.as_secs() <= 10 { "10 s" } else { "30 s" };
    let note = format!("{given}, from each of several places: an address sees a probe every second or two");
    findings.push(match asked == given {
        true => Finding::kept(Aspect::Interval, asked, note),
        false => Finding::changed(Aspect::Interval, asked, format!("{note}; it knows 10 and 30 s only")),
    });
    findings.push(Finding::lost(
        Aspect::Timeout,
        format!("{} s", health.timeout.as_secs()),
        "fixed: 4 s to connect, then 2 s to answer",
    ));
    let (down, up) = (health.unhealthy_threshold, health.healthy_threshold);
    findings.push(Finding::kept(Aspect::UnhealthyThreshold, format!("{down} in a row"), format!("{down} in a row")));
    findings.push(match down == up {
        true => Finding::kept(Aspect::HealthyThreshold, format!("{up} in a row"), "the same number"),
        false => Finding::lost(
            Aspect::HealthyThreshold,
            format!("{up} in a row"),
            format!("{down} in a row: one threshold serves both ways"),
        ),
    });
    let https = tree.health_checks.values().any(|check| check.r#type == "HTTPS");
    findings.push(Finding::changed(
        Aspect::ProbeVerdict,
        "status 200",
        match https {
            true => "any status from 200 to 399; HTTPS, the certificate is not verified",
            false => "any status from 200 to 399; plain HTTP",
        },
    ));
    findings.push(Finding::changed(
        Aspect::FirstAnswers,
        "probed at any time",
        "a new check counts as healthy until enough probes have said otherwise",
    ));
}
