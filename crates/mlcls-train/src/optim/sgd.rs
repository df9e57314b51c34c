//! Stochastic gradient descent with momentum.

use rayon::prelude::*;

use super::{CHUNK, WeightDecay};

/// Settings of stochastic gradient descent, with PyTorch's meaning and without dampening:
///
/// ```text
/// g = grad + weight_decay * w
/// v = momentum * v + g
/// w = w - lr * v                     (nesterov: w - lr * (g + momentum * v))
/// ```
///
/// The learning rate multiplies the velocity, so a change of rate acts at once (as in PyTorch, not as in Sutskever et al.).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdConfig {
    /// Share of the old velocity that is kept, from 0 to below 1.
    pub momentum: f64,
    /// Looks one step of velocity ahead.
    pub nesterov: bool,
}

impl Default for SgdConfig {
    /// Momentum 0.9, no Nesterov: what OTX trains with.
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sgd {
    pub(super) config: SgdConfig,
    pub(super) velocity: Vec<f32>,
}

impl Sgd {
    pub(super) fn new(config: SgdConfig, len: usize) -> Self {
        Self { config, velocity: vec![0.0; len] }
    }

    pub(super) fn step(
        &mut self,
        first: usize,
        lr: f64,
        decay: &WeightDecay,
        params: &mut [f32],
        grads: &[f32],
    ) {
        let lr = lr as f32;
        let momentum = self.config.momentum as f32;
        let nesterov = self.config.nesterov;
        let chunks = params[first..]
            .par_chunks_mut(CHUNK)
            .zip_eq(self.velocity[first..].par_chunks_mut(CHUNK))
            .zip_eq(grads[first..].par_chunks(CHUNK));
        chunks.enumerate().for_each(|(i, ((w, v), g))| {
            for (run, decay) in decay.runs(first + i * CHUNK, w.len()) {
                let (w, v, g) = (&mut w[run.clone()], &mut v[run.clone()], &g[run]);
                for ((w, v), &g) in w.iter_mut().zip(v).zip(g) {
                    let g = g + decay * *w;
                    *v = momentum * *v + g;
                    *w -= lr * if nesterov { g + momentum * *v } else { *v };
                }
            }
        });
    }
}
