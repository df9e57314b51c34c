//! Cosine annealing.

use serde::{Deserialize, Serialize};

use super::anneal;

/// Half a cosine from `lr` down to `min_lr` (Loshchilov and Hutter, arXiv 1608.03983, without restarts):
///
/// `min_lr + (lr - min_lr) * (1 + cos(pi * step / total_steps)) / 2`
///
/// Equal to PyTorch's `CosineAnnealingLR` with `T_max = total_steps`. The last step of the run, `total_steps - 1`, is just
/// above `min_lr`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cosine {
    /// Rate of step 0.
    pub lr: f64,
    /// Rate that is reached at `total_steps`.
    pub min_lr: f64,
    /// Steps of the run.
    pub total_steps: u64,
}

impl Cosine {
    /// Learning rate of step `step`, from 0.
    pub fn lr(&self, step: u64) -> f64 {
        let total = self.total_steps.max(1);
        anneal(self.lr, self.min_lr, step.min(total) as f64 / total as f64)
    }
}
