//! The atomic word ids are counted in. The loom tests compile the generator's files against a module of this name that
//! holds loom's words instead, so these are the very lines that are checked.

pub use std::sync::atomic::{AtomicU64, Ordering};
