//! Points in a plane.

use std::collections::BTreeMap;

use super::scale::{Axis, label, top};
use super::svg::Svg;
use super::{Scale, WIDTH};

/// A place in a plane: of a [`Scatter`], or on a [`Line`](super::Line).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
}

/// Points from the origin up, both axes to one scale. Points closer than a dot's width are drawn as one dot whose area
/// says how many they are.
#[derive(Clone, Debug)]
pub struct Scatter<'a> {
    /// The points; those with a coordinate below 0 are left out.
    pub points: &'a [Point],
    /// What the points stand for, in the plural.
    pub of: &'a str,
    /// What lies to the right.
    pub x: &'a str,
    /// What lies upwards.
    pub y: &'a str,
}

impl Scatter<'_> {
    /// The plot.
    pub fn to_svg(&self) -> String {
        const GROUND: f64 = 330.0;
        const GRAIN: f64 = 4.0;
        let (left, right) = (40.0, WIDTH - 14.0);
        let sound = |p: &&Point| p.x.is_finite() && p.y.is_finite() && p.x >= 0.0 && p.y >= 0.0;
        let points: Vec<&Point> = self.points.iter().filter(sound).collect();
        let most = top(points.iter().flat_map(|p| [p.x, p.y])) * 1.03;
        let x = Axis::new(Scale::Linear, [0.0, most], [left, right]);
        let y = Axis::new(Scale::Linear, [0.0, most], [GROUND, GROUND - (right - left)]);
        let mut svg = Svg::new(WIDTH, GROUND + 36.0);
        for tick in x.ticks(5) {
            svg.line("grid", (x.at(tick), y.at(0.0)), (x.at(tick), y.at(most)));
            svg.line("grid", (left, y.at(tick)), (right, y.at(tick)));
            svg.text("soft middle", (x.at(tick), GROUND + 14.0), &label(tick));
            svg.text("soft end", (left - 5.0, y.at(tick) + 4.0), &label(tick));
        }
        svg.line("axis", (x.at(0.0), y.at(0.0)), (x.at(most), y.at(most)));
        // A dot stands at the mean of its points.
        let mut dots: BTreeMap<(i64, i64), (f64, f64, usize)> = BTreeMap::new();
        for point in points {
            let key = ((x.at(point.x) / GRAIN) as i64, (y.at(point.y) / GRAIN) as i64);
            let dot = dots.entry(key).or_default();
            *dot = (dot.0 + point.x, dot.1 + point.y, dot.2 + 1);
        }
        let largest = dots.values().map(|dot| dot.2).max().unwrap_or(1) as f64;
        for (sum_x, sum_y, count) in dots.into_values() {
            let n = count as f64;
            let radius = 1.8 + 10.0 * (n / largest).sqrt() * (largest / 20.0).min(1.0);
            let title = format!(
                "{} x {}: {count} {}",
                label((sum_x / n).round()),
                label((sum_y / n).round()),
                self.of
            );
            svg.circle("s0 pale", (x.at(sum_x / n), y.at(sum_y / n)), radius, &title);
        }
        svg.text("soft middle", ((left + right) / 2.0, GROUND + 30.0), self.x);
        svg.text("soft", (0.0, 10.0), self.y);
        svg.finish(&format!("{} by {} and {}", self.of, self.x, self.y))
    }
}
