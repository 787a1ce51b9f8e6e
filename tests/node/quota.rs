//! The quota changes under way: `init` with another manifest, while nodes run with theirs.

use crate::scene::Scene;
use crate::support::{Drawing, Numbers, assert_unique};
use std::time::{Duration, Instant};

#[test]
fn a_raised_quota_admits_a_standby_and_a_lowered_one_sends_the_last_one_back() {
    let numbers = Numbers { dynamic: 1, ..Numbers::default() };
    let scene = Scene::new(numbers);
    let wider = Numbers { dynamic: 2, ..numbers }.write(&scene.folder.path().join("wider.yaml"));
    let first = scene.holder("first");
    let second = scene.standby("second");
    let third = scene.standby("third");
    let drawings = [&first, &second, &third].map(Drawing::from);

    assert_eq!(scene.init_with(&wider)["admission_changed"], true);
    let raised = Instant::now();
    let admitted = drawings[1].issued_after(raised) - raised;
    println!("quota raised to the standby's first id: {admitted:?}");
    assert!(admitted < Duration::from_millis(2_500), "{admitted:?}");
    assert!(!third.is_ready(), "one more, not two");

    assert_eq!(scene.init()["admission_changed"], true);
    let lowered = Instant::now();
    second.wait_unready("standby");
    let gave_back = lowered.elapsed();
    println!("quota lowered to the slot given back: {gave_back:?} (window {} ms)", numbers.window_ms);
    assert!(gave_back < Duration::from_millis(numbers.window_ms * 2 / 5 + 1_500), "at its next extend: {gave_back:?}");
    assert!(first.is_ready());
    let tree = scene.tree();
    assert_eq!(tree.owned().len(), 1);
    drawings[0].issued_after(Instant::now());

    let drawn = drawings.map(Drawing::finish);
    assert_unique(&drawn.each_ref());
    drawn[0].assert_none_refused();
    assert!(drawn[2].answers.is_empty());
    for refused in &drawn[1].refused {
        assert!(["no_lease", "lease_spent"].contains(&refused.code.as_str()), "{refused:?}");
    }
    assert_eq!((first.events("giving_back"), second.events("giving_back")), (0, 1));
}
