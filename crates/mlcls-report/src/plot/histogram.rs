//! How often values lie where.

use super::scale::{Axis, label};
use super::svg::Svg;
use super::{Scale, WIDTH};

/// Counts of values in bins of equal width along the axis.
#[derive(Clone, Debug)]
pub struct Histogram<'a> {
    /// The values; those without a place on the axis are left out.
    pub values: &'a [f64],
    /// How the axis runs.
    pub scale: Scale,
    /// The number of bins, at least 1.
    pub bins: usize,
    /// What the values are.
    pub x: &'a str,
}

impl Histogram<'_> {
    /// The ends of the range, and the count of each bin.
    fn count(&self) -> ([f64; 2], Vec<usize>) {
        let values: Vec<f64> = self.values.iter().copied().filter(|v| self.scale.holds(*v)).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low >= high {
            // One value: a bin around it.
            return ([low, high], vec![values.len()]);
        }
        let [from, to] = [low, high].map(|v| self.scale.warp(v));
        let mut counts = vec![0; self.bins.max(1)];
        let last = counts.len() - 1;
        for value in &values {
            let place = (self.scale.warp(*value) - from) / (to - from) * counts.len() as f64;
            counts[(place as usize).min(last)] += 1;
        }
        ([low, high], counts)
    }

    /// The plot.
    pub fn to_svg(&self) -> String {
        const GROUND: f64 = 170.0;
        let (range, counts) = self.count();
        let most = counts.iter().copied().max().unwrap_or(0);
        let mut svg = Svg::new(WIDTH, GROUND + 36.0);
        if most == 0 {
            svg.text("soft middle", (WIDTH / 2.0, GROUND / 2.0), "no values");
            return svg.finish(self.x);
        }
        let (left, right) = (36.0, WIDTH - 12.0);
        let x = Axis::new(self.scale, range, [left, right]);
        let y = Axis::new(Scale::Linear, [0.0, most as f64], [GROUND, 22.0]);
        svg.text("soft", (0.0, 10.0), "images");
        for tick in y.ticks(4).into_iter().filter(|tick| tick.fract() == 0.0) {
            svg.line("grid", (left, y.at(tick)), (right, y.at(tick)));
            svg.text("soft end", (left - 5.0, y.at(tick) + 4.0), &label(tick));
        }
        let width = (right - left) / counts.len() as f64;
        let [from, to] = range.map(|v| self.scale.warp(v));
        for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let edge = |i: usize| self.scale.unwarp(from + (to - from) * i as f64 / counts.len() as f64);
            let title = format!("{} to {}: {count}", label(edge(i)), label(edge(i + 1)));
            let bin = (left + i as f64 * width, y.at(*count as f64));
            let (corner, width) = if counts.len() == 1 {
                ((x.at(range[0]) - 10.0, bin.1), 20.0)
            } else {
                ((bin.0, bin.1), (width - 1.0).max(0.8))
            };
            svg.rect("s0", corner, (width, GROUND - bin.1), &title);
        }
        for tick in x.ticks(5) {
            svg.line("axis", (x.at(tick), GROUND), (x.at(tick), GROUND + 4.0));
            svg.text("middle", (x.at(tick), GROUND + 15.0), &label(tick));
        }
        svg.line("axis", (left, GROUND), (right, GROUND));
        svg.text("soft middle", ((left + right) / 2.0, GROUND + 31.0), self.x);
        svg.finish(&format!("images by {}", self.x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(values: &[f64], scale: Scale, bins: usize) -> Vec<usize> {
        Histogram { values, scale, bins, x: "" }.count().1
    }

    #[test]
    fn every_value_is_in_one_bin() {
        assert_eq!(count(&[0.0, 1.0, 2.0, 3.0, 4.0], Scale::Linear, 2), [2, 3]);
        assert_eq!(count(&[1.0, 10.0, 50.0, 100.0], Scale::Log, 2), [1, 3]);
        assert_eq!(count(&[-1.0, 0.0, f64::NAN, 5.0, 5.0], Scale::Log, 9), [2]);
        assert_eq!(count(&[], Scale::Linear, 3), [0]);
        let svg = Histogram { values: &[], scale: Scale::Log, bins: 3, x: "" }.to_svg();
        assert!(svg.contains("no values") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
