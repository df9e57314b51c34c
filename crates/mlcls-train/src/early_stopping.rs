//! When to end a run that no longer gets better.

use serde::{Deserialize, Serialize};

use crate::improvement::{Improvement, ScoreTracker};

/// Settings of early stopping.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStoppingConfig {
    /// First epoch, from 1, whose validation counts. A validation before training (epoch 0) never does.
    pub start: usize,
    /// Steps of warm-up; validations before its end do not count.
    pub warmup_steps: u64,
    /// Validations in a row without improvement that end the run, from 1.
    pub patience: usize,
    /// What counts as improvement.
    pub improvement: Improvement,
}

/// Ends a run after `patience` validations in a row without improvement.
///
/// OTX 1.6 asks for [`Improvement::ShrunkScore`]`(0.01)` and takes start and patience from
/// [`AdaptiveInterval`](crate::AdaptiveInterval); the run behind OTX's published table used start 3, patience 8 and
/// `ShrunkScore(0.0)`. Both watch the mAP of the raw weights, not of their average.
///
/// The whole value is its state: serialise it to save, deserialise to resume.
///
/// ```
/// use mlcls_train::{EarlyStopping, EarlyStoppingConfig, Improvement};
///
/// let improvement = Improvement::ShrunkScore(0.0);
/// let config = EarlyStoppingConfig { start: 1, warmup_steps: 0, patience: 2, improvement };
/// let mut stopping = EarlyStopping::new(config);
/// let stop: Vec<bool> = [60.0, 70.0, 69.0, 70.0]
///     .into_iter()
///     .zip(1..)
///     .map(|(score, epoch)| stopping.observe(epoch, 100, score))
///     .collect();
/// assert_eq!(stop, [false, false, false, true]);
/// assert_eq!(stopping.best(), Some(70.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    config: EarlyStoppingConfig,
    tracker: ScoreTracker,
}

impl EarlyStopping {
    /// Before the first validation.
    pub fn new(config: EarlyStoppingConfig) -> Self {
        Self { config, tracker: ScoreTracker::new(config.improvement) }
    }

    /// Takes in the score of a validation after `epoch` epochs and `steps` steps in all; returns whether to stop.
    pub fn observe(&mut self, epoch: usize, steps: u64, score: f64) -> bool {
        if epoch == 0 || epoch < self.config.start || steps < self.config.warmup_steps {
            return false;
        }
        self.tracker.observe(score) >= self.config.patience.max(1)
    }

    /// The score that the next one is compared with; none before the first that counts.
    ///
    /// Not always the highest seen: a gain too small to count leaves it as it was.
    pub fn best(&self) -> Option<f64> {
        self.tracker.best
    }

    /// Validations in a row without improvement.
    pub fn bad_checks(&self) -> usize {
        self.tracker.bad_checks
    }
}
