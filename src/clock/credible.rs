//! What time to believe. Pure: readings come in, an anchor comes out.
//!
//! Touches availability and the order of ids, never their uniqueness: that rests on the lease alone.
//!
//! * A step of REALTIME **forward** by more than [`STEP_US`] against BOOTTIME is not followed until a second source (the
//!   ensemble, or the kernel's own synchronisation) confirms it: followed blindly, an hour's jump would burn an hour of
//!   the slot's timestamps.
//! * A step **backward** lets `V` stand until REALTIME has caught up; `P` runs on, so nobody stalls.

/// Steps forward up to this are followed: NTP corrects less than that by slewing, and more is an event.
pub const STEP_US: i64 = 500_000;

/// Two clocks cannot be read at one instant; differences below this are reading noise.
const NOISE_US: i64 = 1_000;

/// The two clocks of the machine, read together. Microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_REALTIME since 1970: what people set.
    pub real_us: i64,
    /// CLOCK_BOOTTIME: what nobody sets.
    pub boot_us: i64,
}

/// How to tell `V` and `P` from BOOTTIME alone, until the next observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// `P = boot + offset`.
    pub offset_us: i64,
    /// `V = P`, or this while the wall clock is behind what was already seen.
    pub standing_us: Option<i64>,
}

impl Anchor {
    /// The same for times that count from `unix_us`.
    pub fn since(self, unix_us: i64) -> Anchor {
        let Anchor { offset_us, standing_us } = self;
        Anchor { offset_us: offset_us - unix_us, standing_us: standing_us.map(|standing_us| standing_us - unix_us) }
    }

    pub fn pace_us(&self, boot_us: i64) -> i64 {
        boot_us + self.offset_us
    }

    pub fn credible_us(&self, boot_us: i64) -> i64 {
        self.standing_us.unwrap_or_else(|| self.pace_us(boot_us))
    }
}

/// What an observation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Steady,
    /// REALTIME went forward by this much and is followed.
    Followed(i64),
    /// REALTIME is this far ahead of what is credible: not followed until confirmed.
    Doubted(i64),
    /// REALTIME is this far behind what was seen: `V` stands.
    Standing(i64),
}

/// The fold over all readings.
#[derive(Clone, Debug)]
pub struct Credible {
    anchor: Anchor,
    /// REALTIME - BOOTTIME when it was last confirmed; unconfirmed steps may not add up to more than [`STEP_US`].
    confirmed_us: i64,
}

impl Credible {
    pub fn new(first: Reading) -> Credible {
        let offset_us = first.real_us - first.boot_us;
        Credible { anchor: Anchor { offset_us, standing_us: None }, confirmed_us: offset_us }
    }

    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// How far REALTIME is from what this process believes.
    pub fn deviation_us(&self, reading: Reading) -> i64 {
        reading.real_us - self.anchor.pace_us(reading.boot_us)
    }

    pub fn observe(&mut self, reading: Reading) -> Verdict {
        let offset_us = reading.real_us - reading.boot_us;
        let credible_us = self.anchor.credible_us(reading.boot_us);
        let lead_us = reading.real_us - credible_us;
        if self.anchor.standing_us.is_some() {
            if lead_us < 0 {
                return Verdict::Standing(-lead_us);
            }
            // REALTIME has caught up with what was seen: V moves again, from here.
            self.anchor = Anchor { offset_us: credible_us - reading.boot_us, standing_us: None };
        }
        if lead_us.abs() < NOISE_US {
            return Verdict::Steady;
        }
        if lead_us < 0 {
            self.anchor.standing_us = Some(credible_us);
            return Verdict::Standing(-lead_us);
        }
        if offset_us - self.confirmed_us > STEP_US && lead_us > NOISE_US {
            return Verdict::Doubted(lead_us);
        }
        self.anchor.offset_us = offset_us;
        Verdict::Followed(lead_us)
    }

    /// A second source says that REALTIME is right: follow it, wherever it is.
    pub fn confirm(&mut self, reading: Reading) {
        self.confirmed_us = reading.real_us - reading.boot_us;
        self.observe(reading);
    }

