//! The numbers that eight bits can stand for.

/// An activation in eight bits: `scale * (q - zero)` for `q` from 0 to 255. Zero is one of these numbers, so that padding and ReLU
/// stay exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Distance between neighbours.
    pub scale: f32,
    /// The `q` that stands for 0.
    pub zero: u8,
}

impl Grid {
    /// The grid over a range, which is widened to hold 0, and then so far that 0 is one of its numbers.
    ///
    /// (With the zero rounded and the range left as it is, an image from -1 to 1 would lie half a step beside the grid: every pixel
    /// would be off by the most that is possible.)
    ///
    /// ```
    /// use mlcls_export::int8::Grid;
    ///
    /// assert_eq!(Grid::over(0.0, 6.0), Grid { scale: 6.0 / 255.0, zero: 0 });
    /// assert_eq!(Grid::over(-1.0, 1.0), Grid { scale: 1.0 / 127.0, zero: 128 });
    /// ```
    pub fn over(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let zero = (-low / (high - low) * 255.0).round_ties_even();
        let below = if zero > 0.0 { -low / zero } else { 0.0 };
        let above = if zero < 255.0 { high / (255.0 - zero) } else { 0.0 };
        let scale = below.max(above);
        if !scale.is_normal() {
            return Self { scale: 1.0, zero: 0 };
        }
        Self { scale, zero: zero as u8 }
    }

    /// ONNX's `QuantizeLinear`: the `q` nearest to a number, halves to the even one.
    #[inline]
    pub fn quantise(self, v: f32) -> f32 {
        ((v / self.scale).round_ties_even() + f32::from(self.zero)).clamp(0.0, 255.0)
    }

    /// ONNX's `DequantizeLinear`.
    #[inline]
    pub fn dequantise(self, q: f32) -> f32 {
        self.scale * (q - f32::from(self.zero))
    }
}

/// A weight `[out, ..]` in eight bits: a scale per row, `q` from -127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    pub scales: Vec<f32>,
    pub quantised: Vec<i8>,
}

impl Rows {
    /// The greatest weight of each row is 127 steps from 0.
    pub fn of(values: &[f32], rows: usize) -> Self {
        let mut scales = vec![];
        let mut quantised = vec![];
        for row in values.chunks(values.len() / rows) {
            let greatest = row.iter().fold(0.0f32, |a, v| a.max(v.abs()));
            let scale = if (greatest / 127.0).is_normal() { greatest / 127.0 } else { 1.0 };
            scales.push(scale);
            quantised.extend(row.iter().map(|v| (v / scale).round_ties_even() as i8));
        }
        Self { scales, quantised }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_range_are_at_most_half_a_step_off() {
        for (low, high) in [(0.0, 6.0), (-0.375, 12.5), (-3.0, -1.0), (0.2, 0.3), (-1e-6, 1e-6)] {
            let grid = Grid::over(low, high);
            assert_eq!(grid.dequantise(grid.quantise(0.0)), 0.0);
            for i in 0..=1000 {
                let v = low + (high - low) * i as f32 / 1000.0;
                let off = (grid.dequantise(grid.quantise(v)) - v).abs();
                assert!(off <= grid.scale * 0.501, "{v} in {low} to {high}: {off}");
            }
        }
        assert_eq!(Grid::over(0.0, 0.0).quantise(5.0), 5.0);
        assert_eq!(Grid::over(0.0, 1.0).quantise(9.0), 255.0);
    }

    #[test]
    fn pixels_from_minus_one_to_one_stay_apart() {
        let grid = Grid::over(-1.0, 1.0);
        let mut all: Vec<u32> = (0..256).map(|p| grid.quantise((p as f32 - 127.5) / 127.5) as u32).collect();
        all.dedup();
        assert!(all.len() >= 255, "{} of 256 pixels are told apart", all.len());
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let grid = Grid { scale: 2.0, zero: 10 };
        assert_eq!([1.0, 3.0, 5.0, -1.0].map(|v| grid.quantise(v)), [10.0, 12.0, 12.0, 10.0]);
    }

    #[test]
    fn each_row_of_weights_has_its_own_scale() {
        let rows = Rows::of(&[1.27, -0.635, 0.0, 0.0, -2.54, 1.0], 3);
        assert_eq!(rows.quantised, [127, -64, 0, 0, -127, 50]);
        for (scale, expected) in rows.scales.iter().zip([0.01, 1.0, 0.02]) {
            assert!((scale - expected).abs() < 1e-7);
        }
    }
}
