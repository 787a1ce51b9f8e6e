//! What `meridian render` writes, given to the real engines: their own checkers take it, and what they answer is what
//! the manifest's rule says, for every client network and every failure of up to two regions.
//!
//! The DNS servers are real; a region is a stub that answers its health check as the test wants.

mod engines;
mod failures;
mod families;
mod files;
mod regions;
mod route53;
#[path = "../support/mod.rs"]
mod support;
mod survey;
mod walk;
