//! Surge: while a region that this one backs up is down, the surge quota replaces the quota. Any node may say so, all may
//! at once, and whoever is wrong has only raised what may be held: no id depends on it.

use crate::clock;
use crate::lease::coordination::{AdmissionRead, Failure, Refusal, Session, Surge};
use crate::lease::line;
use crate::lease::znode::Admission;
use crate::topology::spill::Routing;

/// Nodes of a region that decide at the same moment collide on the admission, with claims as well.
const ATTEMPTS: usize = 16;

/// Whether load of a region that is down comes to `me`.
pub fn carries(routing: &Routing, me: &str, down: &[&str]) -> bool {
    down.iter().any(|dead| routing.destinations(dead, down).iter().any(|(to, _)| *to == me))
}

/// Until when (milliseconds since 1970, by the coordination service's clock) a surge is to be declared now; `None`: it is
/// long enough already, or nothing to gain. It is renewed when half of the hold is over, and ends a hold after the last
/// renewal.
pub fn renewal(admission: &AdmissionRead, now_ms: i64, hold_ms: i64) -> Option<i64> {
    let there = &admission.value;
    let until = there.surge_until.as_deref().and_then(|until| until.parse::<jiff::Timestamp>().ok());
    let left_ms = until.map_or(0, |until| until.as_millisecond() - now_ms);
    (there.surge > there.quota && left_ms * 2 <= hold_ms).then_some(now_ms + hold_ms)
}

/// The regions that are down, as far as this node can say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Down {
    /// Seen up, and down since.
    pub sure: Vec<String>,
    /// Never seen up by this process. They may never have been there; but where a surge is in force for one of them, others
    /// have seen it, and its surge goes on while those restart.
    pub maybe: Vec<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    NotWanted,
    /// It is in force, for long enough.
    Stands,
    Declared,
}

/// Declares a surge, or renews it, if load of others comes to `me`.
pub async fn see_to(
    session: &Session,
    (routing, me): (&Routing, &str),
    down: &Down,
    now_ms: i64,
    hold_ms: i64,
) -> Result<Done, Failure> {
    for _ in 0..ATTEMPTS {
        let admission = session.admission().await?;
        let causes = causes(&admission.value, down, now_ms);
        if !carries(routing, me, &causes) {
            return Ok(Done::NotWanted);
        }
        let Some(until) = renewal(&admission, now_ms, hold_ms) else { return Ok(Done::Stands) };
        let causes = causes.into_iter().map(str::to_owned).collect();
        match session.set_surge(&admission, &Surge { until: clock::rfc3339(until), causes }).await {
            Ok(()) => return Ok(Done::Declared),
            Err(Failure::Refused(Refusal::BadVersion)) => {} // somebody declared it, or claimed a slot
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::Unknown(format!("the admission changed {ATTEMPTS} times meanwhile")))
}

fn causes<'a>(admission: &Admission, down: &'a Down, now_ms: i64) -> Vec<&'a str> {
    let surging = line::surging(admission, now_ms);
    let known = down.maybe.iter().filter(|region| surging && admission.surge_for.contains(region));
    down.sure.iter().chain(known).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::coordination::Version;
    use crate::topology::spill::Route;

    fn admission(surge: u16, surge_until: Option<&str>) -> AdmissionRead {
        let surge_until = surge_until.map(str::to_owned);
        let value = Admission { v: 1, quota: 4, fixed: 0, surge, surge_until, ..Admission::default() };
        AdmissionRead { version: Version(0), value, raw: Vec::new() }
    }

    #[test]
    fn a_surge_is_declared_and_renewed_in_its_second_half() {
        let now_ms = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let check = |surge, until, expect| assert_eq!(renewal(&admission(surge, until), now_ms, 60_000), expect);
        let declared = Some(now_ms + 60_000);
        check(8, None, declared);
        check(8, Some("2025-12-31T00:00:00Z"), declared);
        check(8, Some("no date"), declared);
        check(8, Some("2026-01-01T00:00:30Z"), declared);
        check(8, Some("2026-01-01T00:00:31Z"), None);
        check(4, None, None); // no more slots than there are anyway
    }

    #[test]
    fn a_region_never_seen_counts_where_a_surge_is_for_it() {
        let now_ms = "2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let down = Down { sure: vec!["a".to_owned()], maybe: vec!["b".to_owned(), "c".to_owned()] };
        let mut admission = admission(8, Some("2026-01-01T00:00:30Z")).value;
        assert_eq!(causes(&admission, &down, now_ms), ["a"]);
        admission.surge_for = vec!["b".to_owned()];
        assert_eq!(causes(&admission, &down, now_ms), ["a", "b"]);
        assert_eq!(causes(&admission, &down, now_ms + 30_000), ["a"], "over");
    }

    #[test]
    fn who_carries_whom() {
        let route = |region: &str, spill: &[(&str, f64)], order: &[&str]| Route {
            region: region.to_owned(),
            traffic: 1.0,
            spill: spill.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect(),
            order: order.iter().map(|to| (*to).to_owned()).collect(),
            residency: None,
        };
        let routing = Routing::new(vec![
            route("a", &[("b", 2.0), ("c", 1.0)], &["d"]),
            route("b", &[("a", 1.0)], &["d"]),
            route("c", &[("a", 1.0)], &["d"]),
            route("d", &[("b", 1.0)], &["a"]),
        ]);
        assert!(carries(&routing, "b", &["a"]) && carries(&routing, "c", &["a"]) && !carries(&routing, "d", &["a"]));
        assert!(carries(&routing, "d", &["a", "b", "c"]), "the last resort");
        assert!(!carries(&routing, "a", &["d"]), "d goes to b");
        assert!(carries(&routing, "a", &["d", "b"]), "unless b is down, too");
        assert!(!carries(&routing, "a", &[]));
    }
}
