//! What was found, and the page it is written to.

use crate::support::Drawn;
use meridian::census::{Bounds, Census};
use meridian::clock;
use meridian::id::SNOWFLAKE64;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/availability.md");

/// What a number is held to.
#[derive(Clone, Debug, PartialEq)]
pub enum Promise {
    /// Every run: this at most. Else it is broken.
    Most(f64),
    /// Shown beside the number, which may miss it.
    Aim(&'static str),
    /// Just told.
    None,
}

/// Number by number, what the runs of one scenario found.
#[derive(Default)]
pub struct Findings {
    /// Which run it is, from 0: so that not every run begins at the same moment of the lease's round.
    pub run: u32,
    rows: Vec<Row>,
    drawn: Vec<Drawn>,
}

struct Row {
    what: &'static str,
    promise: Promise,
    unit: &'static str,
    values: Vec<f64>,
}

impl Findings {
    pub fn zero(&mut self, what: &'static str, count: usize) {
        self.add(what, Promise::Most(0.0), "", count as f64);
    }

    pub fn ms(&mut self, what: &'static str, promise: Promise, ms: f64) {
        self.add(what, promise, " ms", ms);
    }

    pub fn add(&mut self, what: &'static str, promise: Promise, unit: &'static str, value: f64) {
        match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { what, promise, unit, values: vec![value] }),
        }
    }

    /// Ids that are compared with all others of the scenario at its end.
    pub fn drawn(&mut self, drawn: impl IntoIterator<Item = Drawn>) {
        self.drawn.extend(drawn);
    }

    /// Compares all ids that were drawn.
    pub fn settle(&mut self) {
        let mut census = Census::new(SNOWFLAKE64, Bounds::default(), std::env::temp_dir());
        let disordered: usize = self.drawn.iter().map(Drawn::disordered).sum();
        for range in std::mem::take(&mut self.drawn).iter().flat_map(|drawn| &drawn.ranges) {
            census.add(*range).expect("it fits into memory");
        }
        let tally = census.finish().expect("it fits into memory");
        self.add("ids drawn, all runs", Promise::None, "", tally.ids as f64);
        self.add("ids given twice, all runs", Promise::Most(0.0), "", tally.duplicates as f64);
        self.zero("answers below an earlier one of their slot, all runs", disordered);
    }

    pub fn broken(&self) -> bool {
        self.rows.iter().any(Row::broken)
    }

    pub fn table(&self) -> String {
        let mut text = "| what | promise | median | min | max | n |\n|---|---|---:|---:|---:|---:|\n".to_owned();
        self.rows.iter().for_each(|row| row.write(&mut text));
        text
    }
}

impl Row {
    fn broken(&self) -> bool {
        matches!(self.promise, Promise::Most(most) if self.values.iter().any(|value| *value > most))
    }

    fn write(&self, text: &mut String) {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
        let number = |value: f64| match value.fract() == 0.0 {
            true => format!("{value:.0}"),
            false if value.abs() < 100.0 => format!("{value:.2}"),
            false => format!("{value:.0}"),
        };
        let (median, min, max) = (number(median), number(values[0]), number(values[n - 1]));
        let promise = match &self.promise {
            Promise::Most(most) if *most == 0.0 => "0".to_owned(),
            Promise::Most(most) => format!("at most {}{}", number(*most), self.unit),
            Promise::Aim(aim) => (*aim).to_owned(),
            Promise::None => String::new(),
        };
        let bold = if self.broken() { "**" } else { "" };
        let what = self.what;
        writeln!(
            text,
            "| {bold}{what}{bold} | {promise} | {bold}{median}{}{bold} | {min} | {bold}{max}{bold} | {n} |",
            self.unit
        )
        .expect("a string takes any text");
    }
}

/// The page, by scenario.
pub struct Page {
    sections: BTreeMap<String, String>,
}

impl Page {
    /// As it stands, so that a scenario can be measured alone.
    pub fn read() -> Page {
        let text = std::fs::read_to_string(PAGE).unwrap_or_default();
        let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
        Page { sections: sections.map(|(name, text)| (name.to_owned(), text.trim().to_owned())).collect() }
    }

    pub fn put(&mut self, name: &str, what: &str, findings: &Findings) {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let section = format!(
            "{what}\n\n`cargo bench --bench availability -- {name}`, {}, {cores} cores, Linux {}, load average {} at the \
             end\n\n{}",
            &clock::timestamp()[..10],
            kernel.trim(),
            load.split(' ').next().unwrap_or("?"),
            findings.table(),
        );
        self.sections.insert(name.to_owned(), section.trim().to_owned());
    }

    pub fn write(&self, order: &[&str]) {
        let mut text = "# Availability\n\n\
             What clients notice of what happens to a region. Written by `cargo bench --bench availability`: the release \
             binary from outside, over loopback, against three real ZooKeeper servers on the same machine (tickTime 500 \
             ms); session 6 s, window 30 s, first window 5 s, as in the manifest. Clients ask without a break, for one id, \
             300 packed ids and a range of 6,000 by turns, unless it says otherwise; ids of all runs of a scenario are \
             compared exactly. *Refused* is any status but 200, *lost* is a request without a whole answer. Other work ran \
             on the machine.\n\nA broken promise would stand in bold.\n"
            .to_owned();
        for (name, section) in order.iter().filter_map(|name| Some((name, self.sections.get(*name)?))) {
            write!(text, "\n## {name}\n\n{section}\n").expect("a string takes any text");
        }
        std::fs::write(PAGE, text).expect("the page is written");
    }
}
