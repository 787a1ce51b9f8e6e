//! What clients see of it when ZooKeeper is in trouble.

use super::own_of;
use crate::page::{Table, median, number, percent, quantile};
use crate::process::give_way;
use crate::rate::{Beside, Paced, fixed};
use crate::subjects::{Place, Subject};
use crate::support::web::get;
use crate::support::{Ensemble, block_until};
use crate::unique::Unique;
use crate::{Effort, Section, say};
use serde_json::Value;
use std::time::Duration;

pub const SECTION: Section = Section {
    name: "trouble",
    about: "The same as `rate`, 10,000 requests a second over 16 connections for half a minute, while ZooKeeper, three servers \
            for this section alone, is in trouble: nothing; its leader killed midway; all servers standing still for 5 s midway, \
            with their connections open, and going on; all servers killed midway, so that there are none for the last 15 s, \
            while the ceiling of the lease is at least 18 s ahead when they go. Each request is due at its time, and its latency \
            counts from then. Servers are started again between runs, and not within one: three of them starting take the \
            client's processor from it for longer than anything the node does. No id came twice over all of it; errors are \
            answers that were no id.",
    run: trouble,
};

#[derive(Clone, Copy)]
enum Trouble {
    None,
    Leader,
    Still,
    All,
}

const TROUBLES: [(Trouble, &str); 4] = [
    (Trouble::None, "quiet"),
    (Trouble::Leader, "the leader killed"),
    (Trouble::Still, "all servers stand still for 5 s"),
    (Trouble::All, "all servers killed, none for 15 s"),
];

const STILL: Duration = Duration::from_secs(5);

/// The least that is left of a window of 30 s, renewed after 0.4 of it.
const CEILING_MS: u64 = 18_000;

fn trouble(effort: Effort, _: &Ensemble) -> Table {
    let mut ensemble = Ensemble::three();
    yield_all(&ensemble);
    let own = own_of(&Place::on(&ensemble).present(effort.whole));
    let mut unique = Unique::new();
    let mut all: Vec<Vec<Paced>> = TROUBLES.iter().map(|_| Vec::new()).collect();
    for round in 1..=effort.rounds {
        for ((trouble, name), runs) in TROUBLES.iter().zip(&mut all) {
            say(&format!("  {name}, {round} of {}", effort.rounds));
            await_ceiling(&own.node);
            let mut paced = under(&mut ensemble, *trouble, &own.node, effort.long / 2);
            unique.add(std::mem::take(&mut paced.ids));
            runs.push(paced);
            ensemble.wait_serving();
        }
    }
    unique.check();
    let mut table = Table::new(&["ZooKeeper", "requests/s", "p50", "p99", "p99.9", "longest", "errors", "of a core"]);
    for ((_, name), runs) in TROUBLES.iter().zip(&all) {
        let quantile = |q: f64| quantile(runs, |paced: &Paced| &paced.latency, q);
        table.row([
            name.to_string(),
            number(median(runs, |paced| paced.per_second)),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            quantile(1.0),
            number(runs.iter().map(|paced| paced.errors as f64).sum()),
            percent(median(runs, |paced| paced.cpu)),
        ]);
    }
    table
}

/// Asks while it happens. Afterwards all servers run again, or are about to.
fn under(ensemble: &mut Ensemble, trouble: Trouble, node: &Subject, time: Duration) -> Paced {
    let leader = ensemble.leader();
    let paced = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Midway is a time, and nothing else to wait for.
            std::thread::sleep(time / 2);
            match trouble {
                Trouble::None => {}
                Trouble::Leader => ensemble.kill(leader),
                Trouble::Still => {
                    (0..ensemble.len()).for_each(|server| ensemble.pause(server));
                    std::thread::sleep(STILL.min(time / 4));
                    (0..ensemble.len()).for_each(|server| ensemble.resume(server));
                }
                Trouble::All => ensemble.stop_all(),
            }
        });
        fixed(node, 10_000, 16, time, Beside::Apart)
    });
    match trouble {
        Trouble::None | Trouble::Still => {}
        Trouble::Leader => ensemble.restart(leader),
        Trouble::All => ensemble.start_all(),
    }
    yield_all(ensemble);
    paced
}

fn yield_all(ensemble: &Ensemble) {
    (0..ensemble.len()).for_each(|server| give_way(ensemble.pid(server)));
}

/// Waits until the node could go on for long without ZooKeeper, as it always can but right after trouble.
fn await_ceiling(node: &Subject) {
    block_until("a ceiling far ahead", || {
        let health = get(&format!("http://{}", node.address), "/api/v1/health", "*/*").ok()?;
        let health: Value = serde_json::from_slice(&health.body).expect("JSON");
        let lease = health["checks"]["lease"]["observed"].as_str()?;
        let left: u64 = lease.strip_prefix("holding, ")?.split(' ').next()?.parse().ok()?;
        (left >= CEILING_MS).then_some(())
    });
}
