//! The order of what is sent, step by step, against the in-memory tree. What faults do to it is the simulation's.

use super::*;
use crate::id::SNOWFLAKE64;
use crate::lease::tree::Znodes;
use crate::lease::tree::tests::{blueprint, registration};

const NOW: ServerTime = ServerTime(1_700_000_000_000);
const SESSION: SessionId = SessionId(1);
const AT: At = At { boot_ms: 1_000, credible: Millis(1_000_000) };

fn settings() -> Settings {
    Settings {
        layout: SNOWFLAKE64,
        datacenter: 3,
        dynamic: 0..=1,
        session_ms: 6_000,
        window_ms: 30_000,
        first_window_ms: 5_000,
        max_borrow_ms: 60_000,
        lame_duck_ms: 0,
        #[cfg(feature = "broken")]
        flaw: None,
    }
}

/// What the tree makes of a request, at once.
fn carry_out(znodes: &mut Znodes, request: Request) -> Answer {
    let refused = Failure::Refused;
    match request {
        Request::Open => Answer::Opened(Ok(Opened { session: SESSION, high_water: BTreeMap::new() })),
        Request::Register(value) => Answer::Registered(Ok(znodes.register(&value, SESSION, NOW))),
        Request::Update { name, value } => {
            Answer::Updated(znodes.update_registration(&name, &value, NOW).map_err(refused))
        }
        Request::Unregister(name) => Answer::Unregistered(znodes.unregister(&name).map_err(refused)),
        Request::Look => Answer::Looked(Ok(znodes.look(SESSION))),
        Request::Admission => Answer::Admission(Ok(znodes.admission())),
        Request::ReadSlot(slot) => Answer::SlotRead(znodes.read_slot(slot).map_err(refused)),
        Request::Write(write) => Answer::Written(znodes.apply(&write, SESSION, NOW).map_err(refused)),
        Request::Watch(_) => Answer::Watching(Ok(())),
    }
}

/// Carries out what the machine wants until it waits or is done; says what was sent.
fn run(state: &mut State, znodes: &mut Znodes) -> Vec<Request> {
    run_at(state, znodes, AT)
}

fn run_at(state: &mut State, znodes: &mut Znodes, at: At) -> Vec<Request> {
    let mut sent = Vec::new();
    while let Next::Send(request) = state.next(at) {
        sent.push(request.clone());
        state.step(at, Event::Answered(carry_out(znodes, request)));
    }
    sent
}

#[test]
fn a_leaver_is_out_of_the_line_before_its_slot_is_free() {
    let (mut znodes, _) = Znodes::init(None, &blueprint(2, 2), NOW).expect("nothing stands in the way");
    let mut state = State::new(settings(), registration("n"));
    run(&mut state, &mut znodes);
    let grant = state.grant().expect("a slot").clone();
    state.step(AT, Event::Stop);
    assert!(grant.is_sealed(), "before anything is sent");
    let sent = run(&mut state, &mut znodes);
    assert!(
        matches!(&sent[..], [Request::Unregister(_), Request::Write(Write::Release { delete_owner: true, .. })]),
        "{sent:?}"
    );
    assert_eq!(state.next(AT), Next::Done);
    let view = znodes.look(SESSION);
    assert!(view.registrations.is_empty() && view.slots.iter().all(|slot| slot.owner.is_none()));
}

#[test]
fn a_leaver_that_cannot_leave_the_line_gives_its_slot_back_all_the_same() {
    let (mut znodes, _) = Znodes::init(None, &blueprint(2, 2), NOW).expect("nothing stands in the way");
    let mut state = State::new(settings(), registration("n"));
    run(&mut state, &mut znodes);
    state.step(AT, Event::Stop);
    let Next::Send(Request::Unregister(_)) = state.next(AT) else { panic!("the line first") };
    let lost = Failure::Unknown("lost".into());
    state.step(AT, Event::Answered(Answer::Unregistered(Err(lost))));
    let later = At { boot_ms: AT.boot_ms + 1_000, ..AT };
    let Next::Send(Request::Write(release)) = state.next(later) else { panic!("then the slot") };
    state.step(later, Event::Answered(carry_out(&mut znodes, Request::Write(release))));
    assert_eq!(state.next(later), Next::Done);
    assert!(znodes.look(SESSION).slots.iter().all(|slot| slot.owner.is_none()));
}

#[test]
fn a_quota_that_shrinks_makes_a_lame_duck_first_and_one_that_grows_again_none() {
    let (mut znodes, _) = Znodes::init(None, &blueprint(2, 2), NOW).expect("nothing stands in the way");
    let mut state = State::new(Settings { lame_duck_ms: 400, ..settings() }, registration("n"));
    run(&mut state, &mut znodes);
    let requota =
        |znodes: &Znodes, quota| Znodes::init(Some(znodes.clone()), &blueprint(2, quota), NOW).expect("ours").0;
    let look = |state: &mut State, znodes: &mut Znodes, boot_ms| {
        state.look = true;
        run_at(state, znodes, At { boot_ms, ..AT });
        (state.phase(), state.grant().is_some())
    };
    let mut less = requota(&znodes, 1);
    assert_eq!(look(&mut state, &mut less, 2_000), (Phase::Leaving, true));
    assert_eq!(look(&mut state, &mut less, 2_399), (Phase::Leaving, true));
    let mut again = requota(&less, 2);
    assert_eq!(look(&mut state, &mut again, 2_399), (Phase::Holding, true));
    let mut less = requota(&again, 1);
    assert_eq!(look(&mut state, &mut less, 2_500), (Phase::Leaving, true));
    assert_eq!(state.next(At { boot_ms: 2_500, ..AT }), Next::Wait(Some(2_500 + STAY_MS)));
    let mut again = requota(&less, 2);
    run_at(&mut state, &mut again, At { boot_ms: 2_500 + STAY_MS, ..AT });
    assert_eq!(state.phase(), Phase::Holding, "it asks by itself");
    let mut less = requota(&again, 1);
    assert_eq!(look(&mut state, &mut less, 3_000), (Phase::Leaving, true));
    run_at(&mut state, &mut less, At { boot_ms: 3_400, ..AT });
    assert_eq!((state.phase(), state.grant().is_some()), (Phase::Standby { rank: 0 }, false));
}

#[test]
fn a_standby_that_lost_its_session_leaves_those_who_held_a_slot_time_to_attach() {
    let (mut znodes, _) = Znodes::init(None, &blueprint(2, 1), NOW).expect("nothing stands in the way");
    let mut state = State::new(settings(), registration("n"));
    run(&mut state, &mut znodes);
    assert_eq!(state.phase(), Phase::Standby { rank: 0 });
    znodes.end_session(SESSION);
    let (mut znodes, _) = Znodes::init(Some(znodes), &blueprint(2, 2), NOW).expect("ours");
    state.step(AT, Event::Link(Link::Over));
    run(&mut state, &mut znodes);
    assert_eq!(state.phase(), Phase::Standby { rank: 0 }, "there is room, and it waits");
    assert_eq!(state.next(AT), Next::Wait(Some(AT.boot_ms + ATTACH_MS)));
    run_at(&mut state, &mut znodes, At { boot_ms: AT.boot_ms + ATTACH_MS, ..AT });
    assert_eq!(state.phase(), Phase::Holding);
}
