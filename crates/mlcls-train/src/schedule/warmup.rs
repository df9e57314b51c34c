//! Linear warm-up.

use serde::{Deserialize, Serialize};

/// Linear warm-up: the rate's share goes from `ratio` at step 0 to 1 at step `steps`.
///
/// `factor(step) = 1 - (1 - step / steps) * (1 - ratio)` for `step < steps`, then 1: MMCV's `warmup="linear"` (OTX:
/// 10 steps, ratio 0.333), and PyTorch's `LinearLR(start_factor=ratio, total_iters=steps)`. The plain ramp
/// `(step + 1) / n` is `Warmup { steps: n - 1, ratio: 1 / n }`.
///
/// ```
/// use mlcls_train::Warmup;
///
/// let warmup = Warmup { steps: 2, ratio: 0.5 };
/// assert_eq!([0, 1, 2, 3].map(|step| warmup.factor(step)), [0.5, 0.75, 1.0, 1.0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warmup {
    /// Steps until the full rate; 0 is no warm-up.
    pub steps: u64,
    /// Share of the rate at step 0, 0 to 1.
    pub ratio: f64,
}

impl Warmup {
    /// Share of the rate at step `step`, from 0.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.steps {
            1.0 - (1.0 - step as f64 / self.steps as f64) * (1.0 - self.ratio)
        } else {
            1.0
        }
    }
}
