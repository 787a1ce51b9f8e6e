//! What a client promises whatever the servers do: order, age, bounds, cancellation, a clean end.

use super::fake::{Act, Fake};
use super::{direct, draw, prefetching};
use crate::support::{block_until, wait_for};
use meridian::client::{Client, Error, IDS_PER_CALL, Prefetch, Regions, Settings};
use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn client(fake: &Fake, settings: Settings) -> Client {
    Client::with(Regions::at([fake.url()]).unwrap(), settings).unwrap()
}

#[tokio::test]
async fn thousands_of_ids_are_few_requests() {
    let fake = Fake::start(1, |_| Act::Give);
    let client = client(&fake, prefetching());
    let ids = draw(&client, 50_000).await;
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "one worker's ids ascend");
    assert!(fake.requests() < 50, "{}", fake.requests());
    assert_eq!(client.counters().ids, 50_000);
}

#[tokio::test]
async fn many_at_once_come_complete() {
    let fake = Fake::start(1, |_| Act::Give);
    let client = client(&fake, prefetching());
    assert_eq!(client.ids(0).await.unwrap().len(), 0);
    for count in [1, 5_000, 300_001] {
        let ids = client.ids(count).await.unwrap();
        assert_eq!(ids.len(), count as usize);
        let all: Vec<u64> = ids.iter().collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }
    let error = client.ids(IDS_PER_CALL + 1).await.unwrap_err();
    assert!(matches!(error, Error::TooMany { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_give_up_cost_nobody_an_id_twice() {
    let fake = Fake::start(1, |number| if number % 3 == 0 { Act::Late(Duration::from_millis(5)) } else { Act::Give });
    let client = client(&fake, direct());
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut got = Vec::new();
                for number in 0..100 {
                    let within = Duration::from_micros(if (task + number) % 2 == 0 { 500 } else { 20_000_000 });
                    if let Ok(id) = tokio::time::timeout(within, client.next_id()).await {
                        got.push(id.unwrap());
                    }
                    if let Ok(ids) = tokio::time::timeout(within, client.ids(20)).await {
                        got.extend(ids.unwrap().iter());
                    }
                }
                got
            })
        })
        .collect();
    let mut seen = HashSet::new();
    for task in tasks {
        let got = task.await.unwrap();
        assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "each caller sees the worker ascend");
        assert!(got.into_iter().all(|id| seen.insert(id)), "an id came twice");
    }
    assert!(seen.len() >= 8 * 50 * 21);
}

#[tokio::test]
async fn what_is_held_too_long_is_dropped_and_an_idle_client_asks_nobody() {
    let fake = Fake::start(1, |_| Act::Give);
    let prefetch = Prefetch { max_age: Duration::from_secs(1), ..Prefetch::default() };
    let client = client(&fake, Settings { prefetch, ..prefetching() });
    draw(&client, 1).await;
    let dropped = wait_for("the rest to be dropped", async || {
        let counters = client.counters();
        (counters.dropped > 0).then_some(counters)
    })
    .await;
    assert_eq!((dropped.ids, dropped.held), (1, 0), "and nothing is drawn for nobody");
    let before = fake.requests();
    assert_eq!(client.try_next_id(), None);
    draw(&client, 1).await;
    assert!(fake.requests() > before);
}

/// The client's task cannot drop what is old there, so that whoever takes an id has to see it.
#[test]
fn nothing_too_old_is_given_while_nobody_drives_the_runtime() {
    let fake = Fake::start(1, |_| Act::Give);
    let prefetch = Prefetch { min: 10_000, max_age: Duration::from_secs(1), ..Prefetch::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let client = client(&fake, Settings { prefetch, ..prefetching() });
        draw(&client, 1).await;
        client
    });
    block_until("what is held to be too old", || client.try_next_id().is_none().then_some(()));
    let counters = client.counters();
    assert!(counters.held == 0 && counters.dropped > 0, "not because it was used up: {counters:?}");
}

#[tokio::test]
async fn a_client_that_is_dropped_leaves_no_connection() {
    let fake = Fake::start(1, |_| Act::Give);
    let one = client(&fake, prefetching());
    let other = one.clone();
    draw(&one, 200).await;
    assert!(fake.open.load(SeqCst) > 0);
    drop(one);
    draw(&other, 200).await;
    drop(other);
    wait_for("all connections to end", async || (fake.open.load(SeqCst) == 0).then_some(())).await;
}

#[test]
fn a_client_outlives_its_runtime_without_hanging() {
    let fake = Fake::start(1, |_| Act::Hang);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let client = first.block_on(async { client(&fake, prefetching()) });
    drop(first);
    assert_eq!(runtime().block_on(client.next_id()), Err(Error::Closed));
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let fake = Fake::start(1, |_| Act::Give);
    let client = client(&fake, Settings { idle_timeout: Duration::from_millis(100), ..direct() });
    draw(&client, 3).await;
    wait_for("the idle connection to end", async || (fake.open.load(SeqCst) == 0).then_some(())).await;
    draw(&client, 3).await;
    assert_eq!(client.counters().failed, 0);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_told() {
    for settings in [
        Settings { connections: 0, ..Settings::default() },
        Settings { connections: 51, ..Settings::default() },
        Settings { deadline: Duration::ZERO, ..Settings::default() },
        Settings { prefetch: Prefetch { min: 0, ..Prefetch::default() }, ..Settings::default() },
    ] {
        let error = Client::with(Regions::at(["http://127.0.0.1:1"]).unwrap(), settings).unwrap_err();
        assert!(matches!(&error, Error::Settings(why) if why.contains(':')), "{error}");
    }
    assert!(matches!(Client::new(Regions::new()), Err(Error::Settings(_))));
}
