//! What is played on each stage, drawn from the seed: nothing here looks at the world, so a seed is a schedule.

use crate::controllers::Gate;
use crate::dice::Dice;
use std::fmt;

/// Of a region, in the shipped manifest.
const DYNAMIC_SLOTS: usize = 16;

/// What a release is rendered from: the values and the numbers of the manifest that rollouts change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `workers` of the region: static ones, the quota, the surge quota.
    pub fixed: usize,
    pub quota: usize,
    pub surge: usize,
    pub burst: usize,
    pub autoscaler: &'static str,
    pub standbys: usize,
    pub lame_duck: usize,
    pub milli_cpu: usize,
    pub filter: &'static str,
    /// Of the pods: changes nothing but the template.
    pub annotation: usize,
    /// The shipped manifest and `ci/production.yaml` instead of all this.
    pub production: bool,
}

impl Shape {
    pub fn dynamic(&self) -> usize {
        self.quota - self.fixed
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Install(Shape),
    /// To a release of this shape, and what is new in it. With a blow: a node is killed in the middle of it.
    Upgrade {
        to: Shape,
        what: &'static str,
        blow: bool,
    },
    /// To the release before.
    Rollback(Shape),
    /// Burst nodes, as an autoscaler sets them.
    Scale(usize),
    /// From none to all there may be, and to none again.
    Wave(usize),
    /// SIGKILL to a node's process; its pod stays.
    Kill(Whose),
    /// A pod is deleted by force while its machine is out of reach: its replacement starts beside it.
    Replace {
        whose: Whose,
        stopped: bool,
    },
    /// A machine is drained: its pods are evicted, as the disruption budgets allow.
    Evict(usize),
    Uninstall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Core,
    Other,
}

impl Action {
    /// For the table.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Install(_) => "install",
            Action::Upgrade { blow: true, .. } => "upgrade, a node killed amid",
            Action::Upgrade { what: "quota" | "static workers", .. } => "upgrade to another quota",
            Action::Upgrade { .. } => "upgrade",
            Action::Rollback(_) => "rollback",
            Action::Scale(_) => "scale",
            Action::Wave(_) => "scale 0→16→0",
            Action::Kill(_) => "kill -9",
            Action::Replace { stopped: false, .. } => "replaced while the old one runs",
            Action::Replace { stopped: true, .. } => "replaced while the old one is stopped",
            Action::Evict(_) => "machine drained",
            Action::Uninstall => "uninstall",
        }
    }

    /// Nothing is killed or stopped: somebody is always there to serve.
    pub fn is_orderly(&self) -> bool {
        !matches!(self, Action::Kill(_) | Action::Replace { .. } | Action::Upgrade { blow: true, .. })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Install(shape) => write!(f, "install {}", words(shape)),
            Action::Upgrade { to, what, .. } => write!(f, "{} ({what}) {}", self.kind(), words(to)),
            Action::Rollback(shape) => write!(f, "rollback {}", words(shape)),
            Action::Scale(to) => write!(f, "scale to {to}"),
            Action::Kill(whose) => write!(f, "kill -9 {whose:?}"),
            Action::Replace { whose, .. } => write!(f, "{whose:?} {}", self.kind()),
            Action::Evict(pods) => write!(f, "machine drained of {pods}"),
            Action::Wave(_) | Action::Uninstall => f.write_str(self.kind()),
        }
    }
}

fn words(shape: &Shape) -> String {
    let Shape { fixed, quota, burst, autoscaler, standbys, lame_duck, .. } = shape;
    format!("[static {fixed} of {quota}, burst {burst} {autoscaler}, standby {standbys}, lame duck {lame_duck} s]")
}

/// What one stage plays, and what its cluster is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub stage: usize,
    pub seed: u64,
    pub gate: Gate,
    /// Kubernetes 1.35 and later: the machine's zone is a label of the pod.
    pub zone: bool,
    /// First static slot of the pools, and so the first ordinal.
    pub first_slot: usize,
    pub actions: Vec<Action>,
}

/// All stages, with this many rollouts in sum: the first one in production's numbers, the second with all the slots.
pub fn schedule(seed: u64, stages: usize, rollouts: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut left = rollouts;
    for stage in 0..stages {
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003) ^ (stage as u64) << 32);
        let share = left.div_ceil(stages - stage);
        // Those with the numbers of production take their time.
        let count = match stage {
            0 if stages > 1 => share.div_ceil(4).min(share),
            1 => share.div_ceil(2).min(share),
            _ => share,
        };
        left -= count;
        let gate = if dice.percent(50) { Gate::On } else { Gate::Off };
        let (zone, first_slot) = (dice.percent(50), dice.index(3));
        let first_slot = if stage == 0 { 0 } else { first_slot };
        let actions = actions(&mut dice, stage, stages, count.max(1));
        plans.push(Plan { stage, seed: seed ^ (stage as u64) << 40, gate, zone, first_slot, actions });
    }
    plans
}

