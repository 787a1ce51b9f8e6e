//! Two curves over one ladder: what is answered, and what nearly all of the answers took.

use crate::page::number;
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
        let at = || around(steps.iter().map(|step| step.at)).log_scale();
        let most = steps.iter().map(|step| step.answered_per_second).fold(0.0, f64::max);
        let answered = steps.iter().map(|step| (step.at, step.answered_per_second));
        curve(above, at(), 0.0..most * 1.1, (along, "ids/s answered"), &BLUE, answered);
        let p99 = || steps.iter().map(|step| step.p99_ms.max(0.001));
        let times = around(p99()).log_scale();
        curve(below, at(), times, (along, "p99 in ms"), &RED, steps.iter().map(|step| step.at).zip(p99()));
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
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.15))
        .x_label_formatter(&|value| short(*value))
        .y_label_formatter(&|value| short(*value))
        .draw()
        .expect(MEMORY);
    chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2))).expect(MEMORY);
    chart.draw_series(points.map(|point| Circle::new(point, 3, colour.filled()))).expect(MEMORY);
}

/// All of it, and a little room.
fn around(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    values.clone().fold(f64::MAX, f64::min) / 1.2..values.fold(f64::MIN_POSITIVE, f64::max) * 1.2
}

fn short(value: f64) -> String {
    if value != 0.0 && value < 1.0 {
        format!("{value}")
    } else {
        number(value.round()).trim_end_matches(".0").to_owned()
    }
}
