//! A slot's way from one node to the next, while ids are drawn from both.

use crate::scene::Scene;
use crate::support::{Caller, Drawing, Numbers, assert_unique};
use meridian::id::SNOWFLAKE64;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A busy machine may be this much slower than what is promised.
const SLACK: Duration = Duration::from_millis(1_500);

#[test]
fn sigterm_hands_the_quota_over_at_once_and_the_slot_at_its_mark() {
    let scene = Scene::new(Numbers::default());
    let mut holder = scene.holder("holder");
    let standby = scene.standby("standby");
    let drawings = [Drawing::from(&holder), Drawing::from(&standby)];
    // Back to back, each under way for 244 ms: one of them is under way when the signal comes.
    let long = std::thread::spawn({
        let address = holder.http();
        move || {
            let (mut caller, mut answers) = (Caller::new(address), Vec::new());
            loop {
                match caller.get("/api/v1/ranges?count=1000000") {
                    Ok(reply) => answers.push((Instant::now(), reply)),
                    Err(_) => return answers,
                }
            }
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holder.ops("/metrics").text().contains("\nmeridian_requests_queued 1\n") {
        assert!(Instant::now() < deadline, "no long request was ever under way");
    }
    holder.stop();
    let stopped = Instant::now();
    let gap = drawings[1].issued_after(stopped);
    let status = holder.wait_exit();
    let left = stopped.elapsed();
    assert!(status.success(), "{status}");

    let long = long.join().unwrap();
    assert!(long.iter().all(|(_, reply)| reply.status == 200), "what was under way is answered");
    let (last_long, reply) = long.last().expect("long requests were answered");
    assert!(*last_long > stopped, "one was under way when the signal came");
    let last_range = reply.json()["ranges"].as_array().unwrap().last().unwrap().clone();
    let last_of_long =
        last_range["first"].as_str().unwrap().parse::<u64>().unwrap() + last_range["count"].as_u64().unwrap() - 1;

    let [holders, standbys] = drawings.map(Drawing::finish);
    let silence = gap - holders.last_answer().unwrap().max(*last_long);
    println!(
        "SIGTERM to the standby's first id {:?}; nobody issued for {silence:?}; exit after {left:?}",
        gap - stopped
    );
    assert!(silence < Duration::from_secs(1) + SLACK, "{silence:?}");
    let count = assert_unique(&[&holders, &standbys]);
    println!("{count} ids and {} million, none twice", long.len());

    assert!(holders.refused.iter().all(|refused| refused.code == "stopping"), "{:?}", holders.refused);
    assert!(holders.lost.iter().all(|(at, _)| *at > stopped), "{:?}", holders.lost);
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
