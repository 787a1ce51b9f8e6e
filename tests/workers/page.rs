//! What a person reads of a run.

use crate::flags::Plan;
use crate::phases::Phase;
use crate::run::{Run, WOKEN_AT_MOST};
use crate::seen::SILENT;
use meridian::clock;
use std::fmt::Write as _;
use std::path::Path;

/// A phase in one line, when it is over.
pub fn line(phase: &Phase) -> String {
    let mut text = format!(
        "{}: {:.1} s; {:.0} writes/s, {:.0} reads/s; {} ids",
        phase.name, phase.seconds, phase.servers.writes_per_second, phase.servers.reads_per_second, phase.ids.ids
    );
    if !phase.reached {
        text.push_str("; NOT REACHED");
    }
    text
}

pub fn tables(run: &Run) -> String {
    let mut text = String::new();
    writeln!(
        text,
        "| phase | servers back | until all held | half held | p99 | slots | ids | longest gap | silent > {} s | refused |",
        SILENT.as_secs()
    )
    .unwrap();
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|").unwrap();
    for phase in &run.phases {
        let held = |f: fn(&crate::phases::Held) -> f64| {
            phase.held.as_ref().map_or("-".to_owned(), |h| format!("{:.2} s", f(h)))
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.0} ms | {} | {} |",
            phase.name,
            phase.servers_back.map_or("-".to_owned(), |back| format!("{back:.1} s")),
            held(|h| h.last),
            held(|h| h.p50),
            held(|h| h.p99),
            phase.held.map_or(0, |held| held.slots),
            phase.ids.ids,
            phase.ids.longest_gap_ms,
            phase.ids.silent_slots,
            phase.ids.refused,
        )
        .unwrap();
    }
    writeln!(text, "\n| phase | writes | writes/s | busiest second | write p50 / p99 / max ms | reads | reads/s | read p50 / p99 / max ms |").unwrap();
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|---:|").unwrap();
    for Phase { name, servers, .. } in &run.phases {
        let (write, read) = (servers.write_ms, servers.read_ms);
        writeln!(
            text,
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} / {:.0} / {:.0} | {:.0} | {:.0} | {:.0} / {:.0} / {:.0} |",
            servers.writes,
            servers.writes_per_second,
            servers.peak_writes_per_second,
            write.p50,
            write.p99,
            write.max,
            servers.reads,
            servers.reads_per_second,
            read.p50,
            read.p99,
            read.max,
        )
        .unwrap();
    }
    writeln!(text, "\n| phase | event | events watched for | watches set off | average | most |").unwrap();
    writeln!(text, "|---|---|---:|---:|---:|---:|").unwrap();
    for phase in &run.phases {
        for (event, fan_out) in phase.servers.fan_out.iter().filter(|(_, fan_out)| fan_out.events > 0.0) {
            writeln!(
                text,
                "| {} | {event} | {:.0} | {:.0} | {:.2} | {:.0} |",
                phase.name, fan_out.events, fan_out.watches, fan_out.average, fan_out.max
            )
            .unwrap();
        }
    }
    writeln!(text, "\n| phase | request of the keepers | count | p50 ms | p99 ms |").unwrap();
    writeln!(text, "|---|---|---:|---:|---:|").unwrap();
    for phase in &run.phases {
        for (request, numbers) in &phase.requests {
            let (p50, p99) = (numbers.p50_ms, numbers.p99_ms);
            writeln!(text, "| {} | {request} | {:.0} | {p50:.1} | {p99:.1} |", phase.name, numbers.count).unwrap();
        }
    }
    writeln!(text, "\n| phase | what happened to leases |").unwrap();
    writeln!(text, "|---|---|").unwrap();
    for phase in &run.phases {
        let events: Vec<String> = phase.events.iter().map(|(event, count)| format!("{event} {count:.0}")).collect();
        writeln!(text, "| {} | {} |", phase.name, events.join(", ")).unwrap();
    }
    for phase in run.phases.iter().filter(|phase| phase.departures > 0) {
        let each = phase.standbys_woken / phase.departures as f64;
        writeln!(
            text,
            "\n{} departures woke standbys {:.0} times: {each:.2} a departure (at most {WOKEN_AT_MOST} is asked for).",
            phase.departures, phase.standbys_woken
        )
        .unwrap();
    }
    write!(text, "\n{} ids, {} duplicates.", run.ids, run.duplicates).unwrap();
    text
}

pub fn write(path: &Path, run: &Run, plan: &Plan) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let text = format!(
        "# {slots} workers on one ensemble\n\n\
         Written by `make workers-full` (`cargo test --test workers -- --full`) on {date}: {cores} cores, Linux {kernel}, \
         load\naverage {load} at the end. Everything ran on this one machine: three real ZooKeeper servers (a heap of {heap} MB \
         each, ticks of\n200 ms, no fsync), four processes with the workers, and other work. All slots of {datacenters} \
         datacenter ids, one of each static;\neach worker has a session ({session:?}), a keeper and a grant (window {window:?}) \
         of its own, and draws 8 ids every 50 ms.\n{standbys} standbys wait: 11 for each datacenter's dynamic slots, a twin for \
         its static one.\n\n\
         * **claim all**: three processes start with {slots} workers; until all slots are held.\n\
         * **line up**: the standbys start; until all of them wait in their lines.\n\
         * **steady state**: nothing happens for {steady:?}.\n\
         * **a third killed**: one process with a third of the workers is killed (SIGKILL, no session closed). Times are from \
         the\n  kill; the servers notice when the sessions of {session:?} end.\n\
         * **ensemble restarted**: all three servers are killed and started again. Times are from the kill.\n\
         * **ensemble gone for longer than the sessions**: killed, and started again {outage:?} later; every session is lost.\n\n\
         Latencies are the servers' own (whole milliseconds; percentiles of the slowest server), except those of the keepers' \
         requests.\nA gap is the longest time a slot gave no id, seen from outside. A look reads some 110 znodes in five requests, \
         which count as\nfive reads.\n\n\
         Before the servers are back nobody can attach. On few cores that takes them long: they start against thousands of\nattempts \
         to connect. A slot goes on issuing to its ceiling, at least 0.6 windows after the kill; what is silent\nhad not \
         attached by then, or had lost its slot to a standby.\n\n{tables}\n",
        slots = run.slots,
        date = &clock::timestamp()[..10],
        kernel = kernel.trim(),
        heap = plan.heap_mb,
        datacenters = plan.datacenters,
        session = plan.session,
        window = plan.window,
        standbys = run.standbys,
        steady = plan.steady,
        outage = plan.outage,
        tables = tables(run),
    );
    std::fs::write(path, text).expect("the page is written");
}
