//! What a run showed, in numbers: for people, for machines, and as a page.

use crate::play::{Played, Struck};
use crate::schedule::{Fault, PLACES, QUOTA};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A run that draws less than this a second shows nothing.
pub const IDS_A_SECOND: u64 = 2 * 10_000_000 / 60;

/// A node that did not issue for this long before it did is one that took over.
const NEW_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: f64,
    pub ids: u64,
    pub duplicates: u64,
    pub out_of_order: usize,
    pub faults: Vec<KindOfFault>,
    pub nodes: Vec<OneNode>,
    pub said: BTreeMap<&'static str, usize>,
    /// From the end of the last fault until every slot of the quota was issued from.
    pub recovered_s: Option<f64>,
    pub ok: bool,
    pub why: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct KindOfFault {
    pub fault: &'static str,
    pub n: usize,
    /// Nobody of the region issued, while the fault lasted or from its end on.
    pub region_silent_ms: Spread,
    /// Fewer nodes issued than before the fault.
    /// (At most the quota is counted.)
    pub below_strength_ms: Spread,
    /// From the fault until another node issued in place of the one that was struck.
    pub hand_over_ms: Option<Spread>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub n: usize,
    pub p50: u64,
    pub max: u64,
}

#[derive(Debug, Serialize)]
pub struct OneNode {
    pub node: &'static str,
    pub ids: u64,
    pub answers: u64,
    pub refused: BTreeMap<String, u64>,
    pub lost: u64,
    /// Of all requests, those that were refused.
    pub refused_share: f64,
    /// Of the run, the time in which ids came.
    pub served_share: f64,
}

impl Report {
    pub fn of(seed: u64, played: &Played) -> Report {
        let strength = Strength::of(played);
        let mut kinds: BTreeMap<&'static str, Vec<&Struck>> = BTreeMap::new();
        for struck in &played.struck {
            kinds.entry(struck.step.fault.kind()).or_default().push(struck);
        }
        let faults = kinds.into_iter().map(|(fault, struck)| strength.kind(fault, &struck, played)).collect();
        let nodes = PLACES.iter().zip(&played.received).map(|((node, _), received)| {
            let refusals: u64 = received.refused.values().sum();
            let requests = received.answers + refusals + received.lost;
            let served: Duration = received.served.iter().map(|(from, to)| *to - *from).sum();
            OneNode {
                node,
                ids: received.ids,
                answers: received.answers,
                refused: received.refused.clone(),
                lost: received.lost,
                refused_share: refusals as f64 / requests.max(1) as f64,
                served_share: served.as_secs_f64() / played.lasted.as_secs_f64(),
            }
        });
        let disorder: Vec<&String> = played.received.iter().flat_map(|received| &received.disorder).collect();
        let mut why = Vec::new();
        if played.tally.duplicates > 0 {
            why.push(format!("{} ids were given twice", played.tally.duplicates));
            why.extend(played.repeats.iter().cloned());
        }
        why.extend(disorder.iter().take(5).map(|disorder| format!("ids went back: {disorder}")));
        if played.recovered.is_none() && !played.interrupted {
            why.push("after the last fault the slots of the quota were not all taken again".to_owned());
        }
        if played.said.get("panicked").is_some_and(|times| *times > 0) {
            why.push("a node panicked: its log says where (--keep DIR)".to_owned());
        }
        let least = IDS_A_SECOND * played.lasted.as_secs();
        if played.tally.ids < least {
            why.push(format!("only {} ids were drawn; under {least}, nothing is shown", played.tally.ids));
        }
        Report {
            seed,
            seconds: (played.lasted.as_secs_f64() * 10.0).round() / 10.0,
            ids: played.tally.ids,
            duplicates: played.tally.duplicates,
            out_of_order: disorder.len(),
            faults,
            nodes: nodes.collect(),
            said: played.said.clone(),
            recovered_s: played.recovered.map(|recovered| (recovered.as_secs_f64() * 100.0).round() / 100.0),
            ok: why.is_empty(),
            why,
        }
    }

    /// Tables in Markdown, which a person reads as well.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("a string takes any text");
        line(format!(
            "{} ids in {} s, **{} duplicates**, {} out of order; all slots issued from again {} after the last fault.",
            thousands(self.ids),
            self.seconds,
            self.duplicates,
            self.out_of_order,
            self.recovered_s.map_or("never".to_owned(), |s| format!("{s} s"))
        ));
        line(String::new());
        line("| fault | n | nobody issued, ms: p50 | max | fewer issued than before, ms: p50 | max | another took over after, ms: n | p50 | max |".to_owned());
        line("|---|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned());
        for kind in &self.faults {
            let hand_over = kind
                .hand_over_ms
                .map_or("0 | - | -".to_owned(), |over| format!("{} | {} | {}", over.n, over.p50, over.max));
            line(format!(
                "| {} | {} | {} | {} | {} | {} | {hand_over} |",
                kind.fault,
                kind.n,
                kind.region_silent_ms.p50,
                kind.region_silent_ms.max,
                kind.below_strength_ms.p50,
                kind.below_strength_ms.max
            ));
        }
        line(String::new());
        line("| node | ids | answers | issuing | refused | of them | no answer |".to_owned());
        line("|---|---:|---:|---:|---:|---|---:|".to_owned());
        for node in &self.nodes {
            let refused: Vec<String> = node.refused.iter().map(|(code, count)| format!("{code} {count}")).collect();
            line(format!(
                "| {} | {} | {} | {:.0} % | {:.1} % | {} | {} |",
                node.node,
                thousands(node.ids),
                node.answers,
                node.served_share * 100.0,
                node.refused_share * 100.0,
                refused.join(", "),
                node.lost
            ));
        }
        line(String::new());
        let said: Vec<String> = self.said.iter().map(|(saying, times)| format!("{saying} {times}")).collect();
        line(format!("The nodes' logs: {}.", said.join(", ")));
        text
    }
}

