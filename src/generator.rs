//! The pace of a grant: which ticks a request gets now, and how long it must wait before it may show them.
//!
//! Ids never run ahead of time by more than the bound, and a request that does run ahead waits for the clock; it never
//! spins. Readings of the clock come in as arguments: this file reads none.

use crate::atomic::{AtomicU64, Ordering::Relaxed};
use crate::clock::Now;
use crate::id::{Layout, Millis, Origin, Tick};
use crate::lease::grant::{Grant, Spent, Ticks};
use std::sync::Arc;
use std::time::Duration;

/// Milliseconds that passed while the process was descheduled may be filled this far behind the clock, but only while
/// requests are waiting for it: otherwise the granularity of timers would cost half of the format's rate.
const BACKFILL_MS: u64 = 10;

/// Gives out the ticks of one grant.
#[derive(Debug)]
pub struct Generator {
    grant: Arc<Grant>,
    max_wait: Duration,
    /// The floor, and the time since boot when this began.
    floor_us: u64,
    born_us: u64,
    /// The end of the latest millisecond any request had to wait for, and of the back-fill after it: saturated until then.
    saturated_until_us: AtomicU64,
    /// How far the clock's pace was ever ahead of the floor and the time since.
    ahead_us: AtomicU64,
    /// Time that passed unused while the pace ran ahead of `V`.
    lost_us: AtomicU64,
}

/// Ticks for one request, and the wait it owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub ticks: Ticks,
    /// How long until the clock reaches the last of them.
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// At the ceiling, or sealed.
    #[error("the lease does not reach far enough")]
    Spent,
    /// Serving this would run further ahead of the clock than allowed.
    #[error("the worker is {0:?} too far ahead of the clock")]
    Ahead(Duration),
    /// Serving this would take longer than the caller can wait.
    #[error("the wait would be longer than the caller's")]
    Late,
}

impl Generator {
    /// `max_wait`: how far ahead of the clock a request may run.
    pub fn new(grant: Arc<Grant>, max_wait: Duration, now: Now) -> Generator {
        let [saturated_until_us, ahead_us, lost_us] = [(); 3].map(|()| AtomicU64::new(0));
        let floor_us = grant.floor().0 * 1_000;
        Generator { grant, max_wait, floor_us, born_us: now.boot_us, saturated_until_us, ahead_us, lost_us }
    }

    pub fn origin(&self) -> Origin {
        self.grant.origin()
    }

    pub fn layout(&self) -> Layout {
        self.grant.layout()
    }

    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// How far what was given is ahead of the clock already; refused if the lease does not reach `n` ids from there.
    pub fn lead(&self, now: Now, n: u32) -> Result<Duration, Refusal> {
        let layout = self.grant.layout();
        let position = self.grant.position();
        let end = position.0.max(layout.tick(now.credible()).0).saturating_add(u64::from(n));
        if self.grant.is_sealed() || end > layout.tick(self.grant.ceiling()).0 {
            return Err(Refusal::Spent);
        }
        let next = Ticks { from: position, to: Tick(position.0 + 1) };
        Ok(Duration::from_micros(wait_us(layout, next, self.pace_us(now))))
    }

    /// Takes `n` ids' worth of ticks: all or nothing.
    #[inline]
    pub fn take(&self, now: Now, n: u32) -> Result<Taken, Refusal> {
        self.take_within(now, n, Duration::MAX)
    }

    /// The same for somebody who cannot wait longer than this: who would have to is refused, and nothing is taken.
    #[inline(always)] // a call costs as much as half of it
    pub fn take_within(&self, now: Now, n: u32, within: Duration) -> Result<Taken, Refusal> {
        // As nearly always when it matters: one id, neither the first of its millisecond nor past the last one.
        let open = self.grant.opened();
        if n == 1
            && open.is_of(now.credible_us)
            && let Some(from) = open.take()
        {
            return Ok(Taken { ticks: Ticks { from, to: Tick(from.0 + 1) }, wait: Duration::ZERO });
        }
        self.take_judged(now, n.max(1).into(), within)
    }

