//! Metrics of the decisions that a threshold makes of the scores.

use serde::Serialize;

use crate::counts::ratio;
use crate::{Answer, Counts, Scores};

/// From which score on a label is predicted present: one for all, or one for each. Of the same kind as the scores: 0.5 for
/// probabilities, 0 for logits. With a threshold of NaN nothing is predicted present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold<'a> {
    /// One for all labels.
    Same(f32),
    /// One for each label, in order.
    PerLabel(&'a [f32]),
}

impl Threshold<'_> {
    /// That of one label.
    ///
    /// # Panics
    /// If there is none for it.
    pub fn of(self, label: usize) -> f32 {
        match self {
            Self::Same(threshold) => threshold,
            Self::PerLabel(thresholds) => thresholds[label],
        }
    }
}

impl From<f32> for Threshold<'_> {
    fn from(threshold: f32) -> Self {
        Self::Same(threshold)
    }
}

impl<'a> From<&'a [f32]> for Threshold<'a> {
    fn from(thresholds: &'a [f32]) -> Self {
        Self::PerLabel(thresholds)
    }
}

/// Metrics of decisions: a label is predicted present if its score is **at least** its threshold.
///
/// Unknown entries are left out everywhere. (mmcls and OTX 1.x count them as absent here, though not in their average
/// precision.) Fractions from 0 to 1. A label whose precision or recall is undefined (0/0) counts as 0 in CP, CR and
/// macro-F1, as in mmcls, mmpretrain and in scikit-learn with `zero_division=0`; only a label of which nothing is known
/// is left out of those means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtThreshold {
    /// CP: the mean over labels of the precision.
    pub cp: f64,
    /// CR: the mean over labels of the recall.
    pub cr: f64,
    /// CF1: the harmonic mean of CP and CR, as papers on multi-label classification report it.
    pub cf1: f64,
    /// The mean over labels of F1: what scikit-learn calls F1 with `average="macro"`. Not the same as CF1.
    pub macro_f1: f64,
    /// OP: the precision of all decisions pooled ("overall", "micro").
    pub op: f64,
    /// OR: the recall of all decisions pooled.
    pub or: f64,
    /// OF1: the harmonic mean of OP and OR, the micro-F1 of scikit-learn.
    pub of1: f64,
    /// Hamming loss: the fraction of decisions that are wrong; `None` if nothing is known.
    pub hamming_loss: Option<f64>,
    /// Subset accuracy: the fraction of images of which every known label is decided rightly. Images of which nothing
    /// is known are left out; `None` if that is all.
    pub subset_accuracy: Option<f64>,
    /// The `accuracy-mlc` of OTX 1.x, by which it picks its best checkpoint: the fraction of decisions that are right
    /// if a label is predicted present only **above** the threshold. It is `1 − hamming_loss` unless a score equals
    /// the threshold. `None` if nothing is known. High for a model that says nothing, where most labels are absent.
    pub accuracy_mlc: Option<f64>,
}

/// Computes the metrics at a threshold, or at one for each label.
///
/// # Panics
/// If there are fewer thresholds than labels.
///
/// ```
/// use mlcls_metrics::{Scores, at_threshold};
/// // Two images, two labels; only the last decision is wrong.
/// let scores = Scores::new(&[0.9, 0.2, 0.3, 0.4], &[1.0, 0.0, 0.0, 1.0], &[1.0; 4], 2)?;
/// let metrics = at_threshold(&scores, 0.5);
/// assert_eq!((metrics.op, metrics.or), (1.0, 0.5));
/// assert_eq!((metrics.hamming_loss, metrics.subset_accuracy), (Some(0.25), Some(0.5)));
/// # Ok::<(), mlcls_metrics::Error>(())
/// ```
pub fn at_threshold<'t>(scores: &Scores<'_>, threshold: impl Into<Threshold<'t>>) -> AtThreshold {
    let threshold = threshold.into();
    summarise(scores, &count_per_label(scores, threshold), threshold)
}

/// The counts of each label.
pub(crate) fn count_per_label(scores: &Scores<'_>, threshold: Threshold<'_>) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); scores.labels()];
    for image in 0..scores.images() {
        for (label, (score, answer)) in scores.image(image).enumerate() {
            counts[label].add(score >= threshold.of(label), answer);
        }
    }
    counts
}

/// The metrics, given the counts of each label at the same threshold.
pub(crate) fn summarise(scores: &Scores<'_>, per_label: &[Counts], threshold: Threshold<'_>) -> AtThreshold {
    let mean = |metric: fn(&Counts) -> Option<f64>| {
        let known = per_label.iter().filter(|counts| counts.known() > 0);
        let (labels, sum) = known.fold((0, 0.0), |(n, sum), c| (n + 1, sum + metric(c).unwrap_or(0.0)));
        if labels == 0 { 0.0 } else { sum / f64::from(labels) }
    };
    let (cp, cr) = (mean(Counts::precision), mean(Counts::recall));
    let mut pooled = Counts::default();
    per_label.iter().for_each(|counts| pooled += *counts);
    AtThreshold {
        cp,
        cr,
        cf1: if cp + cr > 0.0 { 2.0 * cp * cr / (cp + cr) } else { 0.0 },
        macro_f1: mean(Counts::f1),
        op: pooled.precision().unwrap_or(0.0),
        or: pooled.recall().unwrap_or(0.0),
        of1: pooled.f1().unwrap_or(0.0),
        hamming_loss: pooled.error_rate(),
        subset_accuracy: subset_accuracy(scores, threshold),
        accuracy_mlc: accuracy_mlc(scores, threshold),
    }
}

fn subset_accuracy(scores: &Scores<'_>, threshold: Threshold<'_>) -> Option<f64> {
    let (mut images, mut all_right) = (0, 0);
    for image in 0..scores.images() {
        let entries = scores.image(image).enumerate();
        let mut known = entries.filter(|(_, (_, answer))| *answer != Answer::Unknown).peekable();
        if known.peek().is_some() {
            images += 1;
            let right = known.all(|(label, (score, answer))| {
                (score >= threshold.of(label)) == (answer == Answer::Present)
            });
            all_right += usize::from(right);
        }
    }
    ratio(all_right, images)
}

fn accuracy_mlc(scores: &Scores<'_>, threshold: Threshold<'_>) -> Option<f64> {
    let mut counts = Counts::default();
    for (label, (score, answer)) in (0..scores.images()).flat_map(|image| scores.image(image).enumerate()) {
        counts.add(score > threshold.of(label), answer);
    }
    counts.accuracy()
}
