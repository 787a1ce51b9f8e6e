//! When a peer is down and when it is up again: the thresholds GeoDNS has. Pure.

/// How many looks in a row decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub down: u32,
    pub up: u32,
}

/// What the looks at a peer add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen well yet, and not looked at often enough to say more.
    Unknown,
    Up,
    Down {
        /// It was up before, as far as this process saw. One that never was may just not be there, or not be known here.
        was_up: bool,
    },
}

/// One peer, look by look.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    thresholds: Thresholds,
    verdict: Verdict,
    /// Looks in a row that say otherwise.
    against: u32,
}

impl Looks {
    pub fn new(thresholds: Thresholds) -> Looks {
        Looks { thresholds, verdict: Verdict::Unknown, against: 0 }
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Folds one look in. True if it changed the verdict.
    pub fn look(&mut self, good: bool) -> bool {
        let (agrees, needed, next) = match (self.verdict, good) {
            (Verdict::Unknown, true) => (false, 1, Verdict::Up), // it has nothing to come back from
            (Verdict::Unknown, false) => (false, self.thresholds.down, Verdict::Down { was_up: false }),
            (Verdict::Up, good) => (good, self.thresholds.down, Verdict::Down { was_up: true }),
            (Verdict::Down { .. }, good) => (!good, self.thresholds.up, Verdict::Up),
        };
        self.against = if agrees { 0 } else { self.against + 1 };
        if self.against < needed || agrees {
            return false;
        }
        (self.verdict, self.against) = (next, 0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changes(looks: &str) -> Vec<(usize, Verdict)> {
        let mut peer = Looks::new(Thresholds { down: 3, up: 2 });
        let change = |(number, look)| peer.look(look == 'g').then(|| (number, peer.verdict()));
        looks.chars().enumerate().filter_map(change).collect()
    }

    #[test]
    fn three_bad_are_down_and_two_good_are_up() {
        let (up, down) = (Verdict::Up, Verdict::Down { was_up: true });
        assert_eq!(changes("gbbgbbbgbggb"), [(0, up), (6, down), (10, up)]);
        assert_eq!(changes("bbg"), [(2, up)]);
        assert_eq!(changes("bbbgg"), [(2, Verdict::Down { was_up: false }), (4, up)]);
    }

    proptest! {
        #[test]
        fn a_change_needs_its_threshold(down in 1u32..5, up in 1u32..5, looks in prop::collection::vec(any::<bool>(), 0..60)) {
            let mut peer = Looks::new(Thresholds { down, up });
            for (number, look) in looks.iter().enumerate() {
                let before = peer.verdict();
                if peer.look(*look) {
                    let needed = match (before, *look) {
                        (Verdict::Unknown, true) => 1,
                        (_, true) => up as usize,
                        (_, false) => down as usize,
                    };
                    prop_assert!(number + 1 >= needed && looks[number + 1 - needed..=number].iter().all(|l| l == look));
                    prop_assert_eq!(peer.verdict() == Verdict::Up, *look);
                }
            }
        }
    }
}