    /// The same when it has to be judged how far the clock has come, and who may wait for it.
    #[inline(never)]
    fn take_judged(&self, now: Now, n: u64, within: Duration) -> Result<Taken, Refusal> {
        let layout = self.grant.layout();
        let pace_us = self.pace_us(now);
        let saturated = self.saturated_until_us.load(Relaxed) > pace_us;
        let present = now.credible();
        let from = Millis(present.0.saturating_sub(if saturated { BACKFILL_MS } else { 0 }));
        let offer = self.grant.offer(layout.tick(from), n).map_err(|Spent| Refusal::Spent)?;
        let wait = Duration::from_micros(wait_us(layout, offer.ticks(), pace_us));
        if wait > self.max_wait {
            return Err(Refusal::Ahead(wait - self.max_wait));
        }
        if wait > within {
            return Err(Refusal::Late);
        }
        let ticks = offer.take().map_err(|Spent| Refusal::Spent)?;
        // Ids of this millisecond may be shown at once, whatever the clock did before it: there is nothing more to judge.
        if layout.millis(ticks.last()) == present {
            self.grant.open(present);
        }
        // Requests that race overshoot what is allowed by at most what runs at once; the wait stays honest.
        Ok(self.taken(ticks, pace_us))
    }

    /// These ticks, and how long their request waits for the clock.
    fn taken(&self, ticks: Ticks, pace_us: u64) -> Taken {
        let layout = self.grant.layout();
        let wait_us = wait_us(layout, ticks, pace_us);
        if wait_us > 0 {
            let until = layout.millis(ticks.last()) + BACKFILL_MS;
            self.saturated_until_us.fetch_max(until.0 * 1_000, Relaxed);
        }
        Taken { ticks, wait: Duration::from_micros(wait_us) }
    }

    /// What a request is paced by: `V`, and while that is not enough (it stands, or the floor is ahead of it: a borrowed
    /// slot), the time that passes. Time that nobody used is lost, as it is for a clock: saved up, it would let a burst
    /// run far ahead of the clock.
    ///
    /// It runs on when the wall clock has caught up with a `V` that stood, although the clock's own pace then falls back
    /// to `V`: what was issued meanwhile lies ahead of that, and requests would wait for all of it.
    fn pace_us(&self, now: Now) -> u64 {
        let Now { credible_us, pace_us, boot_us } = now;
        let since_floor = self.floor_us + boot_us.saturating_sub(self.born_us);
        let (ahead, known) = (pace_us.saturating_sub(since_floor), self.ahead_us.load(Relaxed));
        if ahead > known {
            self.ahead_us.fetch_max(ahead, Relaxed);
        }
        let running = since_floor + ahead.max(known);
        let lost = self.lost_us.load(Relaxed);
        if running <= credible_us {
            if lost != 0 {
                self.lost_us.store(0, Relaxed);
            }
            return credible_us;
        }
        let left = running - lost.min(running);
        if left < credible_us {
            // V made a step, but not beyond all that was lost: should it stand next, time goes on from here.
            self.lost_us.fetch_min(running - credible_us, Relaxed);
            return credible_us;
        }
        let position_us = self.grant.layout().millis(self.grant.position()).0 * 1_000;
        // A borrowed floor that the clock has passed needs no more than the clock.
        let most = match position_us > credible_us || pace_us > credible_us {
            true => position_us.max(credible_us) + BACKFILL_MS * 1_000,
            false => credible_us,
        };
        if left > most {
            self.lost_us.fetch_max(running - most, Relaxed);
        }
        left.min(most)
    }
}

