//! The census against a plain map of every id: exact whatever comes, in whatever order, in memory or on disk.

use super::{Bounds, Census, Tally};
use crate::id::{IdRange, Layout, Millis, Origin, SNOWFLAKE64};
use proptest::prelude::*;
use std::collections::HashMap;

fn range(worker: u16, at: u64, sequence: u64, count: u32) -> IdRange {
    let origin = Origin { datacenter: worker / 32, worker: worker % 32 };
    let tick = crate::id::Tick(SNOWFLAKE64.tick(Millis(at)).0 | sequence);
    IdRange { first: SNOWFLAKE64.id(origin, tick), count }
}

fn census(layout: Layout, bounds: Bounds) -> Census {
    Census::new(layout, bounds, std::env::temp_dir())
}

/// Small enough that every path is taken within a few ids: packing, merging, spilling, merging files.
fn tight() -> Bounds {
    Bounds { pending: 4, packed_bytes: 24, fan_in: 2 }
}

fn count(ranges: &[IdRange], bounds: Bounds) -> Tally {
    let mut census = census(SNOWFLAKE64, bounds);
    for range in ranges {
        census.add(*range).unwrap();
    }
    census.finish().unwrap()
}

fn naive(ranges: &[IdRange]) -> HashMap<u64, u64> {
    let mut seen = HashMap::new();
    for id in ranges.iter().flat_map(|range| range.ids()) {
        *seen.entry(id).or_insert(0) += 1;
    }
    seen
}

fn check(ranges: &[IdRange], bounds: Bounds) {
    let seen = naive(ranges);
    let tally = count(ranges, bounds);
    assert_eq!(tally.ids, seen.values().sum::<u64>());
    assert_eq!(tally.duplicates, seen.values().map(|times| times - 1).sum::<u64>());
    let repeated = seen.values().filter(|times| **times > 1).count();
    assert!(tally.examples.iter().all(|id| seen[id] > 1), "an example that is none");
    assert_eq!(tally.examples.is_empty(), repeated == 0);
}

#[test]
fn nothing_was_drawn() {
    assert_eq!(count(&[], Bounds::default()), Tally::default());
}

#[test]
fn an_id_given_k_times_counts_k_minus_one() {
    let once = range(33, 1_000, 7, 1);
    let tally = count(&[once; 5], Bounds::default());
    assert_eq!(tally, Tally { ids: 5, duplicates: 4, examples: vec![once.first] });
}

#[test]
fn neighbours_are_no_duplicates() {
    // The last id of a millisecond and the first of the next; the last worker's and the first one's.
    let ranges = [range(0, 5, 4_095, 1), range(0, 6, 0, 4_096), range(1, 5, 0, 1), range(1_023, 5, 4_095, 1)];
    assert_eq!(count(&ranges, Bounds::default()).duplicates, 0);
    let overlapping = [range(0, 5, 0, 100), range(0, 5, 99, 100)];
    assert_eq!(count(&overlapping, Bounds::default()).duplicates, 1);
}

#[test]
fn the_ends_of_the_layout_count_too() {
    let last = SNOWFLAKE64.last_timestamp().0;
    let ranges =
        [range(1_023, last, 4_095, 1), range(0, 0, 0, 1), range(1_023, last, 4_000, 96), range(0, 0, 0, 4_096)];
    assert_eq!(count(&ranges, tight()).duplicates, 2);
}

#[test]
fn steady_draws_cost_nothing() {
    let mut census = census(SNOWFLAKE64, Bounds::default());
    let empty = census.holding();
    for at in 0..50_000 {
        for worker in 0..8 {
            census.add(range(worker, at, 0, 4_096)).unwrap();
        }
    }
    assert_eq!(census.holding(), empty, "ids of a worker in a row are one span");
    assert_eq!(census.by_worker().count(), 8);
    assert_eq!(census.by_worker().map(|(_, ids)| ids).sum::<u64>(), census.ids());
    let tally = census.finish().unwrap();
    assert_eq!((tally.ids, tally.duplicates), (50_000 * 8 * 4_096, 0));
}

