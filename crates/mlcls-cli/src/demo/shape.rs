//! The six labels of the demo as signed distances: negative inside, positive outside, in units of the shape's radius.

use std::f32::consts::{PI, TAU};

/// What a drawn scene is labelled with: figures that differ in their details, not only in their outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    Cross,
    Dots,
    Grid,
    Ring,
    Star,
    Zigzag,
}

impl Shape {
    /// All shapes in the order of their class index.
    pub const ALL: [Self; 6] = [Self::Cross, Self::Dots, Self::Grid, Self::Ring, Self::Star, Self::Zigzag];

    /// The label's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cross => "cross",
            Self::Dots => "dots",
            Self::Grid => "grid",
            Self::Ring => "ring",
            Self::Star => "star",
            Self::Zigzag => "zigzag",
        }
    }

    /// Its typical hue, as a share of the colour circle.
    pub fn hue(self) -> f32 {
        self as usize as f32 / Self::ALL.len() as f32
    }

    /// No point of any shape lies further from its centre than this.
    pub const REACH: f32 = 1.3;

    /// Signed distance from `p` to the edge. Sizes differ so that all shapes look about equally large.
    pub fn distance(self, p: [f32; 2]) -> f32 {
        match self {
            Self::Cross => bar(p, 1.1, 0.36).min(bar(p, 0.36, 1.1)),
            Self::Dots => {
                // Five, as on a die; mirroring leaves the middle one and one of the corners.
                let corner = (p[0].abs() - 0.65).hypot(p[1].abs() - 0.65);
                p[0].hypot(p[1]).min(corner) - 0.29
            }
            Self::Grid => {
                let beside = [p[0].abs() - 0.45, p[1].abs() - 0.45];
                bar([beside[0], p[1]], 0.15, 1.05).min(bar([p[0], beside[1]], 1.05, 0.15))
            }
            Self::Ring => (p[0].hypot(p[1]) - 0.78).abs() - 0.22,
            Self::Star => polygon(p, &star()),
            Self::Zigzag => polyline(p, &ZIGZAG) - 0.18,
        }
    }
}

/// Corners of the zigzag's middle line.
const ZIGZAG: [[f32; 2]; 5] = [[-1.05, 0.4], [-0.525, -0.4], [0.0, 0.4], [0.525, -0.4], [1.05, 0.4]];

/// Signed distance to a rectangle of these half sides.
pub fn bar(p: [f32; 2], half_width: f32, half_height: f32) -> f32 {
    let (x, y) = (p[0].abs() - half_width, p[1].abs() - half_height);
    x.max(0.0).hypot(y.max(0.0)) + x.max(y).min(0.0)
}

/// Corners of a star with five points, on two circles in turn.
fn star() -> [[f32; 2]; 10] {
    std::array::from_fn(|i| {
        let angle = TAU * i as f32 / 10.0 - PI / 2.0;
        let radius = if i % 2 == 0 { 1.25 } else { 0.52 };
        [radius * angle.cos(), radius * angle.sin()]
    })
}

/// Distance to the line from `a` to `b`.
fn segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let edge = [b[0] - a[0], b[1] - a[1]];
    let from = [p[0] - a[0], p[1] - a[1]];
    let along = (from[0] * edge[0] + from[1] * edge[1]) / (edge[0] * edge[0] + edge[1] * edge[1]);
    let t = along.clamp(0.0, 1.0);
    (from[0] - t * edge[0]).hypot(from[1] - t * edge[1])
}

/// Distance to a line through these points.
fn polyline(p: [f32; 2], points: &[[f32; 2]]) -> f32 {
    points.windows(2).map(|w| segment(p, w[0], w[1])).fold(f32::INFINITY, f32::min)
}

/// Signed distance to a simple polygon: the nearest edge, negative where a ray to the right crosses an odd number of them.
fn polygon(p: [f32; 2], corners: &[[f32; 2]]) -> f32 {
    let mut nearest = f32::INFINITY;
    let mut inside = false;
    for (i, &a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        nearest = nearest.min(segment(p, a, b));
        let straddles = (a[1] > p[1]) != (b[1] > p[1]);
        if straddles && p[0] < a[0] + (b[0] - a[0]) * (p[1] - a[1]) / (b[1] - a[1]) {
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
        close(Shape::Cross, 2.0 * 2.2 * 0.72 - 0.72 * 0.72);
        close(Shape::Dots, 5.0 * PI * 0.29 * 0.29);
        close(Shape::Grid, 4.0 * 2.1 * 0.3 - 4.0 * 0.3 * 0.3);
        close(Shape::Ring, PI * (1.0 - 0.56 * 0.56));
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
