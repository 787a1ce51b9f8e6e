//! Game days: a failure played through with real processes on this machine, watched from all sides, and judged.
//!
//! Pure are what will happen ([`script`], from a name and a seed), when a step has come to its end ([`goal`]), what was
//! promised and whether it held ([`verdict`]), and how that looks ([`picture`], [`report`]). The rest touches the world:
//! its namespaces ([`world`]), the processes in them ([`stage`]), who watches ([`watch`]), and the play of it all.

mod dice;
pub mod goal;
pub mod picture;
pub mod play;
pub mod record;
pub mod report;
pub mod script;
pub mod stage;
pub mod timing;
pub mod verdict;
pub mod watch;
pub mod world;

pub use crate::cli::{Drill, Fault, Profile};
