//! Passes whose batch-norms take their statistics over the batches of several processes.

use std::fmt;

use super::TrainPlan;
use crate::error::Result;

/// Replaces numbers by their sums over all processes.
pub type SumOver<'a> = &'a mut (dyn FnMut(&mut [f64]) + Send);

/// A pass of a plan as that of one of several processes, which go through the same passes together: each batch-norm takes its mean
/// and variance over all their batches, as PyTorch's `SyncBatchNorm`, with one sum of `2 c + 1` numbers forward and one backward.
/// They must have the same parameters and running statistics. From [`TrainPlan::synced`].
pub struct Synced<'p, 's> {
    plan: &'p mut TrainPlan,
    sum: Option<SumOver<'s>>,
}

impl TrainPlan {
    /// The plan for one pass together with others; without a sum, alone. `sum` is called once for each batch-norm, in the same order
    /// everywhere; where it fails, what the pass gives is worth nothing.
    pub fn synced<'p, 's>(&'p mut self, sum: Option<SumOver<'s>>) -> Synced<'p, 's> {
        Synced { plan: self, sum }
    }
}

impl<'p> Synced<'p, '_> {
    /// See [`TrainPlan::forward`].
    pub fn forward(
        self,
        params: &[f32],
        buffers: &mut [f32],
        pixels: &[u8],
        n: usize,
        seed: u64,
    ) -> Result<&'p [f32]> {
        self.plan.take_pixels(params, buffers, pixels, n)?;
        Ok(self.plan.run_forward(params, buffers, n, seed, self.sum))
    }

    /// See [`TrainPlan::forward_behind`].
    pub fn forward_behind(
        self,
        params: &[f32],
        buffers: &mut [f32],
        values: &[f32],
        n: usize,
        seed: u64,
    ) -> Result<&'p [f32]> {
        self.plan.take_values(params, buffers, values, n)?;
        Ok(self.plan.run_forward(params, buffers, n, seed, self.sum))
    }

    /// See [`TrainPlan::backward`]. Gradients are those of this process's batch; their sum over all is that of the whole.
    pub fn backward(self, params: &[f32], dlogits: &[f32], grads: &mut [f32]) -> Result<()> {
        self.plan.run_backward(params, dlogits, grads, self.sum)
    }
}

impl fmt::Debug for Synced<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Synced").field("plan", self.plan).finish_non_exhaustive()
    }
}
