//! The one-cycle policy.

use serde::{Deserialize, Serialize};

use super::anneal;

/// One cosine up, one cosine down (Smith and Topin, arXiv 1708.07120, in two phases):
///
/// ```text
/// start = max_lr / div_factor                 step 0
/// max_lr                                      step pct_start * total_steps - 1, need not be whole
/// end   = start / final_div_factor            step total_steps - 1
/// ```
///
/// Equal to PyTorch's `OneCycleLR` (`anneal_strategy="cos"`, `three_phase=False`) and to MMCV's updater: in both,
/// `final_div_factor` divides the *start*, not the maximum. The momentum stays as it is (`cycle_momentum=False`).
///
/// ```
/// use mlcls_train::OneCycle;
///
/// let table = OneCycle { max_lr: 0.0058, total_steps: 1000, pct_start: 0.2, div_factor: 100.0, final_div_factor: 1000.0 };
/// assert!((table.lr(0) - 5.8e-5).abs() < 1e-12);
/// assert!((table.lr(199) - 5.8e-3).abs() < 1e-12);
/// assert!((table.lr(999) - 5.8e-8).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneCycle {
    /// Highest rate.
    pub max_lr: f64,
    /// Steps of the run.
    pub total_steps: u64,
    /// Share of the run in which the rate rises, 0 to 1.
    pub pct_start: f64,
    /// The rate starts at `max_lr / div_factor`.
    pub div_factor: f64,
    /// The rate ends at its start divided by this.
    pub final_div_factor: f64,
}

impl OneCycle {
    /// Learning rate of step `step`, from 0.
    pub fn lr(&self, step: u64) -> f64 {
        let start = self.max_lr / self.div_factor;
        let end = start / self.final_div_factor;
        let last = self.total_steps.max(1) as f64 - 1.0;
        let peak = self.pct_start * self.total_steps as f64 - 1.0;
        let step = (step as f64).min(last);
        // A run of so few steps that the peak is not after step 0 only goes down. With the peak at step 0 exactly,
        // PyTorch and MMCV divide by zero.
        if step <= peak && peak > 0.0 {
            anneal(start, self.max_lr, step / peak)
        } else {
            anneal(self.max_lr, end, (step - peak) / (last - peak))
        }
    }
}
