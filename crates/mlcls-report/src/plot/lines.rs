//! Curves over a common axis.

use super::scale::{Axis, label};
use super::svg::Svg;
use super::{COLOURS, Point, Scale, WIDTH};

/// One curve of [`Lines`].
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// What it shows, for the texts that show when one points at a place.
    pub name: &'a str,
    /// Its places from left to right; those that are not finite are left out.
    pub points: &'a [Point],
    /// Position of its colour, as in a [`legend`](super::legend).
    pub colour: usize,
}

/// Curves through points. Points get dots as long as there are few.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    /// The curves.
    pub lines: &'a [Line<'a>],
    /// What lies to the right.
    pub x: &'a str,
    /// What lies upwards.
    pub y: &'a str,
    /// Ends of both axes, where they are not to follow from the points.
    pub range: Option<[[f64; 2]; 2]>,
    /// Draws the line on which `y` equals `x`.
    pub diagonal: bool,
    /// A place that stands out, such as the one in use.
    pub mark: Option<Point>,
}

impl Lines<'_> {
    /// Height of the plot over its width.
    const SHAPE: f64 = 0.66;
    /// The most dots on a curve.
    const DOTS: usize = 40;

    /// The plot.
    pub fn to_svg(&self) -> String {
        self.drawn(WIDTH, Self::DOTS)
    }

    /// The plot for a place half as wide, without dots.
    pub fn to_small_svg(&self) -> String {
        self.drawn(WIDTH / 2.0, 0)
    }

    fn drawn(&self, width: f64, dots: usize) -> String {
        let sound = |p: &&Point| p.x.is_finite() && p.y.is_finite();
        let all = || self.lines.iter().flat_map(|line| line.points).filter(sound);
        let ground = width * Self::SHAPE;
        let mut svg = Svg::new(width, ground + 36.0);
        if all().next().is_none() {
            svg.text("soft middle", (width / 2.0, ground / 2.0), "no values");
            return svg.finish(self.y);
        }
        let ends = |of: fn(&Point) -> f64| {
            let low = all().map(of).fold(f64::INFINITY, f64::min);
            [low, all().map(of).fold(f64::NEG_INFINITY, f64::max)]
        };
        let [across, up] = self.range.unwrap_or_else(|| [ends(|p| p.x), ends(|p| p.y)]);
        let (left, right) = (40.0, width - 12.0);
        let x = Axis::new(Scale::Linear, across, [left, right]);
        let y = Axis::new(Scale::Linear, up, [ground, 22.0]);
        let ticks = (width / 75.0) as usize;
        for tick in y.ticks(ticks.min(5)) {
            svg.line("grid", (left, y.at(tick)), (right, y.at(tick)));
            svg.text("soft end", (left - 5.0, y.at(tick) + 4.0), &label(tick));
        }
        for tick in x.ticks(ticks) {
            svg.line("grid", (x.at(tick), 22.0), (x.at(tick), ground));
            svg.text("soft middle", (x.at(tick), ground + 14.0), &label(tick));
        }
        if self.diagonal {
            svg.line("axis", (x.at(across[0]), y.at(up[0])), (x.at(across[1]), y.at(up[1])));
        }
        for line in self.lines {
            let colour = line.colour % COLOURS;
            let points: Vec<&Point> = line.points.iter().filter(sound).collect();
            let places: Vec<(f64, f64)> = points.iter().map(|p| (x.at(p.x), y.at(p.y))).collect();
            svg.path(&format!("curve l{colour}"), &thinned(&places));
            if points.len() <= dots {
                for (point, place) in points.iter().zip(places) {
                    let title = format!("{} at {}: {}", line.name, label(point.x), label(point.y));
                    svg.circle(&format!("s{colour}"), place, 2.6, &title);
                }
            }
        }
        if let Some(mark) = self.mark.as_ref().filter(sound) {
            let title = format!("{} {}, {} {}", self.x, label(mark.x), self.y, label(mark.y));
            svg.circle("mark", (x.at(mark.x), y.at(mark.y)), 4.0, &title);
        }
        svg.text("soft middle", ((left + right) / 2.0, ground + 30.0), self.x);
        svg.text("soft", (0.0, 10.0), self.y);
        svg.finish(&format!("{} by {}", self.y, self.x))
    }
}

/// The places without those that nobody could see: too near to the one before, but never the last.
fn thinned(places: &[(f64, f64)]) -> Vec<(f64, f64)> {
    const NEAR: f64 = 0.5;
    let mut kept: Vec<(f64, f64)> = vec![];
    for (i, place) in places.iter().enumerate() {
        let far = kept
            .last()
            .is_none_or(|last| (place.0 - last.0).abs() >= NEAR || (place.1 - last.1).abs() >= NEAR);
        if far || i + 1 == places.len() {
            kept.push(*place);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: &[Point]) -> String {
        let lines = [Line { name: "loss", points, colour: 7 }];
        let mark = points.first().copied();
        Lines { lines: &lines, x: "epoch", y: "loss", range: None, diagonal: true, mark }.to_svg()
    }

    #[test]
    fn a_curve_goes_through_its_sound_points() {
        let points = [(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.25)].map(|(x, y)| Point { x, y });
        let svg = plot(&points);
        roxmltree::Document::parse(&svg).unwrap();
        assert!(svg.contains("M40 22L368 250.8"), "{svg}");
        assert!(svg.contains("loss at 3: 0.25") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn what_cannot_be_seen_is_not_drawn() {
        let places: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i) / 100.0, 5.0)).collect();
        let kept = thinned(&places);
        assert!((150..=201).contains(&kept.len()), "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (places[0], places[9_999]));
    }

    #[test]
    fn nothing_and_one_point_are_no_trouble() {
        assert!(plot(&[]).contains("no values"));
        let svg = plot(&[Point { x: 1.0, y: 1.0 }]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
