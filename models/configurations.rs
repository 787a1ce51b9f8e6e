//! The worlds in which the protocol is explored to the end, and how many states each must have at the least.

use crate::scope::Scope;

pub struct Configuration {
    pub name: &'static str,
    pub scope: Scope,
    pub at_least: usize,
}

const fn world(name: &'static str, at_least: usize, scope: Scope) -> Configuration {
    Configuration { name, scope, at_least }
}

const FENCE: Scope = Scope { ceiling: 2, ..Scope::FENCE };
const COMBINED: Scope = Scope::COMBINED;
const SETTLING: Scope = Scope { settles: true, ..COMBINED };

pub const FENCES: &[Configuration] = &[
    world("fence: 4 writes, 1 fault", 1_400_000, Scope { versions: 4, faults: 1, ..FENCE }),
    world("fence: 4 writes, wider clocks", 350_000, Scope { versions: 4, faults: 0, ceiling: 3, ..FENCE }),
    world("fence: dead sessions still write", 1_600_000, Scope { dead_writes: true, faults: 1, ..FENCE }),
    world("fence: 3 nodes", 870_000, Scope { nodes: 3, faults: 0, wire: 2, lag: 2, ..FENCE }),
    world("fence: 2 slots", 860_000, Scope { slots: 2, faults: 0, versions: 2, lag: 2, ..FENCE }),
];

pub const COMBINATIONS: &[Configuration] = &[
    world("combined", 4_200_000, COMBINED),
    world("combined: extends", 430_000, Scope { faults: 0, extends: true, ..SETTLING }),
    world("combined: extends, re-attaches", 470_000, Scope { extends: true, releases: false, attempts: 0, ..SETTLING }),
    world(
        "combined: any clock",
        28_000,
        Scope { faults: 0, any_clock: true, extends: true, attempts: 0, ceiling: 2, ..SETTLING },
    ),
    world(
        "combined: surge begins and ends",
        240_000,
        Scope { releases: false, lost_answers: false, quota_changes: 2, ..SETTLING },
    ),
    world("combined: 3 nodes, lost answers", 1_600_000, Scope { nodes: 3, faults: 0, releases: false, ..SETTLING }),
    world(
        "combined: 3 nodes, new sessions",
        120_000,
        Scope { nodes: 3, releases: false, lost_answers: false, ..SETTLING },
    ),
    world("combined: 3 nodes, releases", 140_000, Scope { nodes: 3, faults: 0, lost_answers: false, ..SETTLING }),
    world("combined: static twins", 1_100_000, Scope { twins: true, ..SETTLING }),
    world(
        "combined: static twins and a dynamic node",
        370_000,
        Scope { twins: true, nodes: 3, faults: 0, lost_answers: false, ..SETTLING },
    ),
    world("combined: nodes hold back", 340_000, Scope { hold_backs: 1, faults: 0, ..SETTLING }),
    world("combined: registered twice", 1_400_000, Scope { copies: 1, lost_answers: false, ..SETTLING }),
];

// Too large for every push: `MERIDIAN_MODEL=long` runs these as well.

pub const LARGE_FENCES: &[Configuration] = &[
    world("large fence: 2 faults", 2_400_000, Scope { faults: 2, ..FENCE }),
    world("large fence: 1 fault, wider clocks", 2_100_000, Scope { faults: 1, ceiling: 3, lag: 2, ..FENCE }),
    world("large fence: 2 faults, wider clocks", 2_400_000, Scope { ceiling: 3, ..FENCE }),
];

pub const LARGE_COMBINATIONS: &[Configuration] = &[
    world("large combined: settling", 4_200_000, SETTLING),
    world("large combined: quota 2, surge", 100_000, Scope { quota: 2, quota_changes: 2, faults: 0, ..SETTLING }),
    world("large combined: extends, second claims", 470_000, Scope { extends: true, releases: false, ..SETTLING }),
];
