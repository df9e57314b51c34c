//! The learning rate of each step.

mod cosine;
mod one_cycle;
mod plateau;
mod warmup;

pub use cosine::Cosine;
pub use one_cycle::OneCycle;
pub use plateau::{Plateau, PlateauConfig};
pub use warmup::Warmup;

use serde::{Deserialize, Serialize};

/// The learning rate of each step: a [`Policy`], with or without a [`Warmup`] in front.
///
/// Steps count from 0, over the whole run. The warm-up multiplies what the policy gives for that step, and does not move the
/// policy (as in MMCV and timm; PyTorch's `SequentialLR` would start the policy after it).
///
/// The whole value is its state: serialise it to save, deserialise to resume.
///
/// ```
/// use mlcls_train::{Cosine, Policy, Schedule, Warmup};
///
/// let cosine = Cosine { lr: 0.1, min_lr: 0.0, total_steps: 100 };
/// let schedule = Schedule::new(Policy::Cosine(cosine)).with_warmup(Warmup { steps: 10, ratio: 0.5 });
/// assert_eq!(schedule.lr(0), 0.05);
/// assert!((schedule.lr(50) - 0.05).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    policy: Policy,
    warmup: Option<Warmup>,
}

/// How the learning rate moves after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// This rate throughout.
    Constant(f64),
    /// One cosine down.
    Cosine(Cosine),
    /// One cosine up, one cosine down.
    OneCycle(OneCycle),
    /// Down by a factor when the score stalls.
    Plateau(Plateau),
}

impl Schedule {
    /// `policy` from the first step on.
    pub fn new(policy: Policy) -> Self {
        Self { policy, warmup: None }
    }

    /// The same with a warm-up in front.
    pub fn with_warmup(self, warmup: Warmup) -> Self {
        Self { warmup: Some(warmup), ..self }
    }

    /// Learning rate of step `step`, from 0. A step past the end of the policy has the rate of its last step.
    pub fn lr(&self, step: u64) -> f64 {
        let lr = match &self.policy {
            Policy::Constant(lr) => *lr,
            Policy::Cosine(cosine) => cosine.lr(step),
            Policy::OneCycle(one_cycle) => one_cycle.lr(step),
            Policy::Plateau(plateau) => plateau.lr(),
        };
        self.warmup.map_or(lr, |warmup| lr * warmup.factor(step))
    }

    /// Takes in the score (larger is better) of a validation after `steps` steps in all; returns the new rate if that
    /// lowers it. Only [`Policy::Plateau`] cares; validations before the first step or inside the warm-up do not count.
    pub fn observe(&mut self, steps: u64, score: f64) -> Option<f64> {
        let first = self.warmup.map_or(1, |warmup| warmup.steps.max(1));
        match &mut self.policy {
            Policy::Plateau(plateau) if steps >= first => plateau.observe(score),
            _ => None,
        }
    }
}

/// Half a cosine from `start` (at `progress` 0) to `end` (at 1).
fn anneal(start: f64, end: f64, progress: f64) -> f64 {
    end + 0.5 * (start - end) * (1.0 + (std::f64::consts::PI * progress).cos())
}
