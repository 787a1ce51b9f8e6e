//! Why there is no id, and what to do about it.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or a URL makes no sense.
    #[error("{0}")]
    Settings(String),
    /// The manifest has no such region.
    #[error("no region {region:?}; the manifest has {known}")]
    UnknownRegion { region: String, known: String },
    /// Nobody gave ids in time. Trying again later is all a caller can do; an operator looks at the cause.
    #[error("no ids within {within:?}; try again later, or look at the regions: {cause}")]
    Unavailable { within: Duration, cause: String },
    /// All that live ask for fewer requests.
    #[error("every region that lives is at its limit; ask again after {retry_after:?}, or for fewer ids")]
    Shedding { retry_after: Duration },
    /// More ids than one call may ask for.
    #[error("{asked} ids in one call; ask for at most {most} at once")]
    TooMany { asked: u32, most: u32 },
    /// The tokio runtime on which the client was made has ended.
    #[error("the runtime of this client has ended; make a client on one that runs")]
    Closed,
}
