//! The duplicate check's memory, measured on a process of its own: this test binary again, told to count.
//!
//! `MERIDIAN_CENSUS=1000000000 cargo test --release --test load memory -- --nocapture` counts that many scattered ids.

use meridian::census::{Bounds, Census};
use meridian::id::{IdRange, Millis, Origin, SNOWFLAKE64, Tick};
use std::process::Command;
use std::time::Instant;

const COUNTED: &str = "MERIDIAN_CENSUS_CHILD";

/// What the test reads from the child's output.
const RESULT: &str = "census:";

fn range(worker: u64, at: u64, sequence: u64, count: u32) -> IdRange {
    let origin = Origin { datacenter: (worker / 32) as u16, worker: (worker % 32) as u16 };
    IdRange { first: SNOWFLAKE64.id(origin, Tick(SNOWFLAKE64.tick(Millis(at)).0 | sequence)), count }
}

/// Runs the counting test below alone in a process of its own, and gives its peak memory in MB.
fn counted_in_a_child(what: &str) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "memory::count_if_told_to", "--nocapture"])
        .env(COUNTED, what)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.split_once(RESULT)).expect("a result").1;
    println!("{what}:{line}");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn count_if_told_to() {
    let Ok(what) = std::env::var(COUNTED) else { return };
    let (kind, ids) = what.split_once(' ').unwrap();
    let ids: u64 = ids.parse().unwrap();
    let mut census = Census::new(SNOWFLAKE64, Bounds::default(), std::env::temp_dir());
    let started = Instant::now();
    let expect = match kind {
        // Ranges of 1,000 of 32 workers with a hole behind each, and one of them again.
        "ranges" => {
            for number in 0..ids / 1_000 {
                census.add(range(number % 32, number / 32, 0, 1_000)).unwrap();
            }
            census.add(range(3, 77, 500, 1_000)).unwrap();
            500
        }
        // Single ids of 32 workers, none next to another: the worst that can come. One in a million comes again.
        _ => {
            for number in 0..ids {
                census.add(range(number % 32, number / 32, 0, 1)).unwrap();
                if number % 1_000_000 == 999_999 {
                    census.add(range(5, number / 64, 0, 1)).unwrap();
                }
            }
            ids / 1_000_000
        }
    };
    let holding = census.holding();
    let tally = census.finish().unwrap();
    assert_eq!(tally.duplicates, expect);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
    let peak: u64 = peak.trim().parse().unwrap();
    let (disk, seconds) = (holding.disk_bytes >> 20, started.elapsed().as_secs_f64());
    println!("{RESULT} {} MB at the peak, {disk} MB on disk, {} ids, {seconds:.1} s", peak >> 10, tally.ids);
}

#[test]
fn a_hundred_million_ids_as_ranges_take_little_memory() {
    assert!(counted_in_a_child("ranges 100000000") < 100);
}

#[test]
fn scattered_ids_stay_below_a_gigabyte() {
    let ids = std::env::var("MERIDIAN_CENSUS").unwrap_or_else(|_| "10000000".into());
    assert!(counted_in_a_child(&format!("single {ids}")) < 1_000);
}
