//! From values to places along an axis, and the round numbers that stand there.

/// How an axis runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences take equal room.
    Linear,
    /// Equal ratios take equal room; values of 0 and below are left out.
    Log,
}

impl Scale {
    /// Whether the value has a place.
    pub(super) fn holds(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    /// The value as it lies along the axis.
    pub(super) fn warp(self, value: f64) -> f64 {
        if self == Self::Log { value.ln() } else { value }
    }

    /// The value at a place along the axis.
    pub(super) fn unwarp(self, place: f64) -> f64 {
        if self == Self::Log { place.exp() } else { place }
    }
}

/// A stretch of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Values from `low` to `high` between the coordinates `from` and `to`. A range of no length is widened.
    pub(super) fn new(scale: Scale, [low, high]: [f64; 2], [from, to]: [f64; 2]) -> Self {
        let (low, high) = if low < high {
            (low, high)
        } else if scale == Scale::Log {
            (low / 2.0, low * 2.0)
        } else {
            (low - 0.5, low + 0.5)
        };
        Self { scale, low, high, from, to }
    }

    /// The coordinate of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let [low, high, value] = [self.low, self.high, value].map(|v| self.scale.warp(v));
        self.from + (self.to - self.from) * (value - low) / (high - low)
    }

    /// Round values within the range, about `wanted` of them.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, wanted),
            Scale::Log => log_ticks(self.low, self.high, wanted),
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let slack = step * 1e-9;
    let first = ((low - slack) / step).ceil() as i64;
    let last = ((high + slack) / step).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// 1, 2 and 5 times powers of ten, or powers alone where those are too many; linear ticks within one step.
fn log_ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |multiples: &[f64]| -> Vec<f64> {
        let all = powers.clone().flat_map(|p| multiples.iter().map(move |m| m * 10f64.powi(p)));
        all.filter(|v| (low * 0.999..=high * 1.001).contains(v)).collect()
    };
    let fine = within(&[1.0, 2.0, 5.0]);
    match fine.len() {
        0..3 => linear_ticks(low, high, wanted),
        n if n > wanted + 2 => within(&[1.0]),
        _ => fine,
    }
}

/// The largest value, at least a little above 0.
pub(super) fn top(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|v| v.is_finite()).fold(0.0, f64::max).max(1e-9)
}

/// A number as it stands at a tick: at most three digits behind the point, thousands as `k`, millions as `M`.
pub(super) fn label(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{unit}", if text == "-0" { "0" } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(scale: Scale, low: f64, high: f64) -> Vec<String> {
        Axis::new(scale, [low, high], [0.0, 1.0]).ticks(5).into_iter().map(label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(Scale::Linear, 0.0, 740.0), ["0", "200", "400", "600"]);
        assert_eq!(ticks(Scale::Linear, -0.03, 0.07), ["-0.02", "0", "0.02", "0.04", "0.06"]);
        assert_eq!(ticks(Scale::Linear, 0.0, 123_000.0), ["0", "50k", "100k"]);
        assert_eq!(ticks(Scale::Linear, 3.0, 3.0), ["2.6", "2.8", "3", "3.2", "3.4"]);
        assert_eq!(ticks(Scale::Log, 8_000.0, 2_500_000.0), ["10k", "100k", "1M"]);
        assert_eq!(ticks(Scale::Log, 90.0, 1100.0), ["100", "200", "500", "1000"]);
        assert_eq!(ticks(Scale::Log, 300.0, 460.0), ["300", "350", "400", "450"]);
    }

    #[test]
    fn values_lie_where_they_should() {
        let axis = Axis::new(Scale::Log, [1.0, 100.0], [50.0, 250.0]);
        assert!((axis.at(10.0) - 150.0).abs() < 1e-9);
        let down = Axis::new(Scale::Linear, [0.0, 4.0], [100.0, 0.0]);
        assert_eq!((down.at(0.0), down.at(1.0)), (100.0, 75.0));
        assert_eq!(Axis::new(Scale::Linear, [7.0, 7.0], [0.0, 10.0]).at(7.0), 5.0);
        assert!(Axis::new(Scale::Log, [7.0, 7.0], [0.0, 10.0]).at(7.0).is_finite());
    }
}
