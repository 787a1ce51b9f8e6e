//! The right to issue: who may, for which timestamps, for how long. `docs/PROTOCOL.md` is the protocol and its proof.

pub mod coordination;
pub mod file;
pub mod grant;
pub mod high_water;
pub mod keeper;
pub mod line;
pub mod state;
pub mod survey;
pub mod tree;
pub mod znode;
pub mod zookeeper;