#[test]
fn scattered_ids_take_a_few_bytes_each() {
    let ids: u64 = 3_000_000;
    let mut census = census(SNOWFLAKE64, Bounds { pending: 1 << 14, ..Bounds::default() });
    for number in 0..ids {
        // One id a millisecond from each of 16 workers, every pair of neighbours the wrong way round.
        let number = number ^ 16;
        census.add(range((number % 16) as u16, number / 16, 0, 1)).unwrap();
    }
    let holding = census.holding();
    assert!(holding.memory_bytes as u64 <= 4 * ids + (1 << 20), "{holding:?}");
    assert_eq!(holding.disk_bytes, 0);
    assert_eq!(census.finish().unwrap().duplicates, 0);
}

#[test]
fn more_than_the_memory_goes_to_disk() {
    let mut census = census(SNOWFLAKE64, Bounds { pending: 1 << 10, packed_bytes: 1 << 14, fan_in: 4 });
    let mut spilled = 0;
    for number in 0..200_000u64 {
        let scattered = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        census.add(range((scattered % 40) as u16, scattered / 40 % (1 << 30), 0, 1)).unwrap();
        spilled = spilled.max(census.holding().disk_bytes);
        assert!(census.holding().memory_bytes < 1 << 17);
    }
    assert!(spilled > 1 << 18, "{spilled}");
    let once = census.finish().unwrap();
    assert_eq!(once.ids, 200_000);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_with_its_name() {
    let folder = std::env::temp_dir().join("meridian-census-nowhere");
    let mut census = Census::new(SNOWFLAKE64, tight(), folder.clone());
    let failed = (0..1_000).find_map(|at| census.add(range(0, at, 0, 1)).err()).expect("it cannot write there");
    assert!(failed.to_string().contains(folder.to_str().unwrap()), "{failed}");
}

fn ranges() -> impl Strategy<Value = Vec<IdRange>> {
    // Few workers and milliseconds, so that ranges meet, overlap and repeat all the time.
    let one = (0u16..4, 0u64..6, 0u64..60, 1u32..30)
        .prop_map(|(worker, at, sequence, count)| range(worker * 11, 1_000 + at, sequence, count));
    let full = (0u16..3, 0u64..4).prop_map(|(worker, at)| range(worker * 500, 1_000 + at, 0, 4_096));
    let far = (0u16..1_024, 0u64..1 << 41, 0u64..4_000, 1u32..90).prop_map(|(w, at, s, c)| range(w, at, s, c));
    prop::collection::vec(prop_oneof![8 => one, 1 => full, 2 => far], 0..120)
}

/// As a worker gives them, seen through several connections: in order up to a small shuffle, with a few repeats.
fn drawn() -> impl Strategy<Value = Vec<IdRange>> {
    (
        prop::collection::vec((0u16..3, 1u32..20, 0usize..6), 1..200),
        prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    )
        .prop_map(|(draws, repeats)| {
            let mut next = [0u64; 3];
            let mut arrived: Vec<(usize, IdRange)> = Vec::new();
            for (at, (worker, count, late)) in draws.into_iter().enumerate() {
                let tick = &mut next[usize::from(worker)];
                arrived.push((at + late, range(worker, *tick >> 12, *tick & 4_095, count)));
                *tick += u64::from(count);
            }
            arrived.sort_by_key(|(at, _)| *at);
            let mut ranges: Vec<IdRange> = arrived.into_iter().map(|(_, range)| range).collect();
            for repeat in repeats {
                let again = ranges[repeat.index(ranges.len())];
                ranges.push(again);
            }
            ranges
        })
}

proptest! {
    #[test]
    fn as_a_map_of_every_id_would_count(ranges in ranges(), pending in 1usize..40, packed_bytes in 0usize..200, fan_in in 2usize..5) {
        check(&ranges, Bounds { pending, packed_bytes, fan_in });
        check(&ranges, Bounds::default());
    }

    #[test]
    fn nearly_ordered_draws_too(ranges in drawn()) {
        check(&ranges, tight());
        check(&ranges, Bounds::default());
    }

    #[test]
    fn looking_in_between_changes_nothing(ranges in ranges(), every in 1usize..10) {
        let mut census = census(SNOWFLAKE64, tight());
        let mut found = 0;
        for (at, range) in ranges.iter().enumerate() {
            census.add(*range).unwrap();
            if at % every == 0 {
                let now = census.found();
                assert!(now >= found, "what was found stays found");
                found = now;
            }
        }
        let tally = census.finish().unwrap();
        prop_assert!(tally.duplicates >= found);
        prop_assert_eq!(tally.duplicates, naive(&ranges).values().map(|times| times - 1).sum::<u64>());
    }
}
