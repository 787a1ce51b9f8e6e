//! How large a world one run explores. Every bound stands here, and none of them is `within_boundary`: the checker drops
//! states outside that *before* it looks at properties, so a bound there can hide the very state that breaks one.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    pub nodes: u8,
    pub slots: u8,
    pub quota: u8,
    /// Registrations, quota and ranks; without them every node may claim any slot it finds.
    pub admission: bool,
    /// Nodes 0 and 1 are configured with the same static slot 0; the other slots are for the other nodes.
    pub twins: bool,
    /// Timestamps are 0..ceiling.
    pub ceiling: u8,
    /// A write may carry any ceiling that its guards allow (clocks that jump, differ, stand still), not only the next.
    pub any_clock: bool,
    /// How many transactions a read may be behind.
    pub lag: usize,
    /// Reads may go backwards even within one session.
    pub any_read: bool,
    /// A dead session's slot writes still count: the fence must not lean on the server refusing them.
    pub dead_writes: bool,
    pub lost_answers: bool,
    pub extends: bool,
    pub releases: bool,
    /// Writes per slot.
    pub versions: u8,
    /// Claims per node, beyond the first.
    pub attempts: u8,
    /// Sessions per node, beyond the first.
    pub sessions: u8,
    /// Crashes and new sessions, over all nodes.
    pub faults: u8,
    /// Requests on the wire at once.
    pub wire: usize,
    /// Changes of the quota (surge begins, surge ends).
    pub quota_changes: u8,
    /// Times that a node holds itself back (clock, drain, fenced) or stops doing so.
    pub hold_backs: u8,
    /// Registrations applied twice because an answer was lost.
    pub copies: u8,
    /// Look from every state whether a fair schedule without faults gets everybody where they belong.
    pub settles: bool,
}

impl Scope {
    /// The fence alone: any clock, any read, lost answers, pauses, late writes, sessions that end.
    pub const FENCE: Scope = Scope {
        nodes: 2,
        slots: 1,
        quota: u8::MAX,
        admission: false,
        twins: false,
        ceiling: 3,
        any_clock: true,
        lag: 3,
        any_read: true,
        dead_writes: false,
        lost_answers: true,
        extends: true,
        releases: true,
        versions: 3,
        attempts: 1,
        sessions: 1,
        faults: 2,
        wire: 9,
        quota_changes: 0,
        hold_backs: 0,
        copies: 0,
        settles: false,
    };

    /// Everything at once: who may claim, and what a claim grants.
    pub const COMBINED: Scope = Scope {
        nodes: 2,
        slots: 2,
        quota: 1,
        admission: true,
        ceiling: 3,
        any_clock: false,
        lag: 2,
        any_read: false,
        versions: 3,
        faults: 1,
        wire: 3,
        extends: false,
        ..Scope::FENCE
    };
}
