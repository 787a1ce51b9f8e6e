//! The slots this node issues from, and which of them a request gets its ids from. Readings of the clock come in as
//! arguments: this file reads none.

use super::{Claim, Refused};
use crate::clock::Now;
use crate::generator::{Generator, Refusal, Taken};
use crate::lease::grant::Grant;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The grants of one moment, each with its pace. Of most nodes it is one.
#[derive(Debug, Default)]
pub struct Slots {
    generators: Vec<Arc<Generator>>,
    ids_per_ms: u64,
    /// Which slot the next request asks first, so that they take turns.
    turn: AtomicUsize,
}

/// What large requests find in front of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many slots there are to share in.
    pub slots: u32,
    /// How far what they gave is ahead of the clock, on average.
    pub lead: Duration,
}

impl Slots {
    /// These grants instead. Those that stay keep their pace.
    pub fn with(&self, grants: impl IntoIterator<Item = Arc<Grant>>, max_wait: Duration, now: Now) -> Slots {
        let generator = |grant: Arc<Grant>| {
            let known = self.generators.iter().find(|generator| Arc::ptr_eq(generator.grant(), &grant));
            known.cloned().unwrap_or_else(|| Arc::new(Generator::new(grant, max_wait, now)))
        };
        let generators: Vec<Arc<Generator>> = grants.into_iter().map(generator).collect();
        let ids_per_ms = generators.first().map_or(0, |generator| generator.layout().ids_per_ms());
        Slots { generators, ids_per_ms, turn: AtomicUsize::new(0) }
    }

    /// How many ids one slot has for one millisecond; 0 if there is no slot.
    pub fn ids_per_ms(&self) -> u64 {
        self.ids_per_ms
    }

    /// The same of all slots.
    pub fn ids_per_ms_of_all(&self) -> u64 {
        self.ids_per_ms * self.generators.len() as u64
    }

    /// Takes `n` ids from one slot: the next in turn that has them now, or else the one that is least ahead of the clock.
    pub fn take(&self, now: Now, n: u32, within: Duration) -> Result<(Claim, Duration), Refused> {
        if let [only] = self.generators.as_slice() {
            return Ok(claim(only, only.take_within(now, n, within)?));
        }
        let first = self.turn.fetch_add(1, Relaxed) % self.generators.len().max(1);
        let (later, sooner) = self.generators.split_at(first);
        let mut in_turn = sooner.iter().chain(later);
        let has_them = |generator: &Arc<Generator>| {
            let taken = generator.take_within(now, n, Duration::ZERO).ok()?;
            Some(claim(generator, taken))
        };
        match in_turn.find_map(has_them) {
            Some(taken) => Ok(taken),
            None => self.take_least_ahead(now, n, within, Duration::MAX),
        }
    }

    /// Takes `n` ids from the slot that is least ahead of the clock, if that is not more than `lead`.
    pub fn take_least_ahead(
        &self,
        now: Now,
        n: u32,
        within: Duration,
        lead: Duration,
    ) -> Result<(Claim, Duration), Refused> {
        for _ in &self.generators {
            // Of those that are equally far, which is most often not at all, the one that has most of its millisecond left.
            let ahead =
                |generator| Some((Generator::lead(generator, now, n).ok()?, generator.grant().position(), generator));
            let reaching = self.generators.iter().filter_map(|generator| ahead(generator));
            let Some((ahead, _, least)) = reaching.min_by_key(|(ahead, position, _)| (*ahead, *position)) else {
                break;
            };
            if ahead > lead {
                return Err(Refused::Ahead(ahead));
            }
            match least.take_within(now, n, within) {
                Err(Refusal::Spent) => {} // since it was asked: the others are asked again
                taken => return Ok(claim(least, taken?)),
            }
        }
        Err(self.none())
    }

    /// What a request for `n` ids finds that takes an equal share of each slot.
    pub fn backlog(&self, now: Now, n: u32) -> Result<Backlog, Refused> {
        let share = n.div_ceil((self.generators.len() as u32).max(1));
        let leads = self.generators.iter().filter_map(|generator| generator.lead(now, share).ok());
        let (slots, sum) = leads.fold((0, Duration::ZERO), |(slots, sum), lead| (slots + 1, sum + lead));
        match slots {
            0 => Err(self.none()),
            _ => Ok(Backlog { slots, lead: sum / slots }),
        }
    }

    fn none(&self) -> Refused {
        if self.generators.is_empty() { Refused::NoLease } else { Refused::Spent }
    }
}

