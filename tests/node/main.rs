//! The real binary against real ZooKeeper, through everything that happens to nodes: claims, hand-overs, pauses, kills,
//! outages, lost answers, changed quotas, rolls, full disks and wrong clocks. Ids are drawn throughout, and compared at the end.
//!
//! Each test starts its own ensemble and its own nodes. What is measured is printed (`--nocapture`).

#[path = "../support/mod.rs"]
mod support;

use support::scene;

mod answers;
mod claims;
mod clocks;
mod disk;
mod outages;
mod overload;
mod peers;
mod quota;
mod region;
mod roll;
mod several;
mod takeover;
mod twins;
