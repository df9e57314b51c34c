//! Limits on the gradient.

use rayon::prelude::*;

use super::{CHUNK, global_norm};

/// Shrinks `grads` so that its norm is at most `max_norm`; returns the norm before.
///
/// `grads *= min(1, max_norm / (norm + 1e-6))`, as PyTorch's `torch.nn.utils.clip_grad_norm_`. If the norm is NaN or
/// infinite, `grads` stays as it is (PyTorch would spread NaN); the caller sees it in what is returned.
///
/// ```
/// let mut grads = [3.0, 4.0];
/// assert_eq!(mlcls_train::clip_norm(&mut grads, 1.0), 5.0);
/// assert!((grads[0] - 0.6).abs() < 1e-6);
/// ```
pub fn clip_norm(grads: &mut [f32], max_norm: f64) -> f64 {
    let norm = global_norm(grads);
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        let factor = factor as f32;
        grads.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|g| *g *= factor));
    }
    norm
}

/// Limits every element to `-max..=max`, as PyTorch's `torch.nn.utils.clip_grad_value_`. NaN stays NaN.
///
/// ```
/// let mut grads = [0.5, -3.0];
/// mlcls_train::clip_value(&mut grads, 1.0);
/// assert_eq!(grads, [0.5, -1.0]);
/// ```
///
/// # Panics
/// `max` is negative or NaN.
pub fn clip_value(grads: &mut [f32], max: f64) {
    assert!(max >= 0.0, "a limit on the gradient is 0 or more, found {max}");
    let max = max as f32;
    grads.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|g| *g = g.clamp(-max, max)));
}
