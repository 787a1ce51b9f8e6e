//! What `meridian render` writes, and what the tree of Route 53 would answer.

mod files;
mod route53;
#[path = "../support/mod.rs"]
mod support;
mod walk;