/// How long until the clock reaches the last of these.
fn wait_us(layout: Layout, ticks: Ticks, pace_us: u64) -> u64 {
    (layout.millis(ticks.last()).0 * 1_000).saturating_sub(pace_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Credible;
    use crate::id::SNOWFLAKE64;
    use proptest::prelude::*;

    fn generator(floor: u64, ceiling: u64) -> Generator {
        let origin = Origin { datacenter: 0, worker: 16 };
        let grant = Grant::new(SNOWFLAKE64, origin, Millis(floor), Millis(ceiling));
        Generator::new(Arc::new(grant), Duration::from_secs(1), at(floor))
    }

    /// All three clocks agree.
    fn at(ms: u64) -> Now {
        Now { credible_us: ms * 1_000, pace_us: ms * 1_000, boot_us: ms * 1_000 }
    }

    /// What a clock says at this time since boot.
    fn now_of(clock: &Credible, boot_us: i64) -> Now {
        let (anchor, us) = (clock.anchor(), |us: i64| us as u64);
        Now { credible_us: us(anchor.credible_us(boot_us)), pace_us: us(anchor.pace_us(boot_us)), boot_us: us(boot_us) }
    }

    fn first_ms(taken: &Taken) -> u64 {
        SNOWFLAKE64.millis(taken.ticks.from).0
    }

    #[test]
    fn one_id_never_waits() {
        let taken = generator(1_000, 9_000).take(at(1_500), 1).unwrap();
        assert_eq!((first_ms(&taken), taken.wait), (1_500, Duration::ZERO));
    }

    #[test]
    fn a_million_ids_are_one_wait_of_244_ms() {
        let taken = generator(1_000, 9_000).take(at(1_500), 1_000_000).unwrap();
        assert_eq!(taken.wait, Duration::from_millis(1_000_000 / 4_096));
    }

    #[test]
    fn beyond_the_bound_is_refused_with_how_long() {
        let generator = generator(1_000, 9_000);
        for _ in 0..4 {
            generator.take(at(1_500), 1_000_000).unwrap();
        }
        assert_eq!(generator.take(at(1_500), 1_000_000), Err(Refusal::Ahead(Duration::from_millis(220))));
        assert!(generator.take(at(1_500), 1).is_ok(), "small requests still fit");
        assert!(generator.take(at(1_720), 1_000_000).is_ok());
    }

    #[test]
    fn who_cannot_wait_takes_nothing() {
        let generator = generator(1_000, 9_000);
        assert_eq!(generator.lead(at(1_500), 1), Ok(Duration::ZERO));
        let wait = Duration::from_millis(100);
        assert_eq!(generator.take_within(at(1_500), 1_000_000, wait), Err(Refusal::Late));
        assert_eq!(generator.lead(at(1_500), 1), Ok(Duration::ZERO));
        assert_eq!(generator.take_within(at(1_500), 409_600, wait).unwrap().wait, Duration::from_millis(99));
        assert_eq!(generator.lead(at(1_500), 1), Ok(wait));
    }

    #[test]
    fn near_the_ceiling_is_spent() {
        let generator = generator(1_000, 1_100);
        assert_eq!(generator.lead(at(1_050), 1_000_000), Err(Refusal::Spent));
        assert_eq!(generator.take(at(1_050), 1_000_000), Err(Refusal::Spent));
        assert!(generator.take(at(1_050), 1).is_ok());
        assert_eq!(generator.take(at(1_100), 1), Err(Refusal::Spent));
    }

    #[test]
    fn under_saturation_missed_milliseconds_are_filled_at_most_ten_back() {
        let generator = generator(1_000, 90_000);
        let taken = generator.take(at(2_000), 3 * 4_096).unwrap();
        assert_eq!(taken.wait, Duration::from_millis(2));
        // The caller slept 2 ms and was woken 5 ms late: 2003..2007 are still there.
        assert_eq!(first_ms(&generator.take(at(2_007), 1).unwrap()), 2_003);
        // Much later nobody waits any more: no filling.
        assert_eq!(first_ms(&generator.take(at(2_500), 1).unwrap()), 2_500);
    }

    #[test]
    fn unsaturated_ids_carry_the_present() {
        let generator = generator(1_000, 90_000);
        for ms in 2_000..2_050 {
            assert_eq!(first_ms(&generator.take(at(ms), 1).unwrap()), ms);
        }
    }

    #[test]
    fn what_is_ahead_of_the_clock_opens_nothing() {
        let generator = generator(1_000, 90_000);
        let end = generator.take(at(2_000), 5_000).unwrap().ticks.to;
        for n in 0..2 {
            let taken = generator.take(at(2_000), 1).unwrap();
            assert_eq!((taken.ticks.from.0, taken.wait), (end.0 + n, Duration::from_millis(1)), "no gap");
        }
    }

    #[test]
    fn a_standing_clock_stalls_nobody() {
        let generator = generator(1_000, 90_000);
        // The wall clock was set back 5 s: V stands, P goes on. 10,000 ids/s for 5 s.
        for ms in 0..5_000u64 {
            let now = Now { credible_us: 2_000_000, pace_us: (2_000 + ms) * 1_000, boot_us: (2_000 + ms) * 1_000 };
            assert_eq!(generator.take(now, 10).unwrap().wait, Duration::ZERO);
        }
    }

    #[test]
    fn a_clock_that_catches_up_stalls_nobody() {
        // The floor is long past, as a cold slot's is: time passed since the claim does not reach up to V.
        let origin = Origin { datacenter: 0, worker: 16 };
        let grant = Grant::new(SNOWFLAKE64, origin, Millis(1_000), Millis(90_000));
        let generator = Generator::new(Arc::new(grant), Duration::from_secs(1), at(20_000));
        // 2,000,000 ids/s while V stands for 5 s: half of what the format has, so that the ids are 2.4 s ahead of V when it
        // moves again, and P falls back to it.
        for ms in 0..5_000u64 {
            let now = Now { credible_us: 20_000_000, ..at(20_000 + ms) };
            assert_eq!(generator.take(now, 2_000).unwrap().wait, Duration::ZERO);
        }
        for ms in 0..10_000u64 {
            let now = Now { boot_us: (25_000 + ms) * 1_000, ..at(20_000 + ms) };
            assert_eq!(generator.take(now, 2_000).unwrap().wait, Duration::ZERO, "{ms} ms after");
        }
    }

    #[test]
    fn a_borrowed_floor_is_paced_by_time_passed() {
        let generator = generator(50_000, 90_000);
        let start = Now { credible_us: 0, pace_us: 0, boot_us: 50_000_000 };
        assert_eq!(generator.take(start, 4_096).unwrap().wait, Duration::ZERO);
        assert_eq!(generator.take(start, 4_096).unwrap().wait, Duration::from_millis(1));
        let later = Now { boot_us: 50_001_000, ..start };
        assert_eq!(generator.take(later, 1).unwrap().wait, Duration::from_millis(1));
    }

    #[test]
    fn time_unused_while_borrowing_is_lost() {
        let generator = generator(50_000, 200_000);
        let start = Now { credible_us: 20_000_000, pace_us: 20_000_000, boot_us: 50_000_000 };
        // Nobody asks for 25 s; then a burst: each request waits for what it takes.
        let later = Now { credible_us: 45_000_000, pace_us: 45_000_000, boot_us: 75_000_000 };
        generator.take(start, 1).unwrap();
        assert!(generator.take(later, 1_000_000).unwrap().wait >= Duration::from_millis(230));
        assert!(generator.take(later, 1_000_000).unwrap().wait >= Duration::from_millis(470));
        for _ in 0..2 {
            generator.take(later, 1_000_000).unwrap();
        }
        assert!(matches!(generator.take(later, 1_000_000), Err(Refusal::Ahead(_))), "shed, not spent");
    }

    #[test]
    fn time_unused_while_the_clock_stands_is_lost_and_never_stalls_the_next_standing() {
        let generator = generator(1_000, 90_000);
        let standing = |v: u64, p: u64| Now { credible_us: v * 1_000, pace_us: p * 1_000, boot_us: p * 1_000 };
        generator.take(standing(2_000, 2_001), 1).unwrap();
        assert!(generator.take(standing(2_000, 6_000), 1_000_000).unwrap().wait >= Duration::from_millis(230));
        generator.take(at(7_000), 1).unwrap();
        for ms in 7_001..9_000 {
            assert_eq!(generator.take(standing(7_000, ms), 10).unwrap().wait, Duration::ZERO);
        }
    }

    /// What four threads get at once by so many requests each, in order.
    fn race(generator: &Generator, requests: u32, n: u32) -> Vec<Taken> {
        let take = || (0..requests).map(|_| generator.take(at(2_000), n).unwrap()).collect::<Vec<_>>();
        let mut all: Vec<Taken> = std::thread::scope(|scope| {
            let takers = [(); 4].map(|()| scope.spawn(take));
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        all.sort_by_key(|taken| taken.ticks.from);
        for Taken { ticks, wait } in &all {
            assert_eq!(*wait, Duration::from_millis(SNOWFLAKE64.millis(ticks.last()).0 - 2_000), "an honest wait");
        }
        all
    }

    #[test]
    fn who_loses_a_race_waits_honestly() {
        let all = race(&generator(1_000, 90_000), 20, 700);
        assert!(all.windows(2).all(|two| two[0].ticks.to == two[1].ticks.from), "no gap, and none twice");
    }

    #[test]
    fn a_race_for_single_ids_gives_each_once_and_loses_what_told_of_the_end() {
        let all = race(&generator(1_000, 90_000), 2_000, 1);
        assert!(all.windows(2).all(|two| two[0].ticks.to <= two[1].ticks.from), "none twice");
        let lost: u64 = all.windows(2).map(|two| two[1].ticks.from.0 - two[0].ticks.to.0).sum();
        assert!(lost <= 16, "{lost}: one by each thread for each that opened the millisecond");
    }

    /// Every other request asks for one id, as nearly all do.
    fn few_or_up_to(most: u32) -> impl Strategy<Value = u32> {
        prop_oneof![Just(1), 1..most]
    }

    proptest! {
        /// 10,000 ids/s, through the real judgement of a wall clock that does what it likes.
        #[test]
        fn no_step_of_the_wall_clock_stalls_a_moderate_load(
            steps in prop::collection::vec((1u64..3_000, -10_000i64..10_000, any::<bool>()), 1..20)
        ) {
            use crate::clock::Reading;
            const START_MS: i64 = 1_000_000;
            let reading = |ms: i64, off_ms: i64| Reading { boot_us: ms * 1_000, real_us: (START_MS + ms + off_ms) * 1_000 };
            let mut clock = Credible::new(reading(0, 0));
            let origin = Origin { datacenter: 0, worker: 16 };
            let grant = Grant::new(SNOWFLAKE64, origin, Millis(900_000), Millis(9_000_000));
            let generator = Generator::new(Arc::new(grant), Duration::from_secs(1), now_of(&clock, 0));
            let (mut ms, mut off_ms) = (0, 0);
            for (lasts, step, confirmed) in steps {
                off_ms += step;
                match confirmed {
                    true => clock.confirm(reading(ms, off_ms)),
                    false => { clock.observe(reading(ms, off_ms)); }
                }
                for _ in 0..lasts {
                    ms += 1;
                    if ms % 20 == 0 {
                        clock.observe(reading(ms, off_ms));
                    }
                    let taken = generator.take(now_of(&clock, ms * 1_000), if ms % 2 == 0 { 1 } else { 19 }).unwrap();
                    prop_assert!(taken.wait <= Duration::from_millis(1), "{:?} at {ms}", taken.wait);
                }
            }
        }

        /// Beside a generator that judges each request: what is skipped for single ids lets nobody wait longer, and nobody
        /// run further ahead than what may be filled up beyond the millisecond it is skipped in.
        #[test]
        fn to_judge_less_lets_nobody_wait_longer(
            steps in prop::collection::vec((1u64..700, -3_000i64..3_000, any::<bool>(), few_or_up_to(6_000), 1usize..60), 1..40)
        ) {
            use crate::clock::Reading;
            let reading = |us: i64, off_ms: i64| Reading { boot_us: us, real_us: 1_000_000_000 + us + off_ms * 1_000 };
            let mut clock = Credible::new(reading(0, 0));
            let origin = Origin { datacenter: 0, worker: 16 };
            let [short, long] = [(); 2].map(|()| {
                let grant = Grant::new(SNOWFLAKE64, origin, Millis(900_000), Millis(9_000_000));
                Generator::new(Arc::new(grant), Duration::from_secs(3_600), now_of(&clock, 0))
            });
            let (mut us, mut off_ms) = (0i64, 0);
            for (lasts_ms, step, confirmed, n, requests) in steps {
                off_ms += step;
                match confirmed {
                    true => clock.confirm(reading(us, off_ms)),
                    false => { clock.observe(reading(us, off_ms)); }
                }
                for _ in 0..requests {
                    us += (lasts_ms * 1_000) as i64 / requests as i64;
                    let now = now_of(&clock, us);
                    let (quick, judged) = (short.take(now, n), long.take_judged(now, n.into(), Duration::MAX));
                    let (quick, judged) = (quick.unwrap(), judged.unwrap());
                    // A tick that told of an end is nobody's, and who is no longer saturated fills up no more.
                    let [at, other] = [&short, &long].map(|generator| generator.grant.position().0);
                    let apart = at.abs_diff(other);
                    let ms = |ticks: u64| Duration::from_millis(ticks.div_ceil(4_096));
                    prop_assert!(ms(apart) <= Duration::from_millis(BACKFILL_MS + 1), "{at} {other}");
                    prop_assert!(quick.wait <= judged.wait + ms(apart), "{:?} for {:?}", quick.wait, judged.wait);
                    prop_assert!(judged.wait <= quick.wait + ms(apart) + Duration::from_millis(BACKFILL_MS + 1));
                    let behind = if at < other { &short } else { &long };
                    if apart > 0 {
                        behind.take_judged(now, apart, Duration::MAX).unwrap();
                    }
                }
            }
        }

        /// The clock goes as it went but for now and then, when it stands some way behind.
        #[test]
        fn ids_rise_and_nobody_waits_for_what_is_there(
            steps in prop::collection::vec((0u64..4, few_or_up_to(3_000), prop::option::weighted(0.1, 1u64..3_000)), 1..300)
        ) {
            let generator = generator(5_000, 15_000);
            let (mut last, mut ms, mut stood) = (0, 5_000, false);
            for (more, n, behind) in steps {
                ms += more;
                stood |= behind.is_some();
                let now = Now { credible_us: (ms - behind.unwrap_or(0)) * 1_000, ..at(ms) };
                if let Ok(taken) = generator.take(now, n) {
                    prop_assert!(taken.ticks.from.0 >= last);
                    prop_assert_eq!(taken.ticks.to.0 - taken.ticks.from.0, u64::from(n));
                    prop_assert!(taken.ticks.to <= SNOWFLAKE64.tick(Millis(15_000)));
                    let late_ms = SNOWFLAKE64.millis(taken.ticks.last()).0.saturating_sub(ms);
                    prop_assert!(stood || taken.wait == Duration::from_millis(late_ms));
                    last = taken.ticks.to.0;
                }
            }
        }

        /// Whatever the clock does, what is given rises strictly, stays in the grant and within the bound.
        #[test]
        fn ids_rise_whatever_the_clock_does(steps in prop::collection::vec((0u64..20_000, 0u64..20_000, few_or_up_to(20_000)), 1..200)) {
            let generator = generator(5_000, 15_000);
            let mut last = 0;
            let mut boot_us = 5_000_000;
            for (v, p, n) in steps {
                boot_us += 100;
                let now = Now { credible_us: v * 1_000, pace_us: p.max(v) * 1_000, boot_us };
                if let Ok(taken) = generator.take(now, n) {
                    prop_assert!(taken.ticks.from.0 >= last);
                    prop_assert_eq!(taken.ticks.to.0 - taken.ticks.from.0, u64::from(n));
                    prop_assert!(taken.ticks.from >= SNOWFLAKE64.tick(Millis(5_000)));
                    prop_assert!(taken.ticks.to <= SNOWFLAKE64.tick(Millis(15_000)));
                    prop_assert!(taken.wait <= Duration::from_secs(1));
                    last = taken.ticks.to.0;
                }
            }
        }
    }
}
