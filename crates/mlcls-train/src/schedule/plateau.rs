//! Lower the rate when the score stalls.

use serde::{Deserialize, Serialize};

use crate::improvement::{Improvement, ScoreTracker};

/// Settings of [`Plateau`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlateauConfig {
    /// First rate.
    pub lr: f64,
    /// The rate is multiplied by this, between 0 and 1.
    pub factor: f64,
    /// Validations in a row without improvement that lower the rate, from 1.
    pub patience: usize,
    /// Lowest rate.
    pub min_lr: f64,
    /// What counts as improvement.
    pub improvement: Improvement,
}

/// Lowers the rate to `max(lr * factor, min_lr)` after `patience` validations in a row without improvement, then counts
/// from 0 again; the best score stays.
///
/// OTX 1.6's recipe: factor 0.5, `min_lr` 1e-6, [`Improvement::AtLeast`], patience from
/// [`AdaptiveInterval`](crate::AdaptiveInterval).
///
/// PyTorch's `ReduceLROnPlateau(mode="max", threshold=t, patience=p)` is [`Improvement::OverBest`]`(t)` with patience
/// `p + 1`, since it lowers the rate when *more* than `p` validations were bad. Its `cooldown` is not here; nor is its
/// `eps`, which leaves out changes of the rate below 1e-8.
///
/// ```
/// use mlcls_train::{Improvement, Plateau, PlateauConfig};
///
/// let improvement = Improvement::AtLeast;
/// let mut plateau = Plateau::new(PlateauConfig { lr: 0.1, factor: 0.5, patience: 2, min_lr: 1e-6, improvement });
/// let lowered: Vec<_> = [50.0, 49.0, 50.0, 48.0, 49.0].map(|score| plateau.observe(score)).into();
/// assert_eq!(lowered, [None, None, None, None, Some(0.05)]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    config: PlateauConfig,
    lr: f64,
    tracker: ScoreTracker,
}

impl Plateau {
    /// Before the first validation.
    pub fn new(config: PlateauConfig) -> Self {
        Self { config, lr: config.lr, tracker: ScoreTracker::new(config.improvement) }
    }

    /// The rate now.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Takes in the score of a validation, larger is better; returns the new rate if that lowers it.
    pub fn observe(&mut self, score: f64) -> Option<f64> {
        if self.tracker.observe(score) < self.config.patience.max(1) {
            return None;
        }
        self.tracker.bad_checks = 0;
        let lower = (self.lr * self.config.factor).max(self.config.min_lr);
        (lower < self.lr).then(|| {
            self.lr = lower;
            lower
        })
    }
}