/// How many nodes issued, over time.
struct Strength {
    /// From this moment on, so many.
    changes: Vec<(Duration, usize)>,
    end: Duration,
}

impl Strength {
    fn of(played: &Played) -> Strength {
        let mut steps: Vec<(Duration, i64)> = Vec::new();
        for (from, to) in played.received.iter().flat_map(|received| &received.served) {
            steps.push((*from, 1));
            steps.push((*to, -1));
        }
        // Up before down, so that a hand-over without a gap shows none.
        steps.sort_unstable_by_key(|(at, change)| (*at, -change));
        let mut now = 0;
        let changes = steps.into_iter().map(|(at, change)| {
            now += change;
            (at, now as usize)
        });
        Strength { changes: changes.collect(), end: played.lasted }
    }

    /// The longest time with such a count that began before `to`, or was under way at `from`: what lies behind `from` of
    /// it, to its end.
    fn longest(&self, from: Duration, to: Duration, such: impl Fn(usize) -> bool) -> Duration {
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([self.end]);
        let mut longest = Duration::ZERO;
        let mut since: Option<Duration> = None;
        for ((start, count), end) in self.changes.iter().zip(ends).filter(|(_, end)| *end > from) {
            let start = (*start).max(from);
            if since.is_none() && start > to {
                break;
            }
            if such(*count) {
                let since = *since.get_or_insert(start);
                longest = longest.max(end - since);
            } else {
                since = None;
            }
        }
        longest
    }

    fn kind(&self, fault: &'static str, struck: &[&Struck], played: &Played) -> KindOfFault {
        let silent = struck.iter().map(|struck| self.silent(struck)).collect();
        let below = struck.iter().map(|struck| self.below(struck)).collect();
        let over: Vec<Duration> = struck.iter().filter_map(|struck| hand_over(struck, played)).collect();
        KindOfFault {
            fault,
            n: struck.len(),
            region_silent_ms: spread(silent).expect("at least one"),
            below_strength_ms: spread(below).expect("at least one"),
            hand_over_ms: spread(over),
        }
    }

    fn silent(&self, struck: &Struck) -> Duration {
        self.longest(struck.begun, struck.ended.unwrap_or(struck.begun), |count| count == 0)
    }

    fn below(&self, struck: &Struck) -> Duration {
        // A moment of more than the quota (a paused holder and its successor) is no measure for later.
        let before = self.at(struck.begun).min(usize::from(QUOTA));
        self.longest(struck.begun, struck.ended.unwrap_or(struck.begun), |count| count < before)
    }

    fn at(&self, moment: Duration) -> usize {
        let next = self.changes.partition_point(|(at, _)| *at <= moment);
        next.checked_sub(1).map_or(0, |last| self.changes[last].1)
    }
}

/// Of a fault that takes a node away which issued: until one issues that did not.
fn hand_over(struck: &Struck, played: &Played) -> Option<Duration> {
    let takes_away = matches!(
        struck.step.fault,
        Fault::Pause(_) | Fault::PauseTwo(_) | Fault::Kill(_) | Fault::Restart(_) | Fault::PauseTwin | Fault::BothTwins
    );
    let (victim, issued) = *struck.places.first()?;
    if !takes_away || !issued {
        return None;
    }
    let until = struck.ended.unwrap_or(struck.begun);
    let others = played.received.iter().enumerate().filter(|(place, _)| *place != victim.0);
    let firsts = others.filter_map(|(_, received)| {
        let next = received.served.partition_point(|(from, _)| *from <= struck.begun);
        let (from, _) = received.served.get(next)?;
        let before = next.checked_sub(1).map(|last| received.served[last].1);
        let is_new = before.is_none_or(|before| *from - before >= NEW_AFTER);
        (is_new && *from <= until).then(|| *from - struck.begun)
    });
    firsts.min()
}

fn spread(mut values: Vec<Duration>) -> Option<Spread> {
    values.sort_unstable();
    let max = values.last()?.as_millis() as u64;
    let p50 = values[(values.len() - 1) / 2].as_millis() as u64;
    Some(Spread { n: values.len(), p50, max })
}

pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Report {
    /// The page of a long run.
    pub fn write_page(&self, file: &std::path::Path) {
        let text = format!(
            "# Torture: the real thing under real faults\n\n\
             Written by `cargo test --release --test torture -- --long --seed {}` on {}: {} cores, {}.\n\
             Ten places for nodes of one region (two of them twins of one static slot; quota 5 of 7 slots, session 1.5 s,\n\
             window 4.5 s), three ZooKeeper servers and all who draw, on one machine over loopback.\n\n{}\n\
             *Nobody issued*: the longest time without an answer with ids from any node, from the beginning of a fault to\n\
             the end of the gap it lies in. *Fewer issued than before*: the same for the number of nodes that issue. Faults\n\
             overlap, so a number may be another fault's. *Another took over*: of faults that took away a node which issued,\n\
             until one issued that had not for 500 ms, if it did before the fault was over. Gaps up to 100 ms between the\n\
             answers of one node are none.\n",
            self.seed,
            today(),
            std::thread::available_parallelism().map_or(0, usize::from),
            kernel(),
            self.tables()
        );
        std::fs::write(file, text).expect("the page of results");
        eprintln!("written to {}", file.display());
    }
}

fn today() -> String {
    meridian::clock::timestamp()[..10].to_owned()
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}
