//! How weights follow gradients: SGD and AdamW over one flat parameter vector, weight decay, clipping and SAM.

mod adamw;
mod clip;
mod norm;
mod sam;
mod sgd;
mod weight_decay;

pub use adamw::AdamWConfig;
pub use clip::{clip_norm, clip_value};
pub use norm::global_norm;
pub use sam::Sam;
pub use sgd::SgdConfig;
pub use weight_decay::WeightDecay;

use adamw::AdamW;
#[cfg(feature = "cuda")]
use mlcls_engine::CudaRule;
use sgd::Sgd;

/// Elements that one task works on. Fixed, so that sums over chunks do not depend on the number of threads; 64 KiB per
/// vector, so that the vectors of one chunk share a core's cache.
pub(crate) const CHUNK: usize = 16 * 1024;

/// An optimizer and its state: one fused, parallel pass over the flat parameter vector per step.
///
/// Each element is computed by itself, so the same inputs give the same bits for any number of threads.
///
/// Gradients of several batches are accumulated by adding them up before the step. SAM goes around the gradient, not
/// around the step: see [`Sam`].
///
/// To resume exactly, save [`steps`](Self::steps) and [`vectors`](Self::vectors); build the same optimizer again, call
/// [`set_steps`](Self::set_steps) and fill [`vectors_mut`](Self::vectors_mut).
///
/// ```
/// use mlcls_train::{Optimizer, SgdConfig, WeightDecay};
///
/// let mut params = [1.0, -2.0];
/// let decay = WeightDecay::uniform(params.len(), 0.0);
/// let mut sgd = Optimizer::sgd(SgdConfig { momentum: 0.5, nesterov: false }, decay);
/// sgd.step(0.1, &mut params, &[1.0, 0.0]); // velocity 1.0: 1.0 - 0.1 * 1.0
/// sgd.step(0.1, &mut params, &[1.0, 0.0]); // velocity 1.5: 0.9 - 0.1 * 1.5
/// assert!((params[0] - 0.75).abs() < 1e-6);
/// assert_eq!(params[1], -2.0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer {
    rule: Rule,
    decay: WeightDecay,
    steps: u64,
}

/// The rules of update, each in its own file.
#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Sgd(Sgd),
    AdamW(AdamW),
}

impl Optimizer {
    /// Stochastic gradient descent; `decay` says how many parameters there are, too.
    pub fn sgd(config: SgdConfig, decay: WeightDecay) -> Self {
        Self { rule: Rule::Sgd(Sgd::new(config, decay.len())), decay, steps: 0 }
    }

    /// Adam with decoupled weight decay; `decay` says how many parameters there are, too.
    pub fn adamw(config: AdamWConfig, decay: WeightDecay) -> Self {
        Self { rule: Rule::AdamW(AdamW::new(config, decay.len())), decay, steps: 0 }
    }

    /// One update of `params` with learning rate `lr`.
    ///
    /// # Panics
    /// `params` or `grads` do not have the length that the optimizer was made for.
    pub fn step(&mut self, lr: f64, params: &mut [f32], grads: &[f32]) {
        self.step_behind(0, lr, params, grads);
    }

    /// The same for the elements from `first` on; those before it are frozen: neither they nor what is kept of them changes.
    ///
    /// # Panics
    /// As [`step`](Self::step); or there are fewer than `first` elements.
    pub fn step_behind(&mut self, first: usize, lr: f64, params: &mut [f32], grads: &[f32]) {
        let len = self.decay.len();
        assert_eq!((params.len(), grads.len()), (len, len), "lengths of params and grads, made for {len}");
        self.steps += 1;
        match &mut self.rule {
            Rule::Sgd(sgd) => sgd.step(first, lr, &self.decay, params, grads),
            Rule::AdamW(adamw) => adamw.step(first, lr, self.steps, &self.decay, params, grads),
        }
    }

    /// Counts a step that a GPU takes, and returns its number, from 1.
    #[cfg(feature = "cuda")]
    pub(crate) fn count_step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// The rule as a GPU takes it.
    #[cfg(feature = "cuda")]
    pub(crate) fn cuda_rule(&self) -> CudaRule {
        match &self.rule {
            Rule::Sgd(sgd) => {
                let SgdConfig { momentum, nesterov } = sgd.config;
                CudaRule::Sgd { momentum, nesterov }
            }
            Rule::AdamW(adamw) => {
                let AdamWConfig { betas, eps } = adamw.config;
                CudaRule::AdamW { betas, eps }
            }
        }
    }

    /// Weight decay of every element.
    #[cfg(feature = "cuda")]
    pub(crate) fn decay(&self) -> Vec<f32> {
        let len = self.decay.len();
        let mut all = vec![0.0; len];
        self.decay.runs(0, len).for_each(|(range, decay)| all[range].fill(decay));
        all
    }

    /// Steps taken since the start of the run.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Sets the number of steps taken, to resume a run.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// The vectors that the optimizer keeps between steps, by name, each as long as the parameter vector: `velocity` for
    /// SGD, `mean` and `mean_square` for AdamW.
    pub fn vectors(&self) -> Vec<(&'static str, &[f32])> {
        match &self.rule {
            Rule::Sgd(sgd) => vec![("velocity", &sgd.velocity)],
            Rule::AdamW(adamw) => vec![("mean", &adamw.mean), ("mean_square", &adamw.mean_square)],
        }
    }

    /// The same vectors, writable, to resume a run.
    pub fn vectors_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        match &mut self.rule {
            Rule::Sgd(sgd) => vec![("velocity", &mut sgd.velocity)],
            Rule::AdamW(adamw) => {
                vec![("mean", &mut adamw.mean), ("mean_square", &mut adamw.mean_square)]
            }
        }
    }
}