fn actions(dice: &mut Dice, stage: usize, stages: usize, count: usize) -> Vec<Action> {
    let first = match stage {
        0 if stages > 1 => production(),
        1 => wide(),
        _ => small(dice),
    };
    let mut shapes = vec![first.clone()];
    let mut actions = vec![Action::Install(first)];
    while actions.len() < count {
        let shape = shapes.last().expect("the installed one").clone();
        let wave = stage == 1 && actions.len() == 1;
        let action = match dice.below(100) {
            _ if wave => Action::Wave(shape.dynamic()),
            0..30 => upgrade(dice, &shape, actions.len()),
            30..42 if shapes.len() > 1 => Action::Rollback(shapes[shapes.len() - 2].clone()),
            42..58 if shape.autoscaler != "none" && !shape.production => {
                let least = usize::from(shape.autoscaler == "hpa");
                Action::Scale(least + dice.index(shape.dynamic().clamp(1, 4) + 1 - least))
            }
            58..72 => Action::Kill(whose(dice)),
            72..80 => Action::Replace { whose: whose(dice), stopped: false },
            80..88 => Action::Replace { whose: whose(dice), stopped: true },
            88.. => Action::Evict(1 + dice.index(2)),
            _ => continue,
        };
        match &action {
            Action::Upgrade { to, .. } => shapes.push(to.clone()),
            Action::Rollback(_) => _ = shapes.pop(),
            _ => {}
        }
        actions.push(action);
    }
    actions.push(Action::Uninstall);
    actions
}

fn whose(dice: &mut Dice) -> Whose {
    if dice.percent(60) { Whose::Core } else { Whose::Other }
}

fn upgrade(dice: &mut Dice, from: &Shape, number: usize) -> Action {
    let mut to = from.clone();
    let what = match dice.below(if from.production { 40 } else { 100 }) {
        0..20 => {
            to.annotation = number;
            "annotation"
        }
        20..30 => {
            to.filter = if from.filter == "info" { "info,meridian=debug" } else { "info" };
            "log filter"
        }
        30..40 => {
            to.milli_cpu = if from.milli_cpu == 2_000 { 1_500 } else { 2_000 };
            "resources"
        }
        40..50 => {
            to.lame_duck = if from.lame_duck == 5 { 6 } else { 5 };
            "lame duck"
        }
        50..60 => {
            to.standbys = (3 - from.standbys).min((from.surge - from.quota).max(1));
            "standbys"
        }
        60..75 => {
            // With as many static workers and as many standbys allowed as before.
            to.fixed = if from.fixed == 2 { 3 } else { 2 };
            to.quota = from.dynamic() + to.fixed;
            to.surge = most_slots(&to);
            "static workers"
        }
        _ => {
            let dynamic = if from.dynamic() > 2 { 1 + dice.index(2) } else { from.dynamic() + 1 };
            to.quota = to.fixed + dynamic;
            to.surge = most_slots(&to);
            to.burst = to.burst.min(dynamic);
            "quota"
        }
    };
    to.standbys = to.standbys.min((to.surge - to.quota).max(1));
    // A number of pods is no new template: nothing would be replaced, and there is no middle of it.
    let blow = dice.percent(25) && !from.production && what != "standbys";
    Action::Upgrade { to, what, blow }
}

/// Room for two standbys, if the dynamic slots suffice.
fn most_slots(shape: &Shape) -> usize {
    (shape.quota + 2).min(shape.fixed + DYNAMIC_SLOTS)
}

fn small(dice: &mut Dice) -> Shape {
    let autoscaler = ["hpa", "keda", "none"][dice.index(3)];
    let dynamic = 1 + dice.index(3);
    let fixed = 2 + dice.index(2);
    Shape {
        fixed,
        quota: fixed + dynamic,
        surge: fixed + dynamic + 2,
        burst: 1 + dice.index(dynamic),
        autoscaler,
        standbys: 1 + dice.index(2),
        lame_duck: 5,
        milli_cpu: 2_000,
        filter: "info",
        annotation: 0,
        production: false,
    }
}

/// All dynamic slots of a region, from no burst node on.
fn wide() -> Shape {
    let (fixed, dynamic) = (2, DYNAMIC_SLOTS);
    let (quota, surge) = (fixed + dynamic, fixed + dynamic);
    Shape {
        fixed,
        quota,
        surge,
        burst: 0,
        autoscaler: "keda",
        standbys: 1,
        lame_duck: 5,
        milli_cpu: 2_000,
        filter: "info",
        annotation: 0,
        production: false,
    }
}

/// `us-west` of the shipped manifest.
fn production() -> Shape {
    Shape {
        fixed: 4,
        quota: 8,
        surge: 16,
        burst: 1,
        autoscaler: "hpa",
        standbys: 2,
        lame_duck: 15,
        milli_cpu: 2_000,
        filter: "info",
        annotation: 0,
        production: true,
    }
}
