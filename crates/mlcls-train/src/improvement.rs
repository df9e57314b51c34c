//! When a score counts as better than the best before it.

use serde::{Deserialize, Serialize};

/// When a score counts as an improvement on the best so far; larger is better.
///
/// The peers differ, and runs end at different epochs for it. The first score that is a number is always an improvement;
/// NaN never is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Improvement {
    /// `score >= best`: a tie counts (OTX's plateau schedule).
    AtLeast,
    /// `score > best * (1 + gain)` (PyTorch's `ReduceLROnPlateau`, threshold mode `rel`); with gain 0, `score > best`.
    OverBest(f64),
    /// `score - score * gain > best` (OTX's early stopping, `min_delta_ratio`); with gain 0, `score > best`.
    ShrunkScore(f64),
}

impl Improvement {
    /// Whether `score` improves on `best`.
    ///
    /// ```
    /// use mlcls_train::Improvement;
    ///
    /// assert!(Improvement::AtLeast.holds(80.0, Some(80.0)));
    /// assert!(!Improvement::OverBest(0.0).holds(80.0, Some(80.0)));
    /// assert!(!Improvement::ShrunkScore(0.01).holds(80.8, Some(80.0))); // 79.992
    /// ```
    pub fn holds(self, score: f64, best: Option<f64>) -> bool {
        let Some(best) = best else { return !score.is_nan() };
        match self {
            Self::AtLeast => score >= best,
            Self::OverBest(gain) => score > best * (1.0 + gain),
            Self::ShrunkScore(gain) => score - score * gain > best,
        }
    }
}

/// The best score so far, and how many checks have passed without an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScoreTracker {
    improvement: Improvement,
    pub(crate) best: Option<f64>,
    pub(crate) bad_checks: usize,
}

impl ScoreTracker {
    pub(crate) fn new(improvement: Improvement) -> Self {
        Self { improvement, best: None, bad_checks: 0 }
    }

    /// Takes in one score; returns the checks without improvement, this one included.
    pub(crate) fn observe(&mut self, score: f64) -> usize {
        if self.improvement.holds(score, self.best) {
            self.best = Some(score);
            self.bad_checks = 0;
        } else {
            self.bad_checks += 1;
        }
        self.bad_checks
    }
}
