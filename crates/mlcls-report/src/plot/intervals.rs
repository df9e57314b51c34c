//! Values with their uncertainty, around zero.

use super::scale::{Axis, label};
use super::svg::{Svg, fit, gutter};
use super::{COLOURS, Scale, WIDTH};

/// A value of an [`Intervals`].
#[derive(Clone, Debug)]
pub struct Interval {
    /// The row that it stands in, as a position in [`Intervals::rows`].
    pub row: usize,
    /// The colour.
    pub series: usize,
    /// The value.
    pub value: f64,
    /// Where it may lie.
    pub range: [f64; 2],
    /// Whether it stands out; the others are pale.
    pub strong: bool,
    /// What shows when one points at it.
    pub title: String,
}

/// Dots with whiskers, one row per name, and a line at zero.
#[derive(Clone, Debug)]
pub struct Intervals<'a> {
    /// Names of the rows from top to bottom.
    pub rows: &'a [String],
    /// The values, in any order.
    pub values: &'a [Interval],
    /// How many series there are; those of one row lie side by side.
    pub series: usize,
    /// What the values are.
    pub x: &'a str,
}

impl Intervals<'_> {
    /// The plot.
    pub fn to_svg(&self) -> String {
        let lane = 8.0;
        let row = (lane * self.series as f64 + 6.0).max(18.0);
        let left = gutter(self.rows.iter().map(String::as_str), 130.0);
        let bottom = self.rows.len() as f64 * row;
        let ends = || self.values.iter().flat_map(|v| v.range).filter(|v| v.is_finite());
        let range = [ends().fold(0.0, f64::min), ends().fold(0.0, f64::max)];
        let axis = Axis::new(Scale::Linear, range, [left + 6.0, WIDTH - 14.0]);
        let mut svg = Svg::new(WIDTH, bottom + 36.0);
        for tick in axis.ticks(5) {
            let class = if tick == 0.0 { "axis" } else { "grid" };
            svg.line(class, (axis.at(tick), 0.0), (axis.at(tick), bottom));
            svg.text("soft middle", (axis.at(tick), bottom + 14.0), &label(tick));
        }
        svg.text("soft middle", (axis.at((range[0] + range[1]) / 2.0), bottom + 30.0), self.x);
        for (i, name) in self.rows.iter().enumerate() {
            svg.text("end", (left - 4.0, (i as f64 + 0.5) * row + 4.0), &fit(name, left - 8.0));
        }
        let finite = |v: &&Interval| v.value.is_finite() && v.range.iter().all(|e| e.is_finite());
        for value in self.values.iter().filter(finite) {
            let middle = (self.series as f64 - 1.0) / 2.0;
            let y = (value.row as f64 + 0.5) * row + (value.series as f64 - middle) * lane;
            let (colour, pale) = (value.series % COLOURS, if value.strong { "" } else { " pale" });
            let [from, to] = value.range.map(|end| axis.at(end));
            svg.line(&format!("whisker l{colour}{pale}"), (from, y), (to, y));
            svg.circle(&format!("s{colour}{pale}"), (axis.at(value.value), y), 3.2, &value.title);
        }
        svg.finish(&format!("{} of {} rows", self.x, self.rows.len()))
    }
}
