//! What a drill does, act by act, from its name and a seed. Pure: the same seed writes the same script.
//!
//! Chance decides at which moment between two probes things happen, and what is left open; everything else follows from
//! the name. Where a step waits for something, the next comes when that is seen, so that a slow machine plays the same.

use super::dice::Dice;
use super::timing::Limits;
use super::{Drill, Fault};
use std::fmt;
use std::time::Duration;

/// What is drawn up.
#[derive(Clone, Debug)]
pub struct Order {
    pub drill: Drill,
    pub seed: u64,
    pub runs: u32,
    /// For `region-loss`.
    pub faults: Vec<Fault>,
    /// Whom it happens to.
    pub region: String,
    /// All others, in the manifest's order.
    pub others: Vec<String>,
    pub limits: Limits,
}

/// What happens to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    Lost(Fault),
    /// By `meridian drain`, the authoritative server's own switch included.
    Drained,
    /// Drained without the switch: for whoever probes, it fails.
    Refusing,
    /// ZooKeeper stands still: connections stay, nobody answers.
    ZookeeperPaused,
    ZookeeperKilled,
}

/// What a step waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The authoritative server answers no lost region any more.
    Switched,
    /// Clients behind the cache are served again, by others.
    ClientsServed,
    /// Nobody goes to the lost region by DNS any more.
    Empty,
    /// Those who carry the lost region have more workers than their own quota, and these issue.
    Surged,
    /// The authoritative server answers everybody their own region.
    Home,
    /// Clients behind the cache are served by their own region.
    ClientsHome,
    /// Nobody carries anybody any more.
    Settled,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Pause(Duration),
    /// Until the stage has stood for so long; no time at all in later runs.
    Age(Duration),
    Break {
        region: String,
        blow: Blow,
    },
    Mend {
        region: String,
    },
    Await(Goal),
    /// Ask the authoritative server some thousand times where the clients go.
    Sample,
}

/// What is promised of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scene {
    Loss,
    Drain,
    /// ZooKeeper is away for less than the leases last.
    ZookeeperBrief,
    /// And for longer.
    ZookeeperLong,
    Two,
    Flap,
    Rejoin,
}

/// One failure and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    pub title: String,
    pub scene: Scene,
    /// The fault of a loss: what an authoritative server sees of it depends on this.
    pub fault: Option<Fault>,
    /// Who is lost.
    pub down: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub drill: Drill,
    pub seed: u64,
    pub acts: Vec<Act>,
}

impl Script {
    pub fn write(order: &Order) -> Script {
        let mut dice = Dice::new(order.seed);
        let mut acts = Vec::new();
        for _ in 0..order.runs {
            match order.drill {
                Drill::RegionLoss => acts.extend(order.faults.iter().map(|fault| loss(order, *fault, &mut dice))),
                Drill::PlannedDrain => acts.push(drain(order, &mut dice)),
                Drill::ZookeeperLoss => acts.extend(zookeeper(order, &mut dice)),
                Drill::TwoRegions => acts.extend(two(order, &mut dice)),
                Drill::Flap => acts.push(flap(order, &mut dice)),
                Drill::Rejoin => acts.push(rejoin(order, &mut dice)),
            }
        }
        Script { drill: order.drill, seed: order.seed, acts }
    }
}

/// Any moment between two probes.
fn phase(order: &Order, dice: &mut Dice) -> Step {
    Step::Pause(Duration::from_millis(500) + dice.between(Duration::ZERO, order.limits.interval))
}

/// How long things stay broken after everything was seen.
fn while_broken(dice: &mut Dice) -> Step {
    Step::Pause(dice.between(Duration::from_millis(500), Duration::from_millis(1_500)))
}

fn lose(region: &str, fault: Fault) -> Step {
    Step::Break { region: region.to_owned(), blow: Blow::Lost(fault) }
}

fn mend(region: &str) -> Step {
    Step::Mend { region: region.to_owned() }
}

fn loss(order: &Order, fault: Fault, dice: &mut Dice) -> Act {
    let region = &order.region;
    Act {
        title: format!("{region}: {}", fault.name()),
        scene: Scene::Loss,
        fault: Some(fault),
        down: vec![region.clone()],
        steps: vec![
            Step::Await(Goal::Settled),
            phase(order, dice),
            lose(region, fault),
            Step::Await(Goal::Switched),
            Step::Await(Goal::Surged),
            Step::Sample,
            Step::Await(Goal::ClientsServed),
            while_broken(dice),
            mend(region),
            Step::Await(Goal::Home),
            Step::Await(Goal::ClientsHome),
        ],
    }
}

