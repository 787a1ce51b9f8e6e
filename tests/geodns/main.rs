//! What `meridian render` writes.

mod files;
#[path = "../support/mod.rs"]
mod support;
