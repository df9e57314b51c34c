//! From the values that an activation took to the range that its eight bits cover.

use super::grid::Grid;

/// Bins of a histogram.
const BINS: usize = 2048;

/// Share of the values that [`RangeMethod::Percentile`] leaves out.
const TAILS: f64 = 1e-4;

/// How the range of an activation is found. What lies outside is cut off; a narrow range has a fine grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RangeMethod {
    /// All values that were seen.
    MinMax,
    /// All but one value in ten thousand, half of them at either end.
    Percentile,
    /// The range of the least mean squared error.
    #[default]
    Mse,
}

/// The values of an activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    low: f32,
    high: f32,
    /// Zeros are not counted: every grid holds them exactly.
    counts: Vec<u64>,
}

impl Histogram {
    /// An empty one over a range.
    pub fn new(low: f32, high: f32) -> Self {
        Self { low, high, counts: vec![0; BINS] }
    }

    /// Counts values of the range.
    pub fn add(&mut self, values: &[f32]) {
        let per_unit = BINS as f32 / (self.high - self.low);
        for &v in values.iter().filter(|&&v| v != 0.0) {
            let bin = ((v - self.low) * per_unit) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// Adds what another has counted over the same range.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }

    /// The grid that a method finds.
    pub fn grid(&self, method: RangeMethod) -> Grid {
        let (low, high) = match method {
            RangeMethod::MinMax => (self.low, self.high),
            RangeMethod::Percentile => self.percentile(),
            RangeMethod::Mse => self.least_error(),
        };
        Grid::over(low, high)
    }

    fn width(&self) -> f32 {
        (self.high - self.low) / BINS as f32
    }

    fn percentile(&self) -> (f32, f32) {
        let out = (self.counts.iter().sum::<u64>() as f64 * TAILS / 2.0) as u64;
        let bins = |counts: &mut dyn Iterator<Item = &u64>| {
            let mut left = out;
            let whole = counts.take_while(|&&count| {
                let inside = count <= left;
                left = left.saturating_sub(count);
                inside
            });
            whole.count() as f32
        };
        let (below, above) = (bins(&mut self.counts.iter()), bins(&mut self.counts.iter().rev()));
        (self.low + below * self.width(), self.high - above * self.width())
    }

    /// Moves one end at a time towards the middle, as long as that helps.
    fn least_error(&self) -> (f32, f32) {
        const STEPS: usize = 100;
        let shares = || (1..=STEPS).map(|i| i as f32 / STEPS as f32);
        let best = |candidates: &mut dyn Iterator<Item = (f32, f32)>| {
            let scored = candidates.map(|range| (self.squared_error(range), range));
            scored.min_by(|a, b| a.0.total_cmp(&b.0)).map_or((self.low, self.high), |(_, range)| range)
        };
        let mut range = (self.low, self.high);
        for _ in 0..2 {
            range = best(&mut shares().map(|share| (range.0, self.high * share)));
            range = best(&mut shares().map(|share| (self.low * share, range.1)));
        }
        range
    }

    /// What rounding and cutting off cost over all values.
    fn squared_error(&self, (low, high): (f32, f32)) -> f64 {
        let grid = Grid::over(low, high);
        let (first, last) = (grid.dequantise(0.0), grid.dequantise(255.0));
        let rounding = f64::from(grid.scale).powi(2) / 12.0;
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| {
            let v = self.low + (bin as f32 + 0.5) * self.width();
            let outside = f64::from((first - v).max(v - last).max(0.0));
            count as f64 * (rounding + outside * outside)
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quantiles of a distribution, as a histogram over all of them.
    fn histogram(quantile: impl Fn(f64) -> f64, n: usize) -> Histogram {
        let values: Vec<f32> = (0..n).map(|i| quantile((i as f64 + 0.5) / n as f64) as f32).collect();
        let mut histogram = Histogram::new(values[0].min(0.0), values[n - 1].max(0.0));
        histogram.add(&values);
        histogram
    }

    fn ends(grid: Grid) -> (f32, f32) {
        (grid.dequantise(0.0), grid.dequantise(255.0))
    }

    #[test]
    fn values_that_are_spread_evenly_are_all_kept() {
        let even = histogram(|p| 4.0 * p - 1.0, 100_000);
        for method in [RangeMethod::MinMax, RangeMethod::Percentile, RangeMethod::Mse] {
            let (low, high) = ends(even.grid(method));
            assert!((low + 1.0).abs() < 0.03 && (high - 3.0).abs() < 0.03, "{method:?}: {low} to {high}");
        }
    }

    /// For a Laplacian the best symmetric clip is where 2 exp(-a) = a / (3 * 4^bits): 9.89 times its scale for 8 bits
    /// (Banner et al. 2019, <https://arxiv.org/abs/1810.05723>, equation 7, which neglects how much of the mass is outside).
    #[test]
    fn the_least_error_is_that_of_the_literature() {
        let laplace = histogram(|p| if p < 0.5 { (2.0 * p).ln() } else { -(2.0 - 2.0 * p).ln() }, 4_000_000);
        let (low, high) = ends(laplace.grid(RangeMethod::Mse));
        assert!((low + 9.89).abs() < 0.4 && (high - 9.89).abs() < 0.4, "{low} to {high}");
        let (low, high) = ends(laplace.grid(RangeMethod::MinMax));
        assert!(low < -14.0 && high > 14.0, "{low} to {high}");
    }

    #[test]
    fn a_percentile_leaves_out_its_share() {
        let mut values = vec![1.0; 99_995];
        values.extend([50.0; 5]);
        let mut with_outliers = Histogram::new(0.0, 50.0);
        with_outliers.add(&values);
        let (low, high) = ends(with_outliers.grid(RangeMethod::Percentile));
        assert!(low == 0.0 && (1.0..1.1).contains(&high), "{low} to {high}");
        values.extend([50.0; 5]);
        with_outliers.add(&values);
        assert!(ends(with_outliers.grid(RangeMethod::Percentile)).1 > 49.0);
    }

    #[test]
    fn zeros_and_nothing_at_all_have_a_grid() {
        let mut zeros = Histogram::new(0.0, 0.0);
        zeros.add(&[0.0; 9]);
        for method in [RangeMethod::MinMax, RangeMethod::Percentile, RangeMethod::Mse] {
            assert_eq!(zeros.grid(method), Grid { scale: 1.0, zero: 0 });
        }
    }
}
