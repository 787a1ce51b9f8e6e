//! Real nodes of one to four regions that are killed, stopped and cut off under a load that never pauses: nothing fails,
//! and no id comes twice.

use super::{datacenter, direct, draw, prefetching};
use crate::support::failover::{Fault, Fleet, NAMES, fail};
use meridian::client::Settings;

async fn check(fault: Fault) {
    check_with(fault, prefetching()).await;
    check_with(fault, direct()).await;
}

async fn check_with(fault: Fault, settings: Settings) {
    let noticed = fail(fault, settings).await;
    println!("{noticed:?}");
    assert!(noticed.failures.is_empty(), "{noticed:?}");
    assert_eq!((noticed.duplicates, noticed.counters.failed), (0, 0), "{noticed:?}");
    assert!(noticed.counters.retries >= 1 && noticed.counters.ejections >= 1, "{noticed:?}");
    assert_eq!(noticed.counters.failovers >= 1, fault != Fault::NodeOfTwo, "to another region, if any: {noticed:?}");
}

/// What users have: the default settings, the deadline of 2 s as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_when_one_of_two_nodes_is_killed() {
    check_with(Fault::NodeOfTwo, Settings::default()).await;
    check_with(Fault::RegionOfTwo, Settings::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_in_a_crash() {
    check(Fault::Crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_in_a_hang() {
    check(Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_in_a_black_hole() {
    check(Fault::BlackHole).await;
}

#[tokio::test]
async fn a_node_that_stops_in_order_costs_nothing() {
    let mut fleet = Fleet::start();
    let client = fleet.client(NAMES.len(), direct());
    assert!(draw(&client, 50).await.into_iter().all(|id| datacenter(id) == 0));
    let first = fleet.nodes.remove(0);
    first.signal(libc::SIGTERM);
    let (client, ended) = tokio::join!(
        async {
            while datacenter(draw(&client, 1).await[0]) == 0 {}
            client
        },
        tokio::task::spawn_blocking(|| first.wait()),
    );
    assert_eq!(ended.unwrap().code(), Some(0), "it does not wait for idle connections");
    draw(&client, 50).await;
    assert_eq!(client.counters().failed, 0);
}
