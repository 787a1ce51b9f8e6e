//! What went wrong, as a status of gRPC. `meridian-code` is the same stable code that HTTP's problems have.

use crate::desk::Refused;
use crate::issuer;
use crate::load::Shed;
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// What a caller is told beside the status.
const CODE: &str = "meridian-code";
const RETRY_AFTER: &str = "retry-after-ms";

fn status(code: Code, name: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(CODE, MetadataValue::from_static(name));
    status
}

fn after(mut status: Status, after: Duration) -> Status {
    status.metadata_mut().insert(RETRY_AFTER, MetadataValue::from((after.as_millis() as u64).max(1)));
    status
}

pub fn shed(shed: Shed) -> Status {
    let message = "this node is at its limit; try again after retry-after-ms, or ask another node";
    after(status(Code::ResourceExhausted, "shed", message), shed.retry_after)
}

pub fn late() -> Status {
    status(
        Code::DeadlineExceeded,
        "late",
        "this takes longer than the deadline leaves; ask for fewer ids, or allow more",
    )
}

pub fn too_many(count: u64, limit: u32) -> Status {
    let message = format!("count is {count}; ask for 1 to {limit}, or for a stream");
    status(Code::InvalidArgument, "count_out_of_range", message)
}

pub fn compressed() -> Status {
    let mut status = Status::unimplemented("send messages uncompressed");
    status.metadata_mut().insert("grpc-accept-encoding", MetadataValue::from_static("identity"));
    status
}

/// `stopping`: the node is on its way out, and that is why there is no lease.
pub fn refused(refused: Refused, stopping: bool) -> Status {
    use issuer::Refused::{Ahead, Late, NoLease, Spent};
    let second = Duration::from_secs(1);
    match refused {
        Refused::Shed(why) => shed(why),
        Refused::Issuer(NoLease | Spent) if stopping => after(leaving(), second),
        Refused::Issuer(NoLease) => {
            let message = "this node holds no slot; ask another node";
            after(status(Code::Unavailable, "no_lease", message), second)
        }
        Refused::Issuer(Spent) => {
            let message = "this node's lease has run out; ask another node";
            after(status(Code::Unavailable, "lease_spent", message), second)
        }
        Refused::Issuer(Ahead(by)) => {
            let message = "this worker is ahead of the clock; try again after retry-after-ms, or ask for fewer ids";
            after(status(Code::ResourceExhausted, "ahead_of_clock", message), by)
        }
        Refused::Issuer(Late) => late(),
    }
}

/// The end of a stream of a node on its way out.
pub fn leaving() -> Status {
    status(Code::Unavailable, "stopping", "this node is on its way out; ask another node")
}
