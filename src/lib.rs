//! Meridian: 64-bit, time-ordered ids that stay unique through any pause, partition, crash or clock jump.
//!
//! The modules stand in reading order, and imports point strictly up this list (`tests/architecture.rs` holds the
//! layers). `docs/ARCHITECTURE.md` has the picture.

/// What this build calls itself. One that carries the broken variants of the lease says so, so that nobody ships it.
pub const VERSION: &str =
    if cfg!(feature = "broken") { concat!(env!("CARGO_PKG_VERSION"), "+broken") } else { env!("CARGO_PKG_VERSION") };

// Layer 0: words and tools.
pub mod atomic;
pub mod cli;
pub mod fetch;
pub mod histogram;
pub mod id;
pub mod load;
pub mod manifest;
pub mod memory;
pub mod metrics;
pub mod outcomes;
pub mod shutdown;
pub mod telemetry;
// Layer 1: the count of ids given twice, the valid fleet, the only reader of clocks.
pub mod census;
pub mod clock;
pub mod topology;
// Layer 2: the right to issue; files generated from the manifest.
pub mod lease;
pub mod render;
// Layer 3: made from the lease.
pub mod generator;
pub mod health;
// Layer 4: the door to ids, of a node and of its clients; the other regions.
pub mod client;
pub mod desk;
pub mod issuer;
pub mod peers;
// Layer 5: the wire; what clients are answered.
pub mod drill;
pub mod geodns;
pub mod grpc;
pub mod http;
// Layer 6: the subcommands.
pub mod commands;
