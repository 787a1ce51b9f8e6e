//! What clients everywhere are answered, and what they should be: asks the authoritative servers in their place.

pub mod ask;
pub mod probe;
pub mod resolve;
pub mod survey;
