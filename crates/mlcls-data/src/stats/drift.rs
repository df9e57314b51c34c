//! Whether a label is as frequent in one split as in another.

use serde::Serialize;

use crate::summary::{SplitSummary, Summary};

/// The prevalence of a label in two splits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// The label, as a position in [`Summary::labels`].
    pub label: usize,
    /// The split that others are held against: the first.
    pub base: String,
    /// The other split.
    pub split: String,
    /// Prevalence in `split` minus that in `base`, -1 to 1.
    pub difference: f64,
    /// The 95 % interval of the difference: Newcombe's hybrid score interval (R. G. Newcombe, *Interval
    /// estimation for the difference between independent proportions*, 1998, method 10).
    pub interval: [f64; 2],
    /// The chance of a table at most as likely as this one if both splits came from one source: Fisher's exact
    /// test, two-sided; corrected for the number of labels and splits by Holm's method.
    pub p_value: f64,
}

impl Drift {
    /// Whether chance alone explains the difference badly: a corrected p-value below 0.05.
    pub fn is_significant(&self) -> bool {
        self.p_value < 0.05
    }
}

/// Every label of every split after the first; labels that nothing is known of in one of the two are left out.
pub(super) fn between(summary: &Summary) -> Vec<Drift> {
    let Some((base, others)) = summary.splits.split_first() else { return Vec::new() };
    let known = |split: &SplitSummary, label: usize| split.images - split.unknowns[label];
    let mut drift: Vec<Drift> = others
        .iter()
        .flat_map(|split| (0..summary.labels.len()).map(move |label| (split, label)))
        .filter(|(split, label)| known(base, *label) > 0 && known(split, *label) > 0)
        .map(|(split, label)| {
            let here = Proportion { hits: split.positives[label], of: known(split, label) };
            let there = Proportion { hits: base.positives[label], of: known(base, label) };
            Drift {
                label,
                base: base.name.clone(),
                split: split.name.clone(),
                difference: here.value() - there.value(),
                interval: difference_interval(here, there),
                p_value: fisher_exact(here, there),
            }
        })
        .collect();
    holm(&mut drift);
    drift
}

#[derive(Clone, Copy)]
struct Proportion {
    hits: usize,
    /// At least 1.
    of: usize,
}

impl Proportion {
    fn value(self) -> f64 {
        self.hits as f64 / self.of as f64
    }

    /// Wilson's 95 % score interval.
    fn wilson(self) -> [f64; 2] {
        const Z: f64 = 1.959_963_984_540_054;
        let (p, n) = (self.value(), self.of as f64);
        let middle = p + Z * Z / (2.0 * n);
        let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        [(middle - half) / scale, (middle + half) / scale]
    }
}

/// Newcombe's interval of `a - b`.
fn difference_interval(a: Proportion, b: Proportion) -> [f64; 2] {
    let (p, q) = (a.value(), b.value());
    let ([a_low, a_high], [b_low, b_high]) = (a.wilson(), b.wilson());
    let low = p - q - (p - a_low).hypot(b_high - q);
    let high = p - q + (a_high - p).hypot(q - b_low);
    [low, high]
}

/// The two-sided p-value of Fisher's exact test: the sum over all tables with these margins that are at most as
/// likely as the one seen.
fn fisher_exact(a: Proportion, b: Proportion) -> f64 {
    let (hits, total) = (a.hits + b.hits, a.of + b.of);
    let (least, most) = (hits.saturating_sub(b.of), hits.min(a.of));
    // Probability relative to the table seen, from one table to its neighbour.
    let up = |x: usize| {
        let (x, hits, of) = (x as f64, hits as f64, a.of as f64);
        (hits - x) * (of - x) / ((x + 1.0) * (total as f64 - hits - of + x + 1.0))
    };
    let mut weights = vec![1.0];
    let mut weight = 1.0;
    for x in a.hits..most {
        weight *= up(x);
        weights.push(weight);
    }
    weight = 1.0;
    for x in (least..a.hits).rev() {
        weight /= up(x);
        weights.push(weight);
    }
    // The seen table has weight 1. Summed from small to large; as likely means up to rounding.
    weights.sort_by(f64::total_cmp);
    let at_most_as_likely: f64 = weights.iter().filter(|w| **w <= 1.0 + 1e-7).sum();
    at_most_as_likely / weights.iter().sum::<f64>()
}

/// Holm's correction: the k-th smallest of n p-values is multiplied by `n - k + 1`, and never falls below the one
/// before it.
fn holm(drift: &mut [Drift]) {
    let mut order: Vec<usize> = (0..drift.len()).collect();
    order.sort_by(|a, b| drift[*a].p_value.total_cmp(&drift[*b].p_value));
    let mut least = 0.0f64;
    for (k, i) in order.into_iter().enumerate() {
        least = least.max(drift[i].p_value * (drift.len() - k) as f64).min(1.0);
        drift[i].p_value = least;
    }
}
