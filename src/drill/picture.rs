//! The timeline as a picture (SVG): what each region said, where its clients were sent, and how they fared. Pure.

use super::record::{Change, End, Record};
use std::fmt::Write;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 96.0;
const LANE: f64 = 15.0;
const GAP: f64 = 4.0;
const GROUP_GAP: f64 = 16.0;
/// As many steps of time as there are to be seen.
const STEPS: usize = 900;
/// For so many steps without news, what was seen last still holds.
const HOLDS: usize = 2;
/// A draw that waited this long fills its lane.
const LONG_DRAW_S: f64 = 1.0;
/// Shorter waits are no event.
const SHORT_DRAW_S: f64 = 0.02;

/// Told apart also by those who see few colours (Okabe and Ito), without red, which means failure.
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d"];
const FAILED: &str = "#d0021b";
const WELL: &str = "#b8d8b8";
const INK: &str = "#222";
const FAINT: &str = "#ddd";

/// A stretch of a lane: which part of it belongs to whom; `None`: failed.
#[derive(Clone, Debug, PartialEq)]
struct Stretch {
    from: usize,
    to: usize,
    /// In eighths.
    parts: Vec<(Option<usize>, usize)>,
}

pub fn picture(record: &Record, title: &str) -> String {
    let end_s = record.acts.last().map_or(1.0, |act| act.ended_s).max(1.0);
    let regions = record.regions.len();
    let group = 4.0 * (LANE + GAP) + GROUP_GAP;
    let height = TOP + regions as f64 * group + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\" fill=\"{INK}\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"22\" font-size=\"16\">{}</text>", escaped(title));
    legend(record, &mut svg);
    let axis = Axis { end_s };
    let bottom = TOP + regions as f64 * group;
    axis.draw(bottom, &mut svg);
    for region in 0..regions {
        let y = TOP + region as f64 * group;
        region_lanes(record, region, &axis, y, &mut svg);
    }
    marks(record, &axis, bottom, &mut svg);
    svg += "</svg>\n";
    svg
}

struct Axis {
    end_s: f64,
}

impl Axis {
    fn x(&self, at_s: f64) -> f64 {
        LEFT + (at_s / self.end_s).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn step_x(&self, step: usize) -> f64 {
        self.x(step as f64 / STEPS as f64 * self.end_s)
    }

    fn step(&self, at_s: f64) -> usize {
        ((at_s / self.end_s * STEPS as f64).max(0.0) as usize).min(STEPS - 1)
    }

    /// A line every 1, 2 or 5 times a power of ten seconds.
    fn draw(&self, bottom: f64, svg: &mut String) {
        let wished = self.end_s / 12.0;
        let power = 10f64.powf(wished.log10().floor());
        let tick = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|tick| *tick >= wished);
        let tick = tick.unwrap_or(power * 10.0).max(1.0);
        let mut at_s = 0.0;
        while at_s <= self.end_s {
            let x = self.x(at_s);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"{FAINT}\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{at_s:.0} s</text>",
                bottom + 16.0
            );
            at_s += tick;
        }
    }
}

fn colour(region: usize) -> &'static str {
    COLOURS[region % COLOURS.len()]
}

fn legend(record: &Record, svg: &mut String) {
    let mut x = LEFT;
    let entries = record.regions.iter().enumerate().map(|(region, name)| (colour(region), name.as_str()));
    for (colour, name) in entries.chain([(FAILED, "failed, or not well"), (WELL, "well")]) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"34\" width=\"11\" height=\"11\" fill=\"{colour}\"/><text x=\"{:.0}\" y=\"44\">{}</text>",
            x + 15.0,
            escaped(name)
        );
        x += 32.0 + name.len() as f64 * 6.5;
    }
}

