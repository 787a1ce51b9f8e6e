//! The page that results are written to, and the numbers on it.

use crate::Section;
use crate::rate::Latency;
use meridian::clock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/speed.md");

/// Rows of text below names of columns; the first is text, the others numbers.
pub struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
    picture: Option<Picture>,
}

/// The same numbers to look at: a file beside the page.
pub struct Picture {
    pub file: &'static str,
    /// What is seen on it, for those who do not see it.
    pub shows: &'static str,
    pub svg: String,
}

impl Table {
    pub fn new(columns: &'static [&'static str]) -> Table {
        Table { columns, rows: Vec::new(), picture: None }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub fn picture(&mut self, picture: Picture) {
        self.picture = Some(picture);
    }

    pub fn text(&self) -> String {
        let mut text = format!("| {} |\n|---|", self.columns.join(" | "));
        text.push_str(&"---:|".repeat(self.columns.len() - 1));
        text.push('\n');
        for row in &self.rows {
            writeln!(text, "| {} |", row.join(" | ")).expect("a string takes any text");
        }
        text
    }
}

/// The middle of some measurements of one thing.
pub fn median<T>(runs: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

/// The middle of this quantile of some runs.
pub fn quantile<T>(runs: &[T], latency: impl Fn(&T) -> &Latency, q: f64) -> String {
    format!("{} ms", number(median(runs, |run| latency(run).value_at_quantile(q) as f64 / 1_000.0)))
}

/// Three digits that count, thousands apart.
pub fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 100.0 {
        let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 4) as usize;
        return format!("{value:.digits$}");
    }
    let whole = format!("{value:.0}");
    let mut spaced = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n) % 3 == 0 {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    spaced
}

pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

pub fn times(ratio: f64) -> String {
    format!("{}x", number(ratio))
}

/// The page, by section.
pub struct Page {
    sections: BTreeMap<String, String>,
    /// Drawn since it was read, by file.
    pictures: BTreeMap<&'static str, String>,
}

impl Page {
    /// As it stands, so that a section can be measured alone.
    pub fn read() -> Page {
        let text = std::fs::read_to_string(PAGE).unwrap_or_default();
        let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
        let sections = sections.map(|(name, text)| (name.to_owned(), text.trim().to_owned())).collect();
        Page { sections, pictures: BTreeMap::new() }
    }

    pub fn put(&mut self, section: &Section, table: Table) {
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": ?");
        let count = processors.lines().filter(|line| line.starts_with("processor")).count();
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let seen = table.picture.as_ref().map(|picture| format!("\n![{}]({})\n", picture.shows, picture.file));
        let text = format!(
            "{}\n\n`cargo bench --bench speed -- {}`, {}, {count} cores of {}, Linux {}, load average {} at the end\n{}\n{}",
            section.about,
            section.name,
            &clock::timestamp()[..10],
            model.trim_start_matches([' ', '\t', ':']),
            kernel.trim(),
            load.split(' ').next().unwrap_or("?"),
            seen.unwrap_or_default(),
            table.text(),
        );
        self.pictures.extend(table.picture.map(|picture| (picture.file, picture.svg)));
        self.sections.insert(section.name.to_owned(), text.trim().to_owned());
    }

    pub fn write(&self, order: &[&str]) {
        let mut text = "# Speed\n\n\
             A node beside others that do the least that could be done. Written by `cargo bench --bench speed` (`make \
             speed`): release binaries over loopback, the node on a real ZooKeeper with metrics, health and limits on. \
             Whoever serves runs on the first processor, and whoever asks on the others. Unless a section says otherwise a \
             number is a median of three rounds, in which the subjects follow each other, so that ratios stand although \
             the machine is shared.\n"
            .to_owned();
        for (name, section) in order.iter().filter_map(|name| Some((name, self.sections.get(*name)?))) {
            write!(text, "\n## {name}\n\n{section}\n").expect("a string takes any text");
        }
        std::fs::write(PAGE, text).expect("the page is written");
        for (file, svg) in &self.pictures {
            std::fs::write(Path::new(PAGE).with_file_name(file), svg).expect("the picture is written");
        }
    }
}
