//! The manifest as it is written: every key, its type and where it stands. Which values make sense together is
//! [`crate::topology`]'s business.

mod node;
mod problem;
mod shape;

pub use problem::{Place, Problem, Problems, nearest, quoted};
pub use shape::{At, Field, Named, Switchable};

use node::Value;
use sha2::{Digest, Sha256};
use shape::{Mapping, Shape, shapes};

shapes! {
    /// The whole file.
    Manifest {
        schema: String,
        fleet: String,
        epoch: String,
        layout: String,
        slots: Slots,
        dns: Dns,
        health: Health,
        lease: Lease,
        limits: Limits,
        regions: Named<Region>,
    }

    /// First and last slot of each pool.
    Slots {
        r#static: Vec<Field<i128>>,
        dynamic: Vec<Field<i128>>,
    }

    Dns {
        name: String,
        ttl_seconds: i128,
        floating_ttl: bool,
    }

    Health {
        interval_seconds: i128,
        timeout_seconds: i128,
        unhealthy_threshold: i128,
        healthy_threshold: i128,
        criteria: Criteria,
    }

    Criteria {
        response_time_ms: Switchable,
        clock_drift_ms: Switchable,
        ntp_synchronized: bool,
    }

    Lease {
        session_ms: i128,
        window_ms: i128,
        first_window_ms: i128,
        max_wait_ms: i128,
        max_borrow_ms: i128,
    }

    Limits {
        ids_per_request: i128,
        in_flight: i128,
        connections: i128,
        body_bytes: i128,
        header_bytes: i128,
        header_time_ms: i128,
        idle_seconds: i128,
    }

    Region {
        datacenter: i128,
        traffic: f64,
        workers: Workers,
        workers_per_node: i128 = 1,
        spill: Named<f64>,
        order: Vec<Field<String>>,
        residency: String,
        zookeeper: String,
        endpoint: String,
        addresses: Vec<Field<String>>,
        networks: Vec<Field<String>>,
        location: Location,
        cloud: Cloud,
    }

    Workers {
        quota: i128,
        r#static: i128,
        surge: i128,
    }

    Location {
        latitude: f64,
        longitude: f64,
    }

    Cloud {
        provider: String,
        region: String,
        zones: Vec<Field<String>>,
        cidr: String,
    }
}

/// SHA-256 in hex, equal to what `sha256sum FILE` prints.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a manifest as far as it can be read; whatever cannot is noted.
pub fn read(bytes: &[u8], problems: &mut Problems) -> Field<Manifest> {
    const PLAIN: &str = "one yaml document that is a mapping and begins with schema: meridian/v1";
    let at = |line, column| Place { line, column, key: String::new() };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let sound = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = 1 + sound.matches('\n').count() as u32;
            let column = 1 + sound.rsplit('\n').next().unwrap_or_default().chars().count() as u32;
            let what = format!("the byte 0x{:02x} is not utf-8", bytes[error.valid_up_to()]);
            problems.add(&at(line, column), what, "text in utf-8", "save the file as utf-8");
            return None;
        }
    };
    let node = match node::parse(text) {
        Ok(node) => node,
        Err(flaw) => {
            problems.add(&at(flaw.line, flaw.column), flaw.what, PLAIN, flaw.fix);
            return None;
        }
    };
    if let Value::Null = node.value {
        let fix = "start from regions/meridian.yaml of this project";
        problems.add(&at(1, 1), "the file is empty", PLAIN, fix);
        return None;
    }
    shape::read(node, String::new(), problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    fn problems(text: &str) -> String {
        let mut problems = Problems::in_file("m");
        read(text.as_bytes(), &mut problems);
        problems.to_string()
    }

    #[test]
    fn a_misspelt_key_is_not_also_missing() {
        let found = problems("schema: meridian/v1\nfleat: a\n");
        assert!(found.contains("m:2:1: fleat: \"fleat\" is not a known key"), "{found}");
        assert!(found.contains("did you mean fleet?"), "{found}");
        assert!(!found.contains("key fleet is missing"), "{found}");
        assert!(found.contains("the key regions is missing"), "{found}");
    }
}