fn region_lanes(record: &Record, region: usize, axis: &Axis, y: f64, svg: &mut String) {
    let name = escaped(record.name(region));
    let _ = writeln!(svg, "<text x=\"8\" y=\"{:.1}\" font-weight=\"bold\">{name}</text>", y + LANE - 4.0);
    let labels = ["says 200", "DNS sends its clients to", "served behind the cache by", "its clients with a list wait"];
    for (lane, label) in labels.iter().enumerate() {
        let y = y + lane as f64 * (LANE + GAP);
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, y + LANE - 4.0);
    }
    let lane = |number: usize| y + number as f64 * (LANE + GAP);
    verdicts(record, region, axis, lane(0), svg);
    let looks = record.looks.iter().filter(|look| look.network == region && look.answered.is_some());
    stretches(axis, looks.map(|look| (look.at_s, look.answered)), lane(1), svg);
    let calls = record.calls.iter().filter(|call| call.client == region).map(|call| match call.end {
        End::Served(by) => (call.at_s, Some(by)),
        End::Refused | End::Dropped => (call.at_s, None),
    });
    stretches(axis, calls, lane(2), svg);
    draws(record, region, axis, lane(3), svg);
}

fn verdicts(record: &Record, region: usize, axis: &Axis, y: f64, svg: &mut String) {
    let changes = record.events.iter().filter_map(|event| match event.change {
        Change::Verdict { region: of, well } if of == region => Some((event.at_s, well)),
        _ => None,
    });
    let changes: Vec<(f64, bool)> = changes.collect();
    for (number, (at_s, well)) in changes.iter().enumerate() {
        let until_s = changes.get(number + 1).map_or(axis.end_s, |(at_s, _)| *at_s);
        rect(axis.x(*at_s), axis.x(until_s), y, LANE, if *well { WELL } else { FAILED }, svg);
    }
}

fn rect(from: f64, to: f64, y: f64, height: f64, fill: &str, svg: &mut String) {
    let width = (to - from).max(0.6);
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
    );
}

fn stretches(axis: &Axis, points: impl Iterator<Item = (f64, Option<usize>)>, y: f64, svg: &mut String) {
    for Stretch { from, to, parts } in merged(axis, points) {
        let mut top = y;
        for (region, eighths) in parts {
            let height = LANE * eighths as f64 / 8.0;
            rect(axis.step_x(from), axis.step_x(to), top, height, region.map_or(FAILED, colour), svg);
            top += height;
        }
    }
}

/// Steps in which the same was seen are one stretch; steps in which nothing was, end it.
fn merged(axis: &Axis, points: impl Iterator<Item = (f64, Option<usize>)>) -> Vec<Stretch> {
    let mut steps: Vec<Vec<(Option<usize>, usize)>> = vec![Vec::new(); STEPS];
    for (at_s, region) in points {
        let step = &mut steps[axis.step(at_s)];
        match step.iter_mut().find(|(of, _)| *of == region) {
            Some((_, count)) => *count += 1,
            None => step.push((region, 1)),
        }
    }
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut seen = 0;
    for (at, mut step) in steps.into_iter().enumerate() {
        if step.is_empty() {
            if let Some(last) = stretches.last_mut().filter(|_| at - seen <= HOLDS) {
                last.to = at + 1;
            }
            continue;
        }
        seen = at;
        step.sort_unstable();
        let parts = eighths(&step);
        match stretches.last_mut() {
            Some(last) if last.to == at && last.parts == parts => last.to = at + 1,
            _ => stretches.push(Stretch { from: at, to: at + 1, parts }),
        }
    }
    stretches
}

/// Shares in eighths that add up to eight; whoever was there at all is seen.
fn eighths(counts: &[(Option<usize>, usize)]) -> Vec<(Option<usize>, usize)> {
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let mut parts: Vec<(Option<usize>, usize)> =
        counts.iter().map(|(of, count)| (*of, (count * 8 / total.max(1)).max(1))).collect();
    let sum: usize = parts.iter().map(|(_, part)| part).sum();
    if let Some((_, largest)) = parts.iter_mut().max_by_key(|(_, part)| *part) {
        *largest = (*largest + 8).saturating_sub(sum).max(1);
    }
    parts
}