fn drain(order: &Order, dice: &mut Dice) -> Act {
    let region = &order.region;
    Act {
        title: format!("{region}: drain"),
        scene: Scene::Drain,
        fault: None,
        down: vec![region.clone()],
        steps: vec![
            Step::Await(Goal::Settled),
            phase(order, dice),
            Step::Break { region: region.clone(), blow: Blow::Drained },
            Step::Await(Goal::Switched),
            Step::Sample,
            Step::Await(Goal::Empty),
            while_broken(dice),
            mend(region),
            Step::Await(Goal::Home),
            Step::Await(Goal::ClientsHome),
        ],
    }
}

fn zookeeper(order: &Order, dice: &mut Dice) -> [Act; 2] {
    let region = &order.region;
    let mut blow = || *dice.pick(&[Blow::ZookeeperPaused, Blow::ZookeeperKilled]).unwrap_or(&Blow::ZookeeperKilled);
    let (first, second) = (blow(), blow());
    let least = order.limits.ride_out.0;
    let brief = Act {
        title: format!("{region}: {first}, briefly"),
        scene: Scene::ZookeeperBrief,
        fault: None,
        down: vec![region.clone()],
        steps: vec![
            Step::Await(Goal::Settled),
            phase(order, dice),
            Step::Break { region: region.clone(), blow: first },
            Step::Pause(dice.between(least * 3 / 5, least * 4 / 5)),
            mend(region),
            // Lost sessions are replaced, ceilings raised again, and probes had time to see otherwise.
            Step::Pause(order.limits.switch + Duration::from_secs(1)),
            Step::Await(Goal::Home),
            Step::Await(Goal::ClientsHome),
        ],
    };
    let long = Act {
        title: format!("{region}: {second}"),
        scene: Scene::ZookeeperLong,
        fault: None,
        down: vec![region.clone()],
        steps: vec![
            Step::Await(Goal::Settled),
            // The tree of a new region lends each slot a window (`init` sets the ceilings there), and a node that issues from
            // borrowed time has a ceiling of its own up to two windows ahead: it rides out longer than is promised.
            Step::Age(order.limits.ride_out.1),
            phase(order, dice),
            Step::Break { region: region.clone(), blow: second },
            Step::Await(Goal::Switched),
            Step::Await(Goal::ClientsServed),
            while_broken(dice),
            mend(region),
            Step::Await(Goal::Home),
            Step::Await(Goal::ClientsHome),
        ],
    };
    [brief, long]
}

fn two(order: &Order, dice: &mut Dice) -> Option<Act> {
    let region = &order.region;
    let other = dice.pick(&order.others)?;
    Some(Act {
        title: format!("{region} and {other}: crash"),
        scene: Scene::Two,
        fault: Some(Fault::Crash),
        down: vec![region.clone(), other.clone()],
        steps: vec![
            Step::Await(Goal::Settled),
            phase(order, dice),
            lose(region, Fault::Crash),
            lose(other, Fault::Crash),
            Step::Await(Goal::Switched),
            Step::Await(Goal::Surged),
            Step::Sample,
            Step::Await(Goal::ClientsServed),
            while_broken(dice),
            mend(region),
            mend(other),
            Step::Await(Goal::Home),
            Step::Await(Goal::ClientsHome),
        ],
    })
}

/// Three holds and a bit of coming and going.
fn flap(order: &Order, dice: &mut Dice) -> Act {
    let region = &order.region;
    let mut steps = vec![Step::Await(Goal::Settled), phase(order, dice)];
    let mut spent = Duration::ZERO;
    while spent < order.limits.hold * 16 / 5 {
        let out = dice.between(Duration::from_millis(1_500), Duration::from_millis(4_000));
        let back = dice.between(Duration::from_millis(1_500), Duration::from_millis(5_000));
        spent += out + back;
        steps.push(Step::Break { region: region.clone(), blow: Blow::Refusing });
        steps.push(Step::Pause(out));
        steps.push(mend(region));
        steps.push(Step::Pause(back));
    }
    steps.push(Step::Await(Goal::Home));
    steps.push(Step::Await(Goal::ClientsHome));
    let title = format!("{region}: refuses and serves by turns");
    Act { title, scene: Scene::Flap, fault: None, down: vec![region.clone()], steps }
}

