//! The running average of the weights.

use mlcls_engine::Weights;
use rayon::prelude::*;

use crate::optim::CHUNK;

/// Which weights: those that are trained, or their average.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsKind {
    /// The weights that are trained.
    Raw,
    /// Their exponential moving average.
    Ema,
}

impl WeightsKind {
    /// Its name in checkpoints and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Ema => "ema",
        }
    }
}

/// Settings of the exponential moving average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmaConfig {
    /// Share of the old average that is kept at each update, from 0 to below 1.
    pub decay: f64,
    /// Keeps less of it at first: update number `n` (from 1) uses `min(decay, (1 + n) / (10 + n))`, so that the average
    /// of a short run does not stay at its start.
    pub warmup: bool,
}

impl Default for EmaConfig {
    /// Decay 0.9995 from the first update on: what OTX's published table was made with.
    fn default() -> Self {
        Self { decay: 0.9995, warmup: false }
    }
}

/// An exponential moving average of all weights: parameters and running statistics.
///
/// `average = decay * average + (1 - decay) * weights` after each optimizer step; it starts as a copy.
///
/// To resume exactly, save [`updates`](Self::updates) and [`weights`](Self::weights); make an average with the same
/// settings from the saved weights and call [`set_updates`](Self::set_updates).
///
/// ```
/// use mlcls_engine::Weights;
/// use mlcls_train::{Ema, EmaConfig};
///
/// let weights = |v: f32| Weights { params: vec![v], buffers: vec![] };
/// let mut ema = Ema::new(&weights(1.0), EmaConfig { decay: 0.75, warmup: false });
/// ema.update(&weights(2.0));
/// assert_eq!(ema.weights().params, [1.25]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    config: EmaConfig,
    weights: Weights,
    updates: u64,
}

impl Ema {
    /// An average that starts at `weights`.
    pub fn new(weights: &Weights, config: EmaConfig) -> Self {
        Self { config, weights: weights.clone(), updates: 0 }
    }

    /// Takes in the weights after an optimizer step.
    ///
    /// # Panics
    /// `weights` are those of another network: the lengths differ.
    pub fn update(&mut self, weights: &Weights) {
        let rest = (1.0 - self.count_update()) as f32;
        move_towards(&mut self.weights.params, &weights.params, rest);
        move_towards(&mut self.weights.buffers, &weights.buffers, rest);
    }

    /// Counts an update that takes place here or elsewhere, and returns its decay.
    pub(crate) fn count_update(&mut self) -> f64 {
        self.updates += 1;
        let EmaConfig { decay, warmup } = self.config;
        let n = self.updates as f64;
        if warmup { decay.min((1.0 + n) / (10.0 + n)) } else { decay }
    }

    /// The averaged weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The averaged weights, to take over those of a saved state or of a GPU.
    pub(crate) fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Sets the number of updates, to resume a run.
    pub fn set_updates(&mut self, updates: u64) {
        self.updates = updates;
    }
}

/// `average += rest * (values - average)`: one rounding less than the two products, and exact where both are equal.
fn move_towards(average: &mut [f32], values: &[f32], rest: f32) {
    assert_eq!(average.len(), values.len(), "lengths of the average and of the weights");
    average.par_chunks_mut(CHUNK).zip_eq(values.par_chunks(CHUNK)).for_each(|(average, values)| {
        average.iter_mut().zip(values).for_each(|(a, v)| *a += rest * (v - *a));
    });
}
