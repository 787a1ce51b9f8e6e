//! The lease, model-checked: the protocol explored to the end in small worlds, and every known way of getting it wrong
//! caught. `scope.rs` bounds the worlds, `world.rs` is ZooKeeper, `fence.rs` and `admission.rs` are the protocol,
//! `properties.rs` says what must hold.
//!
//! `cargo test --release -p meridian-models -- --nocapture` prints a row per run; with `MERIDIAN_MODEL=long` in the
//! environment the large worlds run as well, and every row is appended to `MERIDIAN_MODEL_TABLE` if that names a file.

#![cfg_attr(debug_assertions, allow(dead_code, unused_imports))]

mod admission;
mod configurations;
mod fence;
mod lease;
mod mutants;
mod peers;
mod properties;
mod scope;
mod settle;
mod state;
mod verdict;
mod world;

use configurations::{COMBINATIONS, Configuration, FENCES, LARGE_COMBINATIONS, LARGE_FENCES};
use verdict::{caught, holds, long};

// Unoptimised, the checker takes far too long to get to the end of these, so a debug build does not have them.
#[cfg(not(debug_assertions))]
#[test]
fn the_fence_holds() {
    all_hold(FENCES, LARGE_FENCES);
}

#[cfg(not(debug_assertions))]
#[test]
fn the_lease_with_admission_holds() {
    all_hold(COMBINATIONS, LARGE_COMBINATIONS);
}

#[test]
fn every_mutant_is_caught() {
    for case in mutants::CASES {
        caught(case);
    }
}

fn all_hold(always: &[Configuration], when_long: &[Configuration]) {
    let when_long = if long() { when_long } else { &[] };
    for configuration in always.iter().chain(when_long) {
        holds(configuration);
    }
}
