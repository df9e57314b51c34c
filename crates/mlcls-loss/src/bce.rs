//! Binary cross-entropy.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::focused::{log_one_minus_sigmoid, log_sigmoid};
use crate::loss::positive;

/// Binary cross-entropy on logits (BCE): `−ln σ(z)` for a present label, `−ln(1 − σ(z))` for an absent one.
///
/// The same numbers as PyTorch's `BCEWithLogitsLoss(reduction="sum")` without weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bce {
    /// The factor between cosine and logit in the head; above 0, 1 for a linear head. It only divides the objective.
    pub scale: f64,
}

impl Default for Bce {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

impl Bce {
    pub(crate) fn check(&self) -> Result<(), Error> {
        positive("bce", "scale", self.scale)
    }

    pub(crate) fn element(&self, z: f64, present: bool) -> (f64, f64) {
        let answer = if present { log_sigmoid(z) } else { log_one_minus_sigmoid(z) };
        (-answer.ln, -answer.slope)
    }
}
