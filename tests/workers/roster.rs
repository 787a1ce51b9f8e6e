//! Who there is: which worker is in which carrier, and what it asks for.

use meridian::id::SNOWFLAKE64;

/// Processes that carry the workers. The last of them is the one that is killed.
pub const HOLDERS: usize = 3;
pub const KILLED: usize = HOLDERS - 1;
/// The process that carries those who wait.
pub const STANDBYS: usize = HOLDERS;

/// One slot of each datacenter is static, so that this class is there as well.
pub const STATIC_SLOT: u16 = 0;

/// A killed carrier holds at most this many dynamic slots of a datacenter.
const WAITING: u16 = 11;

/// One worker, by what it is given at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    pub datacenter: u16,
    /// Asks for the static slot. Otherwise for any of the dynamic ones.
    pub is_static: bool,
}

/// The workers of one carrier. Datacenters are dealt out evenly, as racks are to zones; each has a standby for every
/// dynamic slot that one carrier may take with it, and a twin that waits for its static slot.
pub fn roles(carrier: usize, datacenters: u16) -> Vec<Role> {
    let slots = SNOWFLAKE64.workers();
    let all = (0..datacenters).flat_map(|datacenter| {
        let each = if carrier == STANDBYS { 0..WAITING + 1 } else { 0..slots };
        each.map(move |number| (usize::from(datacenter * slots + number), datacenter, number))
    });
    all.filter(|(index, ..)| carrier == STANDBYS || index % HOLDERS == carrier)
        .map(|(_, datacenter, number)| Role { datacenter, is_static: number == STATIC_SLOT })
        .collect()
}

/// All slots there are.
pub fn slots(datacenters: u16) -> usize {
    usize::from(datacenters) * usize::from(SNOWFLAKE64.workers())
}