fn claim(generator: &Generator, taken: Taken) -> (Claim, Duration) {
    let claim = Claim { layout: generator.layout(), origin: generator.origin(), ticks: taken.ticks };
    (claim, taken.wait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Millis, Origin, SNOWFLAKE64};
    use std::collections::BTreeMap;

    const MAX_WAIT: Duration = Duration::from_secs(1);

    /// All three clocks agree.
    fn at(ms: u64) -> Now {
        Now { credible_us: ms * 1_000, pace_us: ms * 1_000, boot_us: ms * 1_000 }
    }

    fn grants(n: u16) -> Vec<Arc<Grant>> {
        let grant = |worker| Grant::new(SNOWFLAKE64, Origin { datacenter: 1, worker }, Millis(1_000), Millis(9_000));
        (0..n).map(|worker| Arc::new(grant(worker))).collect()
    }

    fn slots(grants: &[Arc<Grant>]) -> Slots {
        Slots::default().with(grants.iter().cloned(), MAX_WAIT, at(1_000))
    }

    fn take(slots: &Slots, ms: u64, n: u32) -> Result<(u16, Duration), Refused> {
        slots.take(at(ms), n, Duration::MAX).map(|(claim, wait)| (claim.origin.worker, wait))
    }

    #[test]
    fn slots_take_turns_as_long_as_they_have_ids_now() {
        let slots = slots(&grants(3));
        let workers: Vec<u16> = (0..7).map(|_| take(&slots, 2_000, 100).unwrap().0).collect();
        assert_eq!(workers, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn who_is_ahead_of_the_clock_is_passed_over_and_the_least_ahead_comes_first() {
        let slots = slots(&grants(3));
        // 1.5 ms, 1 ms and 2 ms of ids, whoever's turn it is.
        for (worker, n) in [(0, 6_000), (1, 4_000), (2, 8_000)] {
            assert_eq!(take(&slots, 2_000, n).unwrap().0, worker);
        }
        assert_eq!(take(&slots, 2_000, 90), Ok((1, Duration::ZERO)), "it has 96 left");
        assert_eq!(take(&slots, 2_000, 90), Ok((1, Duration::from_millis(1))), "nobody has 90 now: it is least ahead");
        // Whatever the sizes: nobody waits while another slot has ids.
        for i in 0..80 {
            let n = if i % 3 == 0 { 254 } else { 65 };
            assert_eq!(take(&slots, 3_000, n).map(|(_, wait)| wait), Ok(Duration::ZERO), "{i}");
        }
    }

    #[test]
    fn a_slot_that_is_gone_makes_way_and_only_the_last_one_refuses() {
        let grants = grants(3);
        let slots = slots(&grants);
        grants[1].seal();
        let workers: Vec<u16> = (0..6).map(|_| take(&slots, 2_000, 1).unwrap().0).collect();
        assert!(workers.iter().all(|worker| [0, 2].contains(worker)), "{workers:?}");
        grants[0].seal();
        assert_eq!(take(&slots, 2_000, 4_000).map(|(worker, _)| worker), Ok(2));
        assert_eq!(take(&slots, 2_000, 4_000), Ok((2, Duration::from_millis(1))));
        assert_eq!(slots.backlog(at(2_000), 1), Ok(Backlog { slots: 1, lead: Duration::from_millis(1) }));
        grants[2].seal();
        assert_eq!(take(&slots, 2_000, 1), Err(Refused::Spent));
        assert_eq!(slots.backlog(at(2_000), 1), Err(Refused::Spent));
        assert_eq!(Slots::default().take(at(2_000), 1, MAX_WAIT), Err(Refused::NoLease));
        assert_eq!(Slots::default().backlog(at(2_000), 1), Err(Refused::NoLease));
    }

    #[test]
    fn all_are_asked_before_a_request_is_shed() {
        let slots = slots(&grants(2));
        for _ in 0..8 {
            take(&slots, 2_000, 1_000_000).unwrap();
        }
        assert!(matches!(take(&slots, 2_000, 1_000_000), Err(Refused::Ahead(_))));
        assert!(take(&slots, 2_000, 1).is_ok());
        assert_eq!(slots.take(at(2_000), 1, Duration::from_millis(900)), Err(Refused::Late));
        let lead = Duration::from_millis(1);
        assert!(matches!(slots.take_least_ahead(at(2_000), 1, MAX_WAIT, lead), Err(Refused::Ahead(by)) if by > lead));
    }

    #[test]
    fn a_grant_that_stays_keeps_its_pace() {
        let grants = grants(2);
        let one = slots(&grants[..1]);
        take(&one, 2_000, 4_096 * 500).unwrap();
        let two = one.with(grants.iter().cloned(), MAX_WAIT, at(2_000));
        assert!(Arc::ptr_eq(&one.generators[0], &two.generators[0]));
        assert_eq!(two.backlog(at(2_000), 2), Ok(Backlog { slots: 2, lead: Duration::from_millis(250) }));
        assert_eq!((two.ids_per_ms(), two.ids_per_ms_of_all()), (4_096, 8_192));
        assert_eq!(two.with(None, MAX_WAIT, at(2_000)).ids_per_ms(), 0);
    }

    #[test]
    fn threads_share_slots_evenly_and_without_a_duplicate() {
        let slots = slots(&grants(4));
        let asked = AtomicUsize::new(0);
        let draw = |n: u32| {
            let (slots, asked) = (&slots, &asked);
            let one = move || {
                let now = at(2_000 + asked.fetch_add(1, Relaxed) as u64 / 80);
                slots.take(now, n, MAX_WAIT).unwrap().0
            };
            move || std::iter::repeat_with(one).take(2_000).collect::<Vec<Claim>>()
        };
        let claims: Vec<Claim> = std::thread::scope(|scope| {
            let threads: Vec<_> = [1, 7, 3, 50].map(|n| scope.spawn(draw(n))).into_iter().collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let mut by_worker: BTreeMap<u16, Vec<(u64, u64)>> = BTreeMap::new();
        for claim in claims {
            by_worker.entry(claim.origin.worker).or_default().push((claim.ticks.from.0, claim.ticks.to.0));
        }
        assert_eq!(by_worker.len(), 4);
        for (worker, mut ticks) in by_worker {
            assert!((1_500..=2_500).contains(&ticks.len()), "{} of 8,000 requests went to {worker}", ticks.len());
            ticks.sort_unstable();
            assert!(ticks.windows(2).all(|pair| pair[0].1 <= pair[1].0), "given twice by {worker}");
        }
    }
}
