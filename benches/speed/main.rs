//! How fast a node is, beside others that do the least that could be done, in one run on one machine.
//!
//! `cargo bench --bench speed [-- [--smoke] [SECTION…]]` (`make speed`) writes `docs/results/speed.md`, a section each;
//! those that did not run keep theirs. With `--smoke` everything runs for a moment, and nothing is written or judged.
//! Nothing here fails for being slow; an id given twice, or an answer that is wrong, does.

#[path = "../../tests/support/mod.rs"]
mod support;

mod bare;
mod connection;
mod epoll;
mod grpc;
mod http2;
mod message;
mod offer;
mod page;
mod picture;
mod process;
mod rate;
mod sections;
mod subjects;
mod unique;
mod wrk;

use bare::Version;
use page::{Page, Table};
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use support::Ensemble;

/// How long and how often things are measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub time: Duration,
    /// Of what is asked at a fixed rate.
    pub long: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// Every step of a ladder, and not only its ends.
    pub whole: bool,
}

impl Effort {
    /// The steps that are measured.
    pub fn of<T: Copy>(&self, steps: &[T]) -> Vec<T> {
        let last = steps.len() - 1;
        let wanted = |(n, step): (usize, &T)| (self.whole || n == 0 || n == last).then_some(*step);
        steps.iter().enumerate().filter_map(wanted).collect()
    }
}

const WHOLE: Effort =
    Effort { rounds: 3, time: Duration::from_secs(5), long: Duration::from_secs(60), connections: 10_000, whole: true };

const SMOKE: Effort =
    Effort { rounds: 1, time: Duration::from_secs(1), long: Duration::from_secs(1), connections: 100, whole: false };

/// A section of the page.
pub struct Section {
    pub name: &'static str,
    pub about: &'static str,
    pub run: fn(Effort, &Ensemble) -> Table,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    for (argument, version) in [(bare::ARGUMENT, Version::One), (bare::ARGUMENT_OF_HTTP2, Version::Two)] {
        if arguments.iter().any(|given| given == argument) {
            bare::serve(version);
            return ExitCode::SUCCESS;
        }
    }
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != "--smoke").collect();
    let names = sections::ALL.map(|section| section.name);
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        eprintln!("speed: there is no section {unknown}; choose among {}", names.join(", "));
        return ExitCode::from(2);
    }
    process::stay_off_the_servers();
    let effort = if smoke { SMOKE } else { WHOLE };
    let ensemble = Ensemble::standalone();
    let mut page = Page::read();
    for section in sections::ALL.iter().filter(|section| wanted.is_empty() || wanted.contains(&section.name)) {
        say(section.name);
        let table = (section.run)(effort, &ensemble);
        println!("{}\n{}", section.name, table.text());
        page.put(section, table);
        if !smoke {
            page.write(&names);
        }
    }
    ExitCode::SUCCESS
}

/// What is under way, for a person who waits.
pub fn say(what: &str) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = writeln!(err, "speed: {what}");
    }
}