    /// Before anything was issued: another source says that the time is this, and what was seen so far is forgotten. Too
    /// low is harmless (floors keep ids unique), too high would burn timestamps.
    pub fn start_again(&mut self, reading: Reading) {
        *self = Credible::new(reading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_000_000_000;

    fn at(boot_ms: i64, real_off_ms: i64) -> Reading {
        Reading { boot_us: boot_ms * 1_000, real_us: START + boot_ms * 1_000 + real_off_ms * 1_000 }
    }

    fn v(c: &Credible, boot_ms: i64) -> i64 {
        (c.anchor().credible_us(boot_ms * 1_000) - START) / 1_000
    }

    fn p(c: &Credible, boot_ms: i64) -> i64 {
        (c.anchor().pace_us(boot_ms * 1_000) - START) / 1_000
    }

    #[test]
    fn a_small_step_forward_is_followed() {
        let mut c = Credible::new(at(0, 0));
        assert_eq!(c.observe(at(100, 400)), Verdict::Followed(400_000));
        assert_eq!(v(&c, 100), 500);
    }

    #[test]
    fn small_steps_do_not_add_up_unconfirmed() {
        let mut c = Credible::new(at(0, 0));
        c.observe(at(100, 400));
        assert_eq!(c.observe(at(200, 800)), Verdict::Doubted(400_000));
        assert_eq!(v(&c, 200), 600);
        c.confirm(at(300, 800));
        assert_eq!(v(&c, 300), 1_100);
    }

    #[test]
    fn an_hour_forward_and_back_leaves_no_trace() {
        let mut c = Credible::new(at(0, 0));
        assert_eq!(c.observe(at(100, 3_600_000)), Verdict::Doubted(3_600_000_000));
        assert_eq!(v(&c, 5_000), 5_000, "time goes on at BOOTTIME's pace");
        assert_eq!(c.observe(at(10_000, 0)), Verdict::Steady);
        assert_eq!(v(&c, 10_000), 10_000);
    }

    #[test]
    fn a_step_back_lets_v_stand_and_p_run() {
        let mut c = Credible::new(at(0, 0));
        assert_eq!(c.observe(at(1_000, -5_000)), Verdict::Standing(5_000_000));
        assert_eq!((v(&c, 3_000), p(&c, 3_000)), (1_000, 3_000));
        assert_eq!(c.observe(at(5_999, -5_000)), Verdict::Standing(1_000));
        c.observe(at(6_100, -5_000));
        assert_eq!((v(&c, 6_200), p(&c, 6_200)), (1_200, 1_200), "caught up: V moves again with REALTIME");
    }

    #[test]
    fn a_start_an_hour_ahead_is_forgotten() {
        let mut c = Credible::new(at(0, 3_600_000));
        c.observe(at(1_000, 0));
        assert_eq!(v(&c, 1_000), 3_601_000, "V stands where it was");
        c.start_again(at(2_000, 0));
        assert_eq!(c.observe(at(3_000, 0)), Verdict::Steady);
        assert_eq!((v(&c, 3_000), p(&c, 3_000)), (3_000, 3_000));
    }

    proptest! {
        #[test]
        fn v_never_goes_back(steps in prop::collection::vec((1i64..2_000, -10_000i64..10_000, any::<bool>()), 1..100)) {
            let mut c = Credible::new(at(0, 0));
            let (mut boot, mut off, mut last) = (0, 0, i64::MIN);
            for (dt, step, confirm) in steps {
                boot += dt;
                off += step;
                let before = v(&c, boot);
                prop_assert!(before >= last);
                if confirm { c.confirm(at(boot, off)) } else { c.observe(at(boot, off)); }
                let after = v(&c, boot);
                prop_assert!(after >= before, "{after} < {before}");
                prop_assert!(p(&c, boot) >= after);
                last = after;
            }
        }

        #[test]
        fn unconfirmed_v_never_leads_by_more_than_the_step(steps in prop::collection::vec((1i64..2_000, -10_000i64..10_000), 1..100)) {
            let mut c = Credible::new(at(0, 0));
            let (mut boot, mut off) = (0, 0);
            for (dt, step) in steps {
                boot += dt;
                off += step;
                c.observe(at(boot, off));
                prop_assert!(v(&c, boot) <= boot + STEP_US / 1_000 + 1);
            }
        }
    }
}
