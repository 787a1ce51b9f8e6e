//! The simulation can fail: each variant of the lease that is broken on purpose must give some id twice.

use crate::world::TWICE;
use crate::{Run, SEEDS};
use meridian::lease::state::flaw::Flaw;
use std::cell::Cell;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::time::Instant;

/// The flaw that `MERIDIAN_BROKEN` names.
pub fn from_env() -> Option<Flaw> {
    let name = std::env::var("MERIDIAN_BROKEN").ok()?;
    Some(name.parse().unwrap_or_else(|why| panic!("MERIDIAN_BROKEN={name:?}: {why}")))
}

/// Plays a run, and says why it failed, if it did. Here that is what is hoped for: no backtrace for it.
fn failure_of(run: Run) -> Option<String> {
    thread_local! { static HOPED_FOR: Cell<bool> = const { Cell::new(false) } }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let tell = take_hook();
        set_hook(Box::new(move |panic| {
            if !HOPED_FOR.get() {
                tell(panic);
            }
        }));
    });
    HOPED_FOR.set(true);
    let played = catch_unwind(|| run.play());
    HOPED_FOR.set(false);
    played.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
}

/// Seeds up to CI's number, one after the other, until a run finds a duplicate. What else goes wrong with a flaw (a
/// quota exceeded, a slot nobody comes back to) is no proof.
fn is_found(flaw: Flaw) {
    let start = Instant::now();
    let mut otherwise = 0;
    for seed in 0..SEEDS {
        let run = Run { seed, loud: false, flaw: Some(flaw) };
        let Some(why) = failure_of(run) else { continue };
        if why.ends_with(TWICE) {
            let (seeds, seconds) = (seed + 1, start.elapsed().as_secs_f64());
            println!(
                "{flaw}: found at seed {seed}, the {seeds}. tried ({otherwise} failed otherwise), in {seconds:.1} s: {why}\n  see it with: {}",
                run.replay()
            );
            return;
        }
        otherwise += 1;
    }
    panic!("{flaw} was not found in {SEEDS} seeds: the simulation is blind to it");
}

macro_rules! found {
    ($($name:ident: $flaw:ident,)*) => {
        $(#[test] fn $name() { is_found(Flaw::$flaw); })*

        #[test]
        fn every_flaw_has_its_test() {
            assert_eq!(Flaw::ALL.as_slice(), [$(Flaw::$flaw),*]);
        }
    };
}

found! {
    no_fence_is_found: NoFence,
    lease_only_is_found: LeaseOnly,
    report_afterwards_is_found: ReportAfterwards,
    ceiling_before_answer_is_found: CeilingBeforeAnswer,
    lowering_extend_is_found: LoweringExtend,
    unsealed_release_is_found: UnsealedRelease,
    mark_rounded_down_is_found: MarkRoundedDown,
    holder_by_host_is_found: HolderByHost,
}
