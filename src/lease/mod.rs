//! The right to issue: who may, for which timestamps, for how long. `docs/PROTOCOL.md` is the protocol and its proof.

pub mod coordination;
pub mod file;
pub mod tree;
pub mod znode;
pub mod zookeeper;
