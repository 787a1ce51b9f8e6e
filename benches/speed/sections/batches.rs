//! How many ids a request should ask for, and in which form.

use super::{FORMAT, NEXT, RANGES, own};
use crate::grpc;
use crate::page::{Table, median, number, percent};
use crate::rate::{self, Bulk};
use crate::subjects::Subject;
use crate::support::Ensemble;
use crate::{Effort, Section, say};
use std::time::Duration;

pub const SECTION: Section = Section {
    name: "batches",
    about: "So many ids a request, on one connection, one request after the other, in each form they come in; the receiver \
            reads every id, or range, and finds it above the one before. For ranges the ids in them are counted. The reference \
            is the format: 4,096,000 ids a second for one worker. A number is of one second, in which up to ten milliseconds \
            that passed unused before it are made up for, so it may come out a little above.",
    run: batches,
};

const COUNTS: [u64; 5] = [1, 16, 256, 4_096, 65_536];

/// A form, and one request in it after the other.
type Form = (&'static str, fn(&Subject, u64, Duration) -> Bulk);

const FORMS: [Form; 5] = [
    ("JSON list", |node, count, time| rate::lists(node, count as usize, time)),
    ("eight bytes an id", rate::bytes),
    ("JSON ranges", rate::ranges),
    ("gRPC `Next`", |node, count, time| grpc::ids(node, NEXT, count, time)),
    ("gRPC `Ranges`", |node, count, time| grpc::ranges(node, RANGES, count, time)),
];

fn batches(effort: Effort, ensemble: &Ensemble) -> Table {
    let own = own(ensemble);
    let mut table = Table::new(&["ids a request", "form", "ids/s", "of the format", "of a core", "CPU a million ids"]);
    for count in effort.of(&COUNTS) {
        let mut runs: Vec<Vec<Bulk>> = FORMS.iter().map(|_| Vec::new()).collect();
        for round in 1..=effort.rounds {
            for ((form, measure), runs) in FORMS.iter().zip(&mut runs) {
                say(&format!("  {count} as {form}, {round} of {}", effort.rounds));
                runs.push(measure(&own.node, count, effort.time / 5));
            }
        }
        for ((form, _), runs) in FORMS.iter().zip(&runs) {
            let ids = median(runs, |bulk| bulk.ids_per_second);
            table.row([
                number(count as f64),
                form.to_string(),
                number(ids),
                percent(ids / FORMAT),
                percent(median(runs, |bulk| bulk.cpu)),
                format!("{} us", number(median(runs, |bulk| bulk.cpu * 1e12 / bulk.ids_per_second))),
            ]);
        }
    }
    table
}