fn rejoin(order: &Order, dice: &mut Dice) -> Act {
    let act = loss(order, Fault::Crash, dice);
    Act { title: format!("{}: crash and rejoin", order.region), scene: Scene::Rejoin, ..act }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blow::Lost(fault) => fault.name(),
            Blow::Drained => "drain",
            Blow::Refusing => "refuses traffic",
            Blow::ZookeeperPaused => "ZooKeeper stands still",
            Blow::ZookeeperKilled => "ZooKeeper killed",
        })
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Goal::Switched => "the authoritative server answers others",
            Goal::ClientsServed => "clients behind the cache are served by others",
            Goal::Empty => "no client comes by DNS",
            Goal::Surged => "the neighbours' standbys issue",
            Goal::Home => "the authoritative server answers everybody their own region",
            Goal::ClientsHome => "clients behind the cache are back in their own region",
            Goal::Settled => "no region holds another for lost or surges",
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Pause(pause) => write!(f, "pause {:.3} s", pause.as_secs_f64()),
            Step::Age(age) => write!(f, "wait until the stage has stood for {:.0} s", age.as_secs_f64()),
            Step::Break { region, blow } => write!(f, "{region}: {blow}"),
            Step::Mend { region } => write!(f, "{region}: whole again"),
            Step::Await(goal) => write!(f, "wait until {goal}"),
            Step::Sample => write!(f, "sample where clients are sent"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} --seed {}", self.drill.name(), self.seed)?;
        for (number, act) in self.acts.iter().enumerate() {
            writeln!(f, "\nact {}, {}", number + 1, act.title)?;
            for step in &act.steps {
                writeln!(f, "  {step}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{Profile, timing};
    use crate::topology::Topology;

    fn order(drill: Drill, seed: u64, runs: u32) -> Order {
        let topology = Topology::parse("shipped", include_bytes!("../../regions/meridian.yaml")).unwrap();
        let limits = Limits::of(&topology, timing::hold(Profile::Fast));
        let mut names = topology.regions.iter().map(|region| region.name.clone());
        let region = names.next().unwrap();
        Order { drill, seed, runs, faults: Fault::ALL.to_vec(), region, others: names.collect(), limits }
    }

    #[test]
    fn the_seed_writes_the_script() {
        for drill in Drill::ALL {
            let one = Script::write(&order(drill, 18, 2));
            assert_eq!(one, Script::write(&order(drill, 18, 2)), "{drill:?}");
            assert_ne!(one, Script::write(&order(drill, 19, 2)), "{drill:?}");
            assert_ne!(one.acts[0], one.acts[one.acts.len() / 2], "each run has dice of its own");
        }
    }

    #[test]
    fn all_that_breaks_is_mended_and_waited_for() {
        for drill in Drill::ALL {
            for seed in 0..50 {
                for act in Script::write(&order(drill, seed, 1)).acts {
                    let mut broken = Vec::new();
                    for step in &act.steps {
                        match step {
                            Step::Break { region, .. } => broken.push(region.clone()),
                            Step::Mend { region } => broken.retain(|one| one != region),
                            Step::Pause(pause) => assert!(*pause < Duration::from_secs(40), "{pause:?}"),
                            Step::Age(_) | Step::Await(_) | Step::Sample => {}
                        }
                        assert!(broken.iter().all(|region| act.down.contains(region)), "{act:?}");
                    }
                    assert!(broken.is_empty(), "{act:?}");
                    assert_eq!(act.steps.last(), Some(&Step::Await(Goal::ClientsHome)), "{act:?}");
                }
            }
        }
    }

    #[test]
    fn two_regions_are_any_other_and_the_chosen_one() {
        let pairs: std::collections::BTreeSet<_> =
            (0..40).map(|seed| Script::write(&order(Drill::TwoRegions, seed, 1)).acts[0].down.clone()).collect();
        assert_eq!(pairs.len(), 3, "{pairs:?}");
        assert!(pairs.iter().all(|pair| pair[0] == "us-east" && pair[1] != "us-east"));
    }

    #[test]
    fn no_lease_is_tried_to_its_end_while_a_new_tree_lends() {
        for seed in 0..50 {
            let [_, long] = &Script::write(&order(Drill::ZookeeperLoss, seed, 1)).acts[..] else { panic!("two acts") };
            let at = |kind: fn(&Step) -> bool| long.steps.iter().position(kind);
            let aged = at(|step| *step == Step::Age(Duration::from_secs(30)));
            assert!(aged.is_some() && aged < at(|step| matches!(step, Step::Break { .. })), "{long:?}");
        }
    }

    #[test]
    fn a_script_is_printed_as_it_will_be_played() {
        let text = Script::write(&order(Drill::RegionLoss, 1, 1)).to_string();
        assert!(text.starts_with("region-loss --seed 1\n\nact 1, us-east: crash\n  wait until no region"), "{text}");
        assert!(
            text.contains("\n  us-east: black-hole\n  wait until the authoritative server answers others\n"),
            "{text}"
        );
        assert!(text.ends_with("  wait until clients behind the cache are back in their own region\n"), "{text}");
    }
}
