//! The atomic words ids are counted in. The loom tests compile the files that count against a module of this name that
//! holds loom's words instead, so these are the very lines that are checked.

pub use std::sync::atomic::{AtomicU64, Ordering};
