//! A slot's way from one node to the next, while ids are drawn from both.

use crate::scene::Scene;
use crate::support::{Caller, Drawing, Numbers, Reply, assert_unique, block_until};
use meridian::id::SNOWFLAKE64;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A busy machine may be this much slower than what is promised.
const SLACK: Duration = Duration::from_millis(1_500);

fn last_id(reply: &Reply) -> u64 {
    let range = reply.json()["ranges"].as_array().unwrap().last().unwrap().clone();
    range["first"].as_str().unwrap().parse::<u64>().unwrap() + range["count"].as_u64().unwrap() - 1
}

#[test]
fn sigterm_hands_the_quota_over_at_once_and_the_slot_at_its_mark() {
    let scene = Scene::new(Numbers::default());
    let mut holder = scene.holder("holder");
    let standby = scene.standby("standby");
    let drawings = [Drawing::from(&holder), Drawing::from(&standby)];
    // Two at a time, back to back: when one ends the other still has its 244 ms to go, so that one is under way whenever
    // the signal comes.
    let answered = Arc::new(AtomicUsize::new(0));
    let long = [(); 2].map(|()| {
        let (address, answered) = (holder.http(), answered.clone());
        std::thread::spawn(move || {
            let (mut caller, mut answers) = (Caller::new(address), Vec::new());
            while let Ok(reply) = caller.get("/api/v1/ranges?count=1000000") {
                answers.push((Instant::now(), reply));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            answers
        })
    });
    drawings[0].issued_after(Instant::now());
    block_until("both to have asked twice", || (answered.load(Ordering::Relaxed) >= 3).then_some(()));
    holder.stop();
    let stopped = Instant::now();
    let gap = drawings[1].issued_after(stopped);
    let status = holder.wait_exit();
    let left = stopped.elapsed();
    assert!(status.success(), "{status}");

    let long: Vec<_> = long.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(long.iter().all(|(_, reply)| reply.status == 200), "what was under way is answered");
    let last_long = long.iter().map(|(at, _)| *at).max().expect("long requests were answered");
    assert!(last_long > stopped, "one was under way when the signal came");
    let last_of_long = long.iter().map(|(_, reply)| last_id(reply)).max().unwrap();

    let [holders, standbys] = drawings.map(Drawing::finish);
    let silence = gap - holders.last_answer().unwrap().max(last_long);
    println!(
        "SIGTERM to the standby's first id {:?}; nobody issued for {silence:?}; exit after {left:?}",
        gap - stopped
    );
    assert!(silence < Duration::from_secs(1) + SLACK, "{silence:?}");
    let count = assert_unique(&[&holders, &standbys]);
    println!("{count} ids and {} million, none twice", long.len());

    assert!(holders.refused.iter().all(|refused| refused.code == "stopping"), "{:?}", holders.refused);
    // A request and the signal may cross on the wire; nothing that was asked before it is lost.
    let crossing = stopped - Duration::from_millis(20);
    let lost: Vec<_> = holders.lost.iter().filter(|(asked, _)| *asked < crossing).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(standbys.refused.iter().all(|refused| refused.code == "no_lease"), "{:?}", standbys.refused);

    // All that the holder gave out was received, so the mark is the millisecond after the last of it.
    let slot = holders.slots()[0];
    let tree = scene.tree();
    let (record, _) = tree.slot(slot);
    let last = SNOWFLAKE64.decode(last_of_long).unwrap().timestamp.max(holders.highest_ms(slot).unwrap());
    assert_eq!((&record["holder"], record["ceiling_ms"].as_u64()), (&Value::Null, Some(last.0 + 1)));
    assert!(tree.owner(slot).is_none());
    assert_eq!(tree.children("/workers").len(), 1, "it left the line");
}

#[test]
fn a_holder_paused_past_its_session_gives_its_slot_back() {
    let numbers = Numbers::brief();
    let scene = Scene::new(numbers);
    let holder = scene.holder("holder");
    let standby = scene.standby("standby");
    let drawings = [Drawing::from(&holder), Drawing::from(&holder), Drawing::from(&standby), Drawing::from(&standby)];
    drawings[0].issued_after(Instant::now());
    holder.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    let took = drawings[2].issued_after(stopped) - stopped;
    holder.signal(libc::SIGCONT);
    let woken = Instant::now();
    holder.wait_unready("standby");
    let back = woken.elapsed();
    drawings[2].issued_after(Instant::now());
    let drawn = drawings.map(Drawing::finish);
    let count = assert_unique(&drawn.each_ref());
    let late = drawn[0].answers.iter().filter(|(at, _)| *at > woken).count();
    println!(
        "pause to take-over {took:?}; back in the line {back:?} after waking, {late} late answers; {count} ids, none twice"
    );
    let codes = ["no_lease", "lease_spent"];
    assert!(drawn[0].refused.iter().all(|refused| codes.contains(&refused.code.as_str())), "{:?}", drawn[0].refused);
    assert!(drawn[0].lost.is_empty(), "{:?}", drawn[0].lost);
    let tree = scene.tree();
    assert_eq!(tree.owned().len(), 1);
    assert_eq!(tree.slot(drawn[0].slots()[0]).0["holder"], Value::Null, "given back");
    assert_eq!(holder.events("giving_back"), 1);
}