fn draws(record: &Record, region: usize, axis: &Axis, y: f64, svg: &mut String) {
    let mut longest = vec![(0.0f64, true); STEPS];
    for draw in record.draws.iter().filter(|draw| draw.client == region) {
        let (took_s, served) = &mut longest[axis.step(draw.at_s)];
        *took_s = took_s.max(draw.took_s);
        *served &= draw.served;
    }
    rect(LEFT, WIDTH - RIGHT, y + LANE - 1.0, 1.0, FAINT, svg);
    for (step, (took_s, served)) in longest.into_iter().enumerate() {
        let height = if served { LANE * (took_s / LONG_DRAW_S).min(1.0) } else { LANE };
        if !served || took_s > SHORT_DRAW_S {
            let fill = if served { colour(region) } else { FAILED };
            rect(axis.step_x(step), axis.step_x(step + 1), y + LANE - height, height.max(1.0), fill, svg);
        }
    }
}

/// When things broke and were mended.
fn marks(record: &Record, axis: &Axis, bottom: f64, svg: &mut String) {
    let mut row = 0;
    for event in &record.events {
        let (dash, text) = match &event.change {
            Change::Broke { .. } => ("", record.tell(event)),
            Change::Mended { .. } => (" stroke-dasharray=\"3 3\"", "whole".to_owned()),
            _ => continue,
        };
        let x = axis.x(event.at_s);
        let label = TOP - 34.0 + f64::from(row % 3) * 11.0;
        row += 1;
        let (anchor, shift) = if x > WIDTH - 150.0 { ("end", -3.0) } else { ("start", 3.0) };
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom}\" stroke=\"{INK}\"{dash}/>\
             <text x=\"{:.1}\" y=\"{label:.1}\" font-size=\"9\" text-anchor=\"{anchor}\">{}</text>",
            label - 7.0,
            x + shift,
            escaped(&text)
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::Fault;
    use crate::drill::record::{Call, Draw, Look, Played};
    use crate::drill::script::{Act, Blow, Scene};

    #[test]
    fn stretches_merge_and_mixtures_show() {
        let axis = Axis { end_s: 900.0 };
        let point = |at_s: f64, region| (at_s, Some(region));
        let found =
            merged(&axis, [point(0.1, 0), point(1.1, 0), point(2.1, 1), point(2.2, 2), (2.3, None)].into_iter());
        assert_eq!(found[0], Stretch { from: 0, to: 2, parts: vec![(Some(0), 8)] });
        assert_eq!(found[1].parts.iter().map(|(_, part)| part).sum::<usize>(), 8);
        assert_eq!(found[1].parts.len(), 3);
        assert_eq!(found[1].to, 5, "what was seen last holds for a moment");
    }

    #[test]
    fn a_picture_is_well_formed_and_names_everything() {
        let mut record = Record::new(vec!["a".to_owned(), "b<&>".to_owned()]);
        for at in 0..100 {
            let at_s = f64::from(at) / 10.0;
            record.look(Look { at_s, network: 0, answered: Some(usize::from(at > 50)) });
            let end = if (30..50).contains(&at) { End::Dropped } else { End::Served(0) };
            record.call(Call { at_s, client: 0, to: Some(0), end }, at_s);
            record.draw(Draw { at_s, client: 0, took_s: 0.3, served: at != 40 });
        }
        record.event(3.0, Change::Broke { region: 1, blow: Blow::Lost(Fault::Crash) });
        let act = Act { title: "t".into(), scene: Scene::Loss, fault: None, down: vec!["a".into()], steps: Vec::new() };
        let played =
            Played { act, down: vec![0], begun_s: 0.0, broke_s: None, mended_s: None, ended_s: 10.0, shares: None };
        record.acts.push(played);
        let svg = picture(&record, "region-loss & more");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("region-loss &amp; more") && svg.contains("b&lt;&amp;&gt;: crash"));
        assert!(svg.contains(FAILED) && svg.contains(colour(1)));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
