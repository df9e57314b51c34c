//! From logits to scores that are probabilities: of all decisions with a score of 0.3, three in ten should be right.

use serde::{Deserialize, Serialize};

use crate::folds::Folds;
use crate::{Answer, Scores};

/// How a logit becomes a score: `sigmoid(slope * logit + offset)`.
///
/// Slopes are positive, so the order of images does not change, and neither does any average precision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// The sigmoid of the logit as it is.
    #[default]
    None,
    /// One slope for all labels, the inverse of the temperature of Guo et al. 2017.
    Temperature(f32),
    /// Slope and offset for each label: Platt 1999.
    Platt(Vec<[f32; 2]>),
}

impl Calibration {
    /// The score of a label.
    ///
    /// # Panics
    /// If Platt's numbers lack the label.
    pub fn score(&self, label: usize, logit: f32) -> f32 {
        let [slope, offset] = self.line(label);
        sigmoid(slope * logit + offset)
    }

    /// Scores of logits `[N, C]` of so many labels.
    ///
    /// # Panics
    /// As [`score`](Self::score).
    pub fn scores(&self, logits: &[f32], labels: usize) -> Vec<f32> {
        logits.iter().enumerate().map(|(i, &logit)| self.score(i % labels, logit)).collect()
    }

    /// The logit whose score this is: what a threshold of scores is for logits.
    ///
    /// # Panics
    /// As [`score`](Self::score).
    pub fn logit(&self, label: usize, score: f32) -> f32 {
        let [slope, offset] = self.line(label);
        ((score / (1.0 - score)).ln() - offset) / slope
    }

    /// Slope and offset of so many labels; `None` where nothing was calibrated.
    ///
    /// # Panics
    /// As [`score`](Self::score).
    pub fn lines(&self, labels: usize) -> Option<Vec<[f32; 2]>> {
        (*self != Self::None).then(|| (0..labels).map(|label| self.line(label)).collect())
    }

    /// Slope and offset.
    fn line(&self, label: usize) -> [f32; 2] {
        match self {
            Self::None => [1.0, 0.0],
            Self::Temperature(temperature) => [1.0 / temperature, 0.0],
            Self::Platt(lines) => lines[label],
        }
    }

    /// Fits one temperature to the logits of all known entries, by the likelihood. It lies within 0.01 and 100, which also
    /// ends the search where logits separate the answers perfectly. No calibration where nothing is known.
    pub fn fit_temperature(logits: &Scores<'_>) -> Self {
        let known: Vec<(f64, f64)> = (0..logits.labels()).flat_map(|label| known(logits, label)).collect();
        if known.is_empty() {
            return Self::None;
        }
        // The likelihood is concave in the slope: where its derivative changes sign is the best.
        let uphill = |slope: f64| known.iter().map(|&(z, y)| (y - probability(slope * z)) * z).sum::<f64>();
        let (mut low, mut high) = (0.01_f64, 100.0_f64);
        for _ in 0..60 {
            let middle = (low * high).sqrt();
            if uphill(middle) > 0.0 { low = middle } else { high = middle }
        }
        Self::Temperature((1.0 / (low * high).sqrt()) as f32)
    }

    /// Fits a slope and an offset for each label, by the likelihood with Platt's prior: of `P` positives each counts as
    /// `(P + 1) / (P + 2)`, of `N` negatives each as `1 / (N + 2)`.
    ///
    /// A label with fewer than `least_positives` positives or negatives, or whose scores are higher where it is absent, has the line of all
    /// entries pooled; where even that one falls, there is no calibration.
    pub fn fit_platt(logits: &Scores<'_>, least_positives: usize) -> Self {
        let pooled = platt((0..logits.labels()).flat_map(|label| known(logits, label)).collect());
        let Some(pooled) = pooled.filter(|line| line[0] > 0.0) else { return Self::None };
        let line = |label| {
            let entries: Vec<(f64, f64)> = known(logits, label).collect();
            let positives = entries.iter().filter(|entry| entry.1 == 1.0).count();
            let enough = positives.min(entries.len() - positives) >= least_positives.max(1);
            let own = if enough { platt(entries) } else { None };
            own.filter(|line| line[0] > 0.0).unwrap_or(pooled)
        };
        Self::Platt((0..logits.labels()).map(line).collect())
    }
}

