//! When what a step waits for has come, by the record alone.

use super::record::{Change, End, Record};
use super::script::Goal;

/// How long an answer must have been gone, or back, to be so for good.
const SETTLED_S: f64 = 1.0;
/// So many requests in a row make a client well: a second's.
const CALLS: usize = 20;

/// What the step belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub goal: Goal,
    pub down: &'a [usize],
    /// Networks that have clients, and regions whose standbys must issue.
    pub networks: &'a [usize],
    pub surging: &'a [usize],
    /// When it broke.
    pub since_s: f64,
}

pub fn met(record: &Record, case: &Case<'_>, now_s: f64) -> bool {
    let Case { goal, down, networks, surging, since_s } = *case;
    let own = |client: usize, by: usize| client == by;
    match goal {
        Goal::Switched => {
            answered(record, networks, now_s)
                && now_s - last_answer(record, since_s, |_, to| down.contains(&to)) >= SETTLED_S
        }
        Goal::Home => {
            answered(record, networks, now_s)
                && now_s - last_answer(record, since_s, |at, to| !own(at, to)) >= SETTLED_S
        }
        Goal::ClientsServed | Goal::Empty => served(record, networks, since_s, |_, by| !down.contains(&by)),
        Goal::ClientsHome => served(record, networks, since_s, own),
        Goal::Surged => surging.iter().all(|wanted| {
            let later = record.events.iter().rev().take_while(|event| event.at_s >= since_s);
            later.into_iter().any(|event| matches!(event.change, Change::Standby { region, .. } if region == *wanted))
        }),
        Goal::Settled => !record.alarmed(),
    }
}

/// Every network was answered lately.
fn answered(record: &Record, networks: &[usize], now_s: f64) -> bool {
    let late = record.looks.iter().rev().take_while(|look| look.at_s > now_s - SETTLED_S);
    let seen: Vec<usize> = late.filter(|look| look.answered.is_some()).map(|look| look.network).collect();
    networks.iter().all(|network| seen.contains(network))
}

/// When an answer of this kind came last; `since_s` if none did.
fn last_answer(record: &Record, since_s: f64, kind: impl Fn(usize, usize) -> bool) -> f64 {
    let looks = record.looks.iter().rev().take_while(|look| look.at_s >= since_s);
    let mut of_kind = looks.filter(|look| look.answered.is_some_and(|to| kind(look.network, to)));
    of_kind.next().map_or(since_s, |look| look.at_s)
}

/// The last requests of every client were served by whom they should.
fn served(record: &Record, clients: &[usize], since_s: f64, right: impl Fn(usize, usize) -> bool) -> bool {
    clients.iter().all(|client| {
        let calls = record.calls.iter().rev().filter(|call| call.client == *client && call.at_s >= since_s).take(CALLS);
        let well = calls.filter(|call| matches!(call.end, End::Served(by) if right(*client, by))).count();
        well == CALLS
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::record::{Call, Look};

    fn case(goal: Goal) -> Case<'static> {
        Case { goal, down: &[0], networks: &[0, 1], surging: &[1], since_s: 10.0 }
    }

    fn record(answers: &[(f64, usize, usize)]) -> Record {
        let mut record = Record::new(vec!["a".to_owned(), "b".to_owned()]);
        for (at_s, network, to) in answers {
            record.look(Look { at_s: *at_s, network: *network, answered: Some(*to) });
        }
        record
    }

    #[test]
    fn an_answer_is_gone_when_it_has_stayed_away() {
        let looks = [(9.0, 0, 0), (11.0, 0, 0), (11.5, 0, 1), (12.0, 1, 1), (12.3, 0, 1)];
        assert!(!met(&record(&looks[..4]), &case(Goal::Switched), 11.9));
        assert!(met(&record(&looks), &case(Goal::Switched), 12.4));
        assert!(!met(&record(&looks), &case(Goal::Switched), 20.0), "nobody was asked lately");
        assert!(!met(&record(&looks), &case(Goal::Home), 12.4));
        let back = [(12.0, 0, 1), (13.4, 0, 0), (13.4, 1, 1)];
        assert!(met(&record(&back), &case(Goal::Home), 13.5));
    }

    #[test]
    fn a_client_is_well_after_a_second_of_requests() {
        let mut record = record(&[]);
        let mut calls = |by, count| {
            for _ in 0..count {
                for client in [0, 1] {
                    record.call(Call { at_s: 12.0, client, to: Some(by), end: End::Served(by) }, 12.0);
                }
            }
            [Goal::ClientsServed, Goal::ClientsHome].map(|goal| met(&record, &case(goal), 13.0))
        };
        assert_eq!(calls(1, 19), [false, false]);
        assert_eq!(calls(1, 1), [true, false]);
        assert_eq!(calls(0, 1), [false, false]);
    }
}
