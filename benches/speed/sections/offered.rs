//! The curve over what is asked: from little to more than can be answered.

use super::{ID, own};
use crate::offer::{Offered, offer};
use crate::page::{Picture, Table, median, number, percent};
use crate::picture::{Step, draw};
use crate::support::Ensemble;
use crate::unique::Unique;
use crate::{Effort, Section, say, subjects, wrk};

pub const SECTION: Section = Section {
    name: "offered",
    about: "One id a request over HTTP/1.1 at a rate that is offered whatever is answered, over 256 connections. A request is \
            due at its time, is sent by the first connection that is free, and its latency counts from when it was due; what \
            could not be sent by the end counts with as long as it had waited by then, so that past the limit latency is how \
            far the node had fallen behind. The ladder ends when less than 90 % was answered twice. No id came twice over all \
            of it. The client is one thread on a processor of its own: a rate at which that is near 100 % is the client's limit, \
            one at which the node's is near 100 % the node's, and if neither is, somebody else had the machine. The last row is \
            what `wrk -t1 -c256` gets by asking again as soon as it is answered.",
    run: offered,
};

const RATES: [u64; 14] = [
    10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 140_000, 160_000, 180_000, 200_000, 240_000, 280_000,
    320_000,
];

const CONNECTIONS: usize = 256;

/// Of what is offered; below it, the limit is passed.
const ENOUGH: f64 = 0.9;

fn offered(effort: Effort, ensemble: &Ensemble) -> Table {
    subjects::need("wrk");
    let own = own(ensemble);
    let mut unique = Unique::new();
    let mut table = Table::new(&[
        "offered/s",
        "answered/s",
        "p50",
        "p99",
        "p99.9",
        "refused",
        "errors",
        "node, of a core",
        "client, of a core",
    ]);
    let (mut steps, mut missed) = (Vec::new(), 0);
    for rate in effort.of(&RATES) {
        let runs: Vec<Offered> = (1..=effort.rounds)
            .map(|round| {
                say(&format!("  {rate} a second, {round} of {}", effort.rounds));
                let mut found = offer(&own.node, rate, CONNECTIONS, effort.time);
                unique.add(std::mem::take(&mut found.ids));
                found
            })
            .collect();
        let ms = |q: f64| median(&runs, |found| found.latency.value_at_quantile(q) as f64 / 1_000.0);
        let answered = median(&runs, |found| found.answered_per_second);
        table.row([
            number(rate as f64),
            number(answered),
            format!("{} ms", number(ms(0.5))),
            format!("{} ms", number(ms(0.99))),
            format!("{} ms", number(ms(0.999))),
            number(runs.iter().map(|found| found.refused as f64).sum()),
            number(runs.iter().map(|found| found.errors as f64).sum()),
            percent(median(&runs, |found| found.server)),
            percent(median(&runs, |found| found.client)),
        ]);
        steps.push(Step { at: rate as f64, answered_per_second: answered, p99_ms: ms(0.99) });
        missed += u32::from(answered < rate as f64 * ENOUGH);
        if missed == 2 {
            break;
        }
    }
    unique.check();
    let runs: Vec<_> = (0..effort.rounds).map(|_| wrk::run(&own.node, ID, CONNECTIONS, 1, effort.time)).collect();
    let rate = median(&runs, |told| told.per_second);
    table.row([
        "as answered (wrk)".to_owned(),
        number(rate),
        format!("{} ms", number(median(&runs, |told| told.p50_ms))),
        format!("{} ms", number(median(&runs, |told| told.p99_ms))),
        "".to_owned(),
        number(runs.iter().map(|told| told.refused as f64).sum()),
        number(runs.iter().map(|told| (told.errors - told.refused) as f64).sum()),
        percent(median(&runs, |told| told.per_second * told.cpu_us / 1e6)),
        "".to_owned(),
    ]);
    table.picture(Picture {
        file: "speed-offered.svg",
        shows: "answered ids a second, and p99 of their latency, over the rate that is offered",
        svg: draw("Offered rate", "requests offered a second", &steps),
    });
    table
}
