//! The schemes that others use instead of a fence, each given what it hopes for: every clock is perfect and shared, and
//! ids of one node never collide. What is left is that a holder may be paused and its session may end.

use stateright::{Checker, HasDiscoveries, Model, Property};

const UNIQUE: &str = "one slot never issues twice at one time";
const NOON: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has the ephemeral node issues (Twitter Snowflake, sequential-node worker ids).
    Ephemeral,
    /// The same, and an oracle says just before every id whether the session still lives.
    EphemeralWithOracle,
    /// The last timestamp is reported afterwards, and a successor begins above it (Meituan Leaf).
    ReportAfterwards,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    holds: bool,
    asked: bool,
    issued_until: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    now: u8,
    owner: Option<usize>,
    reported: u8,
    nodes: [Node; 2],
    /// Who issued at `now`.
    issuers: [bool; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Tick,
    Claim(usize),
    /// The owner's session ends at the server; the owner is not told.
    Expire,
    Ask(usize),
    Issue(usize),
    Report(usize),
}

impl Model for Scheme {
    type State = Slot;
    type Action = Step;

    fn init_states(&self) -> Vec<Slot> {
        vec![Slot { now: 1, ..Slot::default() }]
    }

    fn actions(&self, slot: &Slot, out: &mut Vec<Step>) {
        if slot.now < NOON {
            out.push(Step::Tick);
        }
        if slot.owner.is_some() {
            out.push(Step::Expire);
        }
        for (id, node) in slot.nodes.iter().enumerate() {
            match (self, node.holds) {
                (_, false) if slot.owner.is_none() => out.push(Step::Claim(id)),
                (_, false) => {}
                (Scheme::EphemeralWithOracle, true) if node.asked => out.push(Step::Issue(id)),
                (Scheme::EphemeralWithOracle, true) if slot.owner == Some(id) => out.push(Step::Ask(id)),
                (Scheme::EphemeralWithOracle, true) => {}
                (Scheme::Ephemeral, true) => out.push(Step::Issue(id)),
                (Scheme::ReportAfterwards, true) => out.extend([Step::Issue(id), Step::Report(id)]),
            }
        }
    }

    fn next_state(&self, last: &Slot, step: Step) -> Option<Slot> {
        let mut slot = last.clone();
        match step {
            Step::Tick => {
                slot.now += 1;
                slot.issuers = [false; 2];
            }
            Step::Claim(id) => {
                slot.owner = Some(id);
                slot.nodes[id].holds = true;
                slot.nodes[id].issued_until = slot.reported;
            }
            Step::Expire => slot.owner = None,
            Step::Ask(id) => slot.nodes[id].asked = true,
            Step::Issue(id) => {
                // A successor waits until its clock has passed what was reported; the node's own sequence does the rest.
                if slot.now <= slot.nodes[id].issued_until && !slot.issuers[id] {
                    return None;
                }
                slot.nodes[id].asked = false;
                slot.nodes[id].issued_until = slot.now;
                slot.issuers[id] = true;
            }
            Step::Report(id) => slot.reported = slot.reported.max(slot.nodes[id].issued_until),
        }
        Some(slot)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::<Self>::always(UNIQUE, |_, slot| slot.issuers != [true, true])]
    }
}

#[test]
fn schemes_without_a_fence_duplicate_even_with_perfect_clocks() {
    for scheme in [Scheme::Ephemeral, Scheme::EphemeralWithOracle, Scheme::ReportAfterwards] {
        let start = std::time::Instant::now();
        let checker = scheme.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        let path = checker.discovery(UNIQUE).unwrap_or_else(|| panic!("{scheme:?} does not duplicate"));
        let (unique, generated, depth) = (checker.unique_state_count(), checker.state_count(), checker.max_depth());
        let (took, steps) = (start.elapsed().as_secs_f64(), path.into_actions().len());
        println!(
            "| {scheme:?} | {unique} | {generated} | {depth} | {took:.1} | breaks \"{UNIQUE}\" in {steps} steps |"
        );
    }
}
