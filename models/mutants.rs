//! Everything that is known to be wrong, one change each. A mutant that breaks nothing fails the test: then either the
//! model has gone blind or a rule of the protocol is idle.

use crate::properties::{FOREIGN, IN_LINE, QUOTA, RAISED, SETTLES, UNIQUE};
use crate::scope::Scope;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    // The fence.
    /// Writes carry no version.
    Unconditional,
    /// Silence after an extend counts as Ok.
    LostAnswerIsSuccess,
    /// After a refusal the version is read again, and the holder beside it is not.
    VersionWithoutHolder,
    /// A restarted process takes the record of its predecessor for its own.
    HolderByHostName,
    /// A process uses one guid for all its claims.
    OneGuidPerProcess,
    FloorAndVersionFromTwoReads,
    /// Issues while the release is in flight.
    UnsealedRelease,
    /// An extend that is answered after the seal raises the ceiling all the same.
    CeilingAfterSeal,
    MarkRoundedDown,
    /// An idle borrower extends to now + window, below its ceiling.
    LoweringExtend,
    LoweringReattach,
    /// Not a mutant of ours: the servers lose a slot.
    WipedSlot,

    // Admission.
    ClaimWithoutBump,
    ClaimWithoutCheck,
    OwnersBeforeAdmission,
    LookOnTwoSessions,
    QuotaAndVersionFromTwoReads,
    QuotaWithoutBump,
    ReattachWithoutCheck,
    ReattachWithoutBump,
    ReattachWithoutCount,
    /// The new owner names the old registration, so that the new one waits in the line for ever.
    ReattachNamesOldRegistration,
    /// One's guid with a newer version is taken for a proof that this session has the owner.
    InferredAttachment,
    CleanupWithoutCheck,
    NoCleanup,
    ReleaseAlwaysDeletes,
    ReleaseNeverDeletes,
    NoRank,
    /// A node that may not claim stays eligible.
    HeldBackInLine,
    SurplusRegistrationKept,
}

pub struct Case {
    pub mutant: Mutant,
    pub breaks: &'static str,
    pub scope: Scope,
}

const fn case(mutant: Mutant, breaks: &'static str, scope: Scope) -> Case {
    Case { mutant, breaks, scope }
}

const FENCE: Scope = Scope::FENCE;
const QUOTA_ONE: Scope = Scope { releases: false, ..Scope::COMBINED };
const SETTLING: Scope = Scope { settles: true, ..Scope::COMBINED };

pub const CASES: &[Case] = &[
    case(Mutant::Unconditional, UNIQUE, FENCE),
    case(Mutant::LostAnswerIsSuccess, UNIQUE, FENCE),
    case(Mutant::VersionWithoutHolder, UNIQUE, FENCE),
    case(Mutant::HolderByHostName, UNIQUE, FENCE),
    case(Mutant::OneGuidPerProcess, UNIQUE, FENCE),
    case(Mutant::FloorAndVersionFromTwoReads, UNIQUE, FENCE),
    case(Mutant::UnsealedRelease, UNIQUE, FENCE),
    case(Mutant::CeilingAfterSeal, UNIQUE, Scope { versions: 4, faults: 0, ..FENCE }),
    case(Mutant::MarkRoundedDown, UNIQUE, FENCE),
    case(Mutant::LoweringExtend, UNIQUE, FENCE),
    case(Mutant::LoweringExtend, RAISED, FENCE),
    case(Mutant::LoweringReattach, UNIQUE, QUOTA_ONE),
    case(Mutant::WipedSlot, UNIQUE, FENCE),
    case(Mutant::ClaimWithoutBump, QUOTA, QUOTA_ONE),
    case(Mutant::ClaimWithoutCheck, QUOTA, QUOTA_ONE),
    case(Mutant::OwnersBeforeAdmission, QUOTA, QUOTA_ONE),
    case(Mutant::LookOnTwoSessions, QUOTA, QUOTA_ONE),
    case(Mutant::QuotaAndVersionFromTwoReads, QUOTA, Scope { quota: 2, quota_changes: 1, ..QUOTA_ONE }),
    case(Mutant::QuotaWithoutBump, QUOTA, Scope { quota: 2, quota_changes: 1, ..QUOTA_ONE }),
    case(Mutant::ReattachWithoutCheck, QUOTA, QUOTA_ONE),
    case(Mutant::ReattachWithoutBump, QUOTA, QUOTA_ONE),
    case(Mutant::ReattachWithoutCount, QUOTA, QUOTA_ONE),
    case(Mutant::ReattachNamesOldRegistration, SETTLES, Scope { quota: 2, ..SETTLING }),
    case(Mutant::InferredAttachment, SETTLES, Scope { extends: true, releases: false, ..SETTLING }),
    case(Mutant::CleanupWithoutCheck, FOREIGN, Scope::COMBINED),
    case(Mutant::NoCleanup, SETTLES, SETTLING),
    case(Mutant::ReleaseAlwaysDeletes, SETTLES, SETTLING),
    case(Mutant::ReleaseNeverDeletes, SETTLES, SETTLING),
    case(Mutant::NoRank, IN_LINE, QUOTA_ONE),
    case(Mutant::HeldBackInLine, SETTLES, Scope { hold_backs: 1, faults: 0, ..SETTLING }),
    case(Mutant::SurplusRegistrationKept, SETTLES, Scope { copies: 1, quota: 2, releases: false, ..SETTLING }),
];