/// Scores `[N, C]` of logits, each by a calibration that `fit` makes without it, in so many folds: what a calibration is worth
/// on new images. Positives and negatives of each label are dealt out in turns.
///
/// ```
/// use mlcls_metrics::{Calibration, Scores, cross_fit_calibration};
///
/// let logits = Scores::new(&[2.0, -1.0, 1.0, -2.0], &[1.0, 1.0, 0.0, 0.0], &[1.0; 4], 1)?;
/// let scores = cross_fit_calibration(&logits, 2, Calibration::fit_temperature);
/// assert!(scores[0] > scores[1]);
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn cross_fit_calibration(
    logits: &Scores<'_>,
    folds: usize,
    fit: impl Fn(&Scores<'_>) -> Calibration,
) -> Vec<f32> {
    Folds::deal(logits, folds).cross_fit(logits, fit, Calibration::score)
}

/// Logits and answers (1 or 0) of the known entries of a label. Infinite logits say nothing about a slope.
fn known<'a>(logits: &'a Scores<'_>, label: usize) -> impl Iterator<Item = (f64, f64)> + 'a {
    logits.label(label).filter_map(|(logit, answer)| match answer {
        Answer::Unknown => None,
        _ if logit.is_infinite() => None,
        Answer::Present => Some((logit.into(), 1.0)),
        Answer::Absent => Some((logit.into(), 0.0)),
    })
}

/// Slope and offset, by Newton's method with step halving; `None` where it comes to no end.
fn platt(entries: Vec<(f64, f64)>) -> Option<[f32; 2]> {
    let positives = entries.iter().filter(|entry| entry.1 == 1.0).count() as f64;
    let negatives = entries.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let entries: Vec<(f64, f64)> =
        entries.into_iter().map(|(z, y)| (z, if y == 1.0 { high } else { low })).collect();
    // ln(1 + e^x) - y x, without overflow.
    let loss = |[a, b]: [f64; 2]| -> f64 {
        let one = |&(z, y): &(f64, f64)| {
            let x = a * z + b;
            x.max(0.0) + (-x.abs()).exp().ln_1p() - y * x
        };
        entries.iter().map(one).sum()
    };
    let mut line = [0.0, ((positives + 1.0) / (negatives + 1.0)).ln()];
    let mut here = loss(line);
    for _ in 0..100 {
        let mut gradient = [0.0; 2];
        // A ridge keeps the matrix from being singular, for example where all logits are equal.
        let [mut aa, mut ab, mut bb] = [1e-12, 0.0, 1e-12];
        for &(z, y) in &entries {
            let p = probability(line[0] * z + line[1]);
            gradient[0] += (p - y) * z;
            gradient[1] += p - y;
            let weight = p * (1.0 - p);
            aa += weight * z * z;
            ab += weight * z;
            bb += weight;
        }
        if gradient.iter().all(|g| g.abs() < 1e-7) {
            return Some(line.map(|v| v as f32));
        }
        let determinant = aa * bb - ab * ab;
        let step = [
            (bb * gradient[0] - ab * gradient[1]) / determinant,
            (aa * gradient[1] - ab * gradient[0]) / determinant,
        ];
        let next = (0..30).map(|halvings| 0.5_f64.powi(halvings)).find_map(|share| {
            let next = [line[0] - share * step[0], line[1] - share * step[1]];
            let there = loss(next);
            (there < here).then_some((next, there))
        });
        match next {
            Some((next, there)) => (line, here) = (next, there),
            // No better number can be represented.
            None => return Some(line.map(|v| v as f32)),
        }
    }
    None
}

fn probability(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Known decisions whose scores lie in one range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bin {
    /// How many.
    pub count: usize,
    /// Their mean score; 0 where there are none.
    pub score: f64,
    /// The share of them where the label is present; 0 where there are none.
    pub present: f64,
}

/// What a reliability diagram shows: the known decisions of all labels by their score, in `bins` ranges of equal width from
/// 0 to 1. Scores outside go to the nearest.
///
/// ```
/// use mlcls_metrics::{Scores, reliability};
///
/// let scores = Scores::new(&[0.1, 0.2, 0.9], &[0.0, 1.0, 1.0], &[1.0; 3], 1)?;
/// let bins = reliability(&scores, 2);
/// assert_eq!((bins[0].count, bins[0].present, bins[1].count), (2, 0.5, 1));
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn reliability(scores: &Scores<'_>, bins: usize) -> Vec<Bin> {
    let bins = bins.max(1);
    let mut all = vec![Bin::default(); bins];
    for (score, answer) in (0..scores.images()).flat_map(|image| scores.image(image)) {
        if answer == Answer::Unknown {
            continue;
        }
        let bin = &mut all[((f64::from(score) * bins as f64) as usize).min(bins - 1)];
        bin.count += 1;
        bin.score += f64::from(score);
        bin.present += f64::from(u8::from(answer == Answer::Present));
    }
    for bin in all.iter_mut().filter(|bin| bin.count > 0) {
        bin.score /= bin.count as f64;
        bin.present /= bin.count as f64;
    }
    all
}

/// The expected calibration error (ECE): how far score and share of the present ones are apart, the mean over the bins of
/// [`reliability`] weighted by their counts. `None` where nothing is known. Most papers take 15 bins.
///
/// With many labels most decisions are easy and near 0, so the ECE is small even for scores that say little.
pub fn calibration_error(bins: &[Bin]) -> Option<f64> {
    let all: usize = bins.iter().map(|bin| bin.count).sum();
    let apart = bins.iter().map(|bin| bin.count as f64 * (bin.score - bin.present).abs()).sum::<f64>();
    (all > 0).then(|| apart / all as f64)
}

/// The mean over known decisions of `-ln(score)` where the label is present and `-ln(1 - score)` where it is absent; `None` where
/// nothing is known. Scores nearer than 1e-7 to 0 or 1 count as that near, or one of them could outweigh all.
pub fn log_loss(scores: &Scores<'_>) -> Option<f64> {
    let (mut sum, mut known) = (0.0, 0_usize);
    for (score, answer) in (0..scores.images()).flat_map(|image| scores.image(image)) {
        let score = f64::from(score).clamp(1e-7, 1.0 - 1e-7);
        sum -= match answer {
            Answer::Present => score.ln(),
            Answer::Absent => (1.0 - score).ln(),
            Answer::Unknown => continue,
        };
        known += 1;
    }
    (known > 0).then(|| sum / known as f64)
}
