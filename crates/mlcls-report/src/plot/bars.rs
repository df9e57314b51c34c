//! Bars from left to right, one per name, made of parts.

use super::scale::{Axis, label, top};
use super::svg::{Svg, fit, gutter};
use super::{COLOURS, Scale, WIDTH};

/// A bar of a [`StackedBars`].
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it stands for.
    pub name: String,
    /// The length of each part, 0 or more, one per series.
    pub parts: Vec<f64>,
}

/// Bars whose parts follow each other, with the sum at their end.
#[derive(Clone, Debug)]
pub struct StackedBars<'a> {
    /// Names of the series, for the texts that show when one points at a part.
    pub series: &'a [String],
    /// From top to bottom.
    pub bars: &'a [Bar],
    /// What the lengths count.
    pub x: &'a str,
}

impl StackedBars<'_> {
    /// The plot.
    pub fn to_svg(&self) -> String {
        const ROW: f64 = 18.0;
        let left = gutter(self.bars.iter().map(|bar| bar.name.as_str()), 130.0);
        let most = top(self.bars.iter().map(|bar| bar.parts.iter().sum()));
        let bottom = self.bars.len() as f64 * ROW;
        let right = WIDTH - 8.0 - 6.5 * label(most).len() as f64;
        let axis = Axis::new(Scale::Linear, [0.0, most], [left, right]);
        let mut svg = Svg::new(WIDTH, bottom + 34.0);
        for tick in axis.ticks(4) {
            svg.line("grid", (axis.at(tick), 0.0), (axis.at(tick), bottom));
            svg.text("soft middle", (axis.at(tick), bottom + 14.0), &label(tick));
        }
        svg.text("soft middle", ((left + right) / 2.0, bottom + 29.0), self.x);
        for (row, bar) in self.bars.iter().enumerate() {
            let y = row as f64 * ROW;
            svg.text("end", (left - 6.0, y + 13.0), &fit(&bar.name, left - 8.0));
            let mut sum = 0.0;
            for (i, part) in bar.parts.iter().enumerate().filter(|(_, part)| **part > 0.0) {
                let (from, to) = (axis.at(sum), axis.at(sum + part));
                let series = self.series.get(i).map_or("", String::as_str);
                let title = format!("{}, {series}: {part}", bar.name);
                svg.rect(&format!("s{}", i % COLOURS), (from, y + 3.0), (to - from, ROW - 6.0), &title);
                sum += part;
            }
            svg.text("soft", (axis.at(sum) + 4.0, y + 13.0), &label(sum));
        }
        svg.finish(&format!("{} of {} names", self.x, self.bars.len()))
    }
}
