//! Two curves over one ladder: what is answered, and what nearly all of the answers took.

use crate::page::number;
use plotters::coord::combinators::WithKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::ops::Range;

/// A step of the ladder, and what was found there.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Where it stands: above 0, for the axis is logarithmic.
    pub at: f64,
    pub answered_per_second: f64,
    pub p99_ms: f64,
}

const SIZE: (u32, u32) = (860, 640);

/// Black, which is what text is unless told otherwise.
const FONT: (&str, u32) = ("sans-serif", 15);

/// As SVG.
pub fn draw(title: &str, along: &str, steps: &[Step]) -> String {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // A ground of its own, so that it reads on a dark page as well.
        area.fill(&WHITE).expect(MEMORY);
        let area = area.titled(title, ("sans-serif", 20)).expect(MEMORY);
        let [above, below] = &area.split_evenly((2, 1))[..] else { unreachable!("it was split into two") };
        let at: Vec<f64> = steps.iter().map(|step| step.at).collect();
        let answered: Vec<f64> = steps.iter().map(|step| step.answered_per_second).collect();
        let p99: Vec<f64> = steps.iter().map(|step| step.p99_ms.max(0.001)).collect();
        let all = || logarithmic(at[0] / 1.2..at[at.len() - 1] * 1.2);
        let most = answered.iter().copied().fold(0.0, f64::max);
        curve(above, all(), 0.0..most * 1.1, (along, "ids/s answered"), &BLUE, zip(&at, &answered));
        curve(below, all(), logarithmic(decades(&p99)), (along, "p99 in ms"), &RED, zip(&at, &p99));
        area.present().expect(MEMORY);
    }
    svg
}

const MEMORY: &str = "memory takes any picture";

fn curve<X, Y>(
    area: &DrawingArea<SVGBackend, plotters::coord::Shift>,
    along: impl AsRangedCoord<CoordDescType = X, Value = f64>,
    up: impl AsRangedCoord<CoordDescType = Y, Value = f64>,
    (name_along, name_up): (&str, &str),
    colour: &RGBColor,
    points: impl Iterator<Item = (f64, f64)> + Clone,
) where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(along, up)
        .expect(MEMORY);
    chart
        .configure_mesh()
        .x_desc(name_along)
        .y_desc(name_up)
        .axis_desc_style(FONT)
        .label_style(FONT)
        .max_light_lines(0)
        .bold_line_style(BLACK.mix(0.15))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()
        .expect(MEMORY);
    chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).expect(MEMORY);
    chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled()))).expect(MEMORY);
}

fn zip<'a>(along: &'a [f64], up: &'a [f64]) -> impl Iterator<Item = (f64, f64)> + Clone {
    along.iter().copied().zip(up.iter().copied())
}

/// An axis with lines at 1, 2, 5, 10, …
fn logarithmic(range: Range<f64>) -> WithKeyPoints<LogCoord<f64>> {
    let decades = range.start.log10().floor() as i32..=range.end.log10().ceil() as i32;
    let lines = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|first| first * 10f64.powi(decade)));
    let lines = lines.filter(|line| range.contains(line)).collect();
    range.log_scale().with_key_points(lines)
}

/// The whole decades that these lie in.
fn decades(values: &[f64]) -> Range<f64> {
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    let most = values.iter().copied().fold(least, f64::max);
    10f64.powf(least.log10().floor())..10f64.powf(most.log10().floor() + 1.0)
}

fn short(value: f64) -> String {
    if value < 100.0 { format!("{}", (value * 1_000.0).round() / 1_000.0) } else { number(value) }
}
