//! The truth about this node, as a verdict: can it issue an id now, and would it like traffic?

pub mod report;
pub mod verdict;
