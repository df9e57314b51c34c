//! Columns side by side, one group per name.

use super::scale::{Axis, label, top};
use super::svg::Svg;
use super::{COLOURS, Scale, WIDTH};

/// Groups of columns on a common ground.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    /// Names of the series: the columns of a group.
    pub series: &'a [String],
    /// Names of the groups.
    pub groups: &'a [String],
    /// Heights, 0 or more, `[series][group]`.
    pub values: &'a [Vec<f64>],
    /// What the groups are.
    pub x: &'a str,
    /// What the heights are.
    pub y: &'a str,
}

impl Columns<'_> {
    /// The plot.
    pub fn to_svg(&self) -> String {
        const GROUND: f64 = 190.0;
        let (left, right) = (36.0, WIDTH - 4.0);
        let y = Axis::new(Scale::Linear, [0.0, top(self.values.iter().flatten().copied())], [GROUND, 22.0]);
        let mut svg = Svg::new(WIDTH, GROUND + 36.0);
        svg.text("soft", (0.0, 10.0), self.y);
        for tick in y.ticks(5) {
            svg.line("grid", (left, y.at(tick)), (right, y.at(tick)));
            svg.text("soft end", (left - 5.0, y.at(tick) + 4.0), &label(tick));
        }
        let group = (right - left) / self.groups.len().max(1) as f64;
        let column = (group * 0.8 / self.series.len().max(1) as f64).min(34.0);
        let every = (26.0 / group).ceil().max(1.0) as usize;
        for (g, name) in self.groups.iter().enumerate() {
            let middle = left + (g as f64 + 0.5) * group;
            let start = middle - column * self.series.len() as f64 / 2.0;
            for (s, values) in self.values.iter().enumerate() {
                let value = values.get(g).copied().filter(|v| v.is_finite()).unwrap_or(0.0);
                let series = self.series.get(s).map_or("", String::as_str);
                let title = format!("{name}, {series}: {}", label(value));
                let corner = (start + s as f64 * column, y.at(value));
                svg.rect(&format!("s{}", s % COLOURS), corner, (column - 1.0, GROUND - y.at(value)), &title);
            }
            if g % every == 0 {
                svg.text("middle", (middle, GROUND + 14.0), name);
            }
        }
        svg.line("axis", (left, GROUND), (right, GROUND));
        svg.text("soft middle", ((left + right) / 2.0, GROUND + 30.0), self.x);
        svg.finish(&format!("{} by {}", self.y, self.x))
    }
}
