//! Focal loss.

use serde::{Deserialize, Serialize};

use crate::asl::Asl;
use crate::error::Error;
use crate::loss::{at_least_zero, positive, within_unit};

/// Focal loss on sigmoids.
///
/// With `p = σ(z)`:
///
/// ```text
/// present: −α · (1 − p)^γ · ln p
/// absent:  −(1 − α) · p^γ · ln(1 − p)
/// ```
///
/// Without `alpha` both factors are 1. Source: T.-Y. Lin and others, "Focal loss for dense object detection", 2017; the
/// same numbers as torchvision's `sigmoid_focal_loss`, which writes "no alpha" as a negative one. The default values
/// are the paper's (α 0.25, γ 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Focal {
    /// α, the weight of present labels, in [0, 1]; absent ones get `1 − α`. None weighs both by 1.
    pub alpha: Option<f64>,
    /// γ, the focusing power; at least 0.
    pub gamma: f64,
    /// The factor between cosine and logit in the head; above 0, 1 for a linear head. It only divides the objective.
    pub scale: f64,
}

impl Default for Focal {
    fn default() -> Self {
        Self { alpha: Some(0.25), gamma: 2.0, scale: 1.0 }
    }
}

impl Focal {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.alpha.map_or(Ok(()), |alpha| within_unit("focal", "alpha", alpha, true))?;
        at_least_zero("focal", "gamma", self.gamma)?;
        positive("focal", "scale", self.scale)
    }

    /// Focal loss is the asymmetric loss with equal powers and no shift, times α.
    pub(crate) fn element(&self, z: f64, present: bool) -> (f64, f64) {
        let weight = self.alpha.map_or(1.0, |alpha| if present { alpha } else { 1.0 - alpha });
        let symmetric = Asl { gamma_pos: self.gamma, gamma_neg: self.gamma, shift: 0.0, scale: self.scale };
        let (value, slope) = symmetric.element(z, present);
        (weight * value, weight * slope)
    }
}
