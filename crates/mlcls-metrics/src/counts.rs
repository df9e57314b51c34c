//! The four counts of a yes-or-no decision, and the ratios made of them.

use std::ops::AddAssign;

use serde::Serialize;

use crate::Answer;

/// How often a label was said and right, said and wrong, not said and right, not said and wrong.
///
/// Ratios whose denominator is 0 are undefined. [`Counts::precision`] and its siblings return `None` then; means over
/// labels count them as 0, as scikit-learn does with `zero_division=0` and as mmcls does.
///
/// ```
/// # use mlcls_metrics::Counts;
/// let counts = Counts { true_positives: 3, false_positives: 1, false_negatives: 2, true_negatives: 4 };
/// assert_eq!(counts.precision(), Some(0.75));
/// assert_eq!(counts.recall(), Some(0.6));
/// assert_eq!(counts.f1(), Some(6.0 / 9.0));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Predicted present, and present.
    pub true_positives: usize,
    /// Predicted present, but absent.
    pub false_positives: usize,
    /// Predicted absent, but present.
    pub false_negatives: usize,
    /// Predicted absent, and absent.
    pub true_negatives: usize,
}

impl Counts {
    /// Adds one decision; an unknown answer changes nothing.
    pub fn add(&mut self, predicted: bool, answer: Answer) {
        match (predicted, answer) {
            (true, Answer::Present) => self.true_positives += 1,
            (true, Answer::Absent) => self.false_positives += 1,
            (false, Answer::Present) => self.false_negatives += 1,
            (false, Answer::Absent) => self.true_negatives += 1,
            (_, Answer::Unknown) => {}
        }
    }

    /// How many decisions were added: all known ones.
    pub fn known(&self) -> usize {
        self.positives() + self.negatives()
    }

    /// How many known entries have the label.
    pub fn positives(&self) -> usize {
        self.true_positives + self.false_negatives
    }

    /// How many known entries do not have the label.
    pub fn negatives(&self) -> usize {
        self.false_positives + self.true_negatives
    }

    /// `TP / (TP + FP)`; `None` if nothing was predicted present.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// `TP / (TP + FN)`; `None` if nothing is present.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.positives())
    }

    /// `2·TP / (2·TP + FP + FN)`, the harmonic mean of precision and recall; `None` if nothing is present and nothing
    /// was predicted present.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }

    /// The fraction of decisions that were right; `None` if there were none.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positives + self.true_negatives, self.known())
    }

    /// The fraction of decisions that were wrong; `None` if there were none.
    pub fn error_rate(&self) -> Option<f64> {
        ratio(self.false_positives + self.false_negatives, self.known())
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

/// `part / whole`, where that is defined.
pub(crate) fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
