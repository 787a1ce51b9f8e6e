//! Two processes that were given the same static slot.

use crate::scene::Scene;
use crate::support::{Drawing, Node, Numbers, assert_unique};
use std::time::Instant;

fn twins(scene: &Scene) -> [Node; 2] {
    let first = scene.launch("first").with(&["--static-slot", "0"]).start();
    first.wait_ready();
    let second = scene.launch("second").with(&["--static-slot", "0"]).start();
    second.wait_unready("standby");
    [first, second]
}

#[test]
fn the_second_twin_waits_and_goes_on_where_the_first_stopped() {
    let scene = Scene::new(Numbers::default());
    let [mut first, second] = twins(&scene);
    let drawings = [Drawing::from(&first), Drawing::from(&second)];
    drawings[0].issued_after(Instant::now());
    first.stop();
    let stopped = Instant::now();
    let took = drawings[1].issued_after(stopped) - stopped;
    println!("SIGTERM to the twin's first id: {took:?}");
    assert!(took.as_millis() < 2_500, "{took:?}");
    assert!(first.wait_exit().success());
    let [firsts, seconds] = drawings.map(Drawing::finish);
    assert_unique(&[&firsts, &seconds]);
    assert_eq!((firsts.slots(), seconds.slots()), (vec![0], vec![0]));
    let floor = seconds.ranges.first().unwrap().first;
    let last = firsts.ranges.iter().map(|range| range.first).max().unwrap();
    assert!(floor > last, "the second begins at the mark of the first");
    assert_eq!(scene.tree().fence(0), 2);
}

#[test]
fn a_twin_paused_past_its_session_is_fenced() {
    let scene = Scene::new(Numbers::brief());
    let [first, second] = twins(&scene);
    let drawings = [Drawing::from(&first), Drawing::from(&first), Drawing::from(&second), Drawing::from(&second)];
    drawings[0].issued_after(Instant::now());
    first.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    let took = drawings[2].issued_after(stopped) - stopped;
    first.signal(libc::SIGCONT);
    let woken = Instant::now();
    first.wait_unready("standby");
    let back = woken.elapsed();
    drawings[2].issued_after(Instant::now());
    let drawn = drawings.map(Drawing::finish);
    let count = assert_unique(&drawn.each_ref());
    let late = drawn[0].answers.iter().filter(|(at, _)| *at > woken).count();
    println!(
        "take-over {took:?}; in the line again {back:?} after waking, {late} late answers; {count} ids, none twice"
    );
    // The whole of what the first may issue lies below the ceiling the second started from.
    let last = drawn[..2].iter().filter_map(|drawn| drawn.highest_ms(0)).max().unwrap();
    let first_of_second = drawn[2..].iter().flat_map(|drawn| &drawn.ranges).map(|range| range.first).min().unwrap();
    assert!(meridian::id::SNOWFLAKE64.decode(first_of_second).unwrap().timestamp > last);
    assert_eq!(first.events("fenced"), 1);
    assert_eq!(scene.tree().fence(0), 2);
    assert_eq!(scene.tree().owned(), [0]);
}
