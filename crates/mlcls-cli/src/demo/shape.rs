//! The six labels of the demo as signed distances: negative inside, positive outside, in units of the shape's radius.

use std::f32::consts::{PI, TAU};

/// What a drawn scene is labelled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    Circle,
    Cross,
    Ring,
    Square,
    Star,
    Triangle,
}

impl Shape {
    /// All shapes in the order of their class index.
    pub const ALL: [Self; 6] =
        [Self::Circle, Self::Cross, Self::Ring, Self::Square, Self::Star, Self::Triangle];

    /// The label's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Cross => "cross",
            Self::Ring => "ring",
            Self::Square => "square",
            Self::Star => "star",
            Self::Triangle => "triangle",
        }
    }

    /// No point of any shape lies further from its centre than this.
    pub const REACH: f32 = 1.25;

    /// Signed distance from `p` to the edge. Radii differ so that all shapes look about equally large.
    pub fn distance(self, p: [f32; 2]) -> f32 {
        let r = p[0].hypot(p[1]);
        match self {
            Self::Circle => r - 0.95,
            Self::Ring => (r - 0.75).abs() - 0.25,
            Self::Square => bar(p, 0.85, 0.85),
            Self::Cross => bar(p, 1.1, 0.36).min(bar(p, 0.36, 1.1)),
            Self::Triangle => polygon(p, &corners::<3>(1.2, 1.2)),
            Self::Star => polygon(p, &corners::<10>(1.25, 0.52)),
        }
    }
}

/// Signed distance to a rectangle of these half sides.
pub fn bar(p: [f32; 2], half_width: f32, half_height: f32) -> f32 {
    let (x, y) = (p[0].abs() - half_width, p[1].abs() - half_height);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0)
}

/// Corners on two circles in turn; equal radii give a regular polygon.
fn corners<const N: usize>(even: f32, odd: f32) -> [[f32; 2]; N] {
    std::array::from_fn(|i| {
        let angle = TAU * i as f32 / N as f32 - PI / 2.0;
        let radius = if i % 2 == 0 { even } else { odd };
        [radius * angle.cos(), radius * angle.sin()]
    })
}

/// Signed distance to a simple polygon: the nearest edge, negative where a ray to the right crosses an odd number of them.
fn polygon(p: [f32; 2], corners: &[[f32; 2]]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    for (i, a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        let edge = [b[0] - a[0], b[1] - a[1]];
        let from = [p[0] - a[0], p[1] - a[1]];
        let along = (from[0] * edge[0] + from[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1]);
        let t = along.clamp(0.0, 1.0);
        nearest = nearest.min((from[0] - t * edge[0]).hypot(from[1] - t * edge[1]));
        let straddles = (a[1] > p[1]) != (b[1] > p[1]);
        if straddles && p[0] < a[0] + edge[0] * (p[1] - a[1]) / edge[1] {
            inside = !inside;
        }
    }
    if inside { -nearest } else { nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Area of a shape by counting points of a fine grid.
    fn area(shape: Shape) -> f32 {
        let n = 400;
        let at = |i: usize| (i as f32 + 0.5) / n as f32 * 3.0 - 1.5;
        let inside = (0..n * n).filter(|k| shape.distance([at(k % n), at(k / n)]) < 0.0).count();
        inside as f32 * (3.0 / n as f32).powi(2)
    }

    #[test]
    fn areas_are_those_of_geometry() {
        let close = |shape, expected: f32| {
            let found = area(shape);
            assert!((found - expected).abs() < 0.02, "{shape:?}: {found} instead of {expected}");
        };
        close(Shape::Circle, PI * 0.95 * 0.95);
        close(Shape::Ring, PI * (1.0 - 0.25));
        close(Shape::Square, 1.7 * 1.7);
        close(Shape::Cross, 2.0 * 2.2 * 0.72 - 0.72 * 0.72);
        close(Shape::Triangle, 0.75 * 3f32.sqrt() * 1.44);
        close(Shape::Star, 10.0 * 0.5 * 1.25 * 0.52 * (TAU / 10.0).sin());
    }

    #[test]
    fn distance_grows_one_for_one_outside_and_never_faster() {
        for shape in Shape::ALL {
            for k in 0..64 {
                let angle = TAU * k as f32 / 64.0;
                let at = |r: f32| shape.distance([r * angle.cos(), r * angle.sin()]);
                assert!(at(Shape::REACH + 0.01) > 0.0, "{shape:?} reaches further than it says");
                for i in 0..30 {
                    let r = i as f32 * 0.1;
                    assert!((at(r + 0.1) - at(r)).abs() <= 0.1 + 1e-4, "{shape:?}: not a distance at {r}");
                }
            }
        }
    }
}
