//! Adam with decoupled weight decay.

use rayon::prelude::*;

use super::{CHUNK, WeightDecay};

/// Settings of AdamW (Loshchilov and Hutter, arXiv 1711.05101), with PyTorch's meaning; `t` counts steps from 1:
///
/// ```text
/// w = w * (1 - lr * weight_decay)
/// m = beta1 * m + (1 - beta1) * grad
/// s = beta2 * s + (1 - beta2) * grad^2
/// w = w - lr * (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + eps)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean and of the mean square of the gradient, each from 0 to below 1.
    pub betas: [f64; 2],
    /// Added to the root of the mean square, above 0.
    pub eps: f64,
}

impl Default for AdamWConfig {
    /// Betas 0.9 and 0.999, eps 1e-8: the authors' and PyTorch's.
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8 }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct AdamW {
    pub(super) config: AdamWConfig,
    pub(super) mean: Vec<f32>,
    pub(super) mean_square: Vec<f32>,
}

impl AdamW {
    pub(super) fn new(config: AdamWConfig, len: usize) -> Self {
        Self { config, mean: vec![0.0; len], mean_square: vec![0.0; len] }
    }

    /// Step number `t`, from 1.
    pub(super) fn step(
        &mut self,
        first: usize,
        lr: f64,
        t: u64,
        decay: &WeightDecay,
        params: &mut [f32],
        grads: &[f32],
    ) {
        let AdamWConfig { betas: [beta1, beta2], eps } = self.config;
        // Beyond i32 steps both powers have long been 0.
        let t = i32::try_from(t).unwrap_or(i32::MAX);
        let step_size = (lr / (1.0 - beta1.powi(t))) as f32;
        let root_correction = (1.0 - beta2.powi(t)).sqrt() as f32;
        let (rest1, rest2) = ((1.0 - beta1) as f32, (1.0 - beta2) as f32);
        let (beta2, eps) = (beta2 as f32, eps as f32);
        let chunks = params[first..]
            .par_chunks_mut(CHUNK)
            .zip_eq(self.mean[first..].par_chunks_mut(CHUNK))
            .zip_eq(self.mean_square[first..].par_chunks_mut(CHUNK))
            .zip_eq(grads[first..].par_chunks(CHUNK));
        chunks.enumerate().for_each(|(i, (((w, m), s), g))| {
            for (run, decay) in decay.runs(first + i * CHUNK, w.len()) {
                let keep = (1.0 - lr * f64::from(decay)) as f32;
                let (w, m) = (&mut w[run.clone()], &mut m[run.clone()]);
                let (s, g) = (&mut s[run.clone()], &g[run]);
                for (((w, m), s), &g) in w.iter_mut().zip(m).zip(s).zip(g) {
                    *m += rest1 * (g - *m);
                    *s = beta2 * *s + rest2 * g * g;
                    *w = keep * *w - step_size * *m / (s.sqrt() / root_correction + eps);
                }
            }
        });
    }
}
