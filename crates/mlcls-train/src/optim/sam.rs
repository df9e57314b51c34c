//! Sharpness-aware minimisation.

use rayon::prelude::*;

use super::{CHUNK, global_norm};

/// Sharpness-aware minimisation (Foret et al., arXiv 2010.01412), not adaptive: the step follows the gradient at the worst
/// point nearby, `w + rho * g / (|g| + 1e-12)`, with one norm over all parameters.
///
/// Two passes over one batch: gradient, [`perturb`](Self::perturb), gradient again, [`restore`](Self::restore), then
/// the optimizer's step with the second gradient. As in OTX, weight decay enters in that step only. Nothing is kept from
/// one step to the next, so there is no state to save.
///
/// ```
/// use mlcls_train::Sam;
///
/// let mut sam = Sam::new(0.05);
/// let mut params = [1.0, 2.0];
/// let norm = sam.perturb(&mut params, &[0.0, -2.0]);
/// assert_eq!((norm, params), (2.0, [1.0, 1.95]));
/// sam.restore(&mut params);
/// assert_eq!(params, [1.0, 2.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Sam {
    rho: f64,
    /// The parameters before the perturbation; empty outside of a step.
    saved: Vec<f32>,
}

impl Sam {
    /// SAM with radius `rho` (0.05 in the paper and in OTX).
    pub fn new(rho: f64) -> Self {
        Self { rho, saved: Vec::new() }
    }

    /// Moves `params` uphill along `grads` to distance `rho`; returns the norm of `grads`.
    ///
    /// A zero gradient moves nothing. A NaN or infinite one makes `params` useless until [`restore`](Self::restore);
    /// the caller sees it in the norm that is returned.
    ///
    /// # Panics
    /// The slices differ in length.
    pub fn perturb(&mut self, params: &mut [f32], grads: &[f32]) -> f64 {
        assert_eq!(params.len(), grads.len(), "lengths of params and grads");
        let norm = global_norm(grads);
        let factor = (self.rho / (norm + 1e-12)) as f32;
        self.saved.resize(params.len(), 0.0);
        let chunks = params
            .par_chunks_mut(CHUNK)
            .zip_eq(self.saved.par_chunks_mut(CHUNK))
            .zip_eq(grads.par_chunks(CHUNK));
        chunks.for_each(|((w, saved), g)| {
            saved.copy_from_slice(w);
            w.iter_mut().zip(g).for_each(|(w, g)| *w += factor * g);
        });
        norm
    }

    /// Puts back the parameters of before [`perturb`](Self::perturb), bit for bit (subtracting the perturbation again
    /// would round).
    ///
    /// # Panics
    /// `params` was not perturbed, or has another length.
    pub fn restore(&mut self, params: &mut [f32]) {
        assert_eq!(params.len(), self.saved.len(), "lengths of params and of what perturb saved");
        params.copy_from_slice(&self.saved);
        self.saved.clear();
    }
}
