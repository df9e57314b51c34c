//! Asymmetric loss.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::focused::{LogProb, focused, log_one_minus_sigmoid, log_shifted, log_sigmoid, sigmoid};
use crate::loss::{at_least_zero, positive, within_unit};

/// Asymmetric loss (ASL).
///
/// With `p = σ(z)` and probability shift `c`:
///
/// ```text
/// present: −(1 − p)^γ⁺ · ln p
/// absent:  −(p_c)^γ⁻ · ln(1 − p_c),   p_c = max(p − c, 0)
/// ```
///
/// Absent labels are many and mostly easy; a large γ⁻ takes their weight, and the shift drops the easiest. The default
/// values are the paper's and those of OTX 1.x (γ⁺ 0, γ⁻ 4, shift 0.05).
///
/// Source: T. Ridnik and others, "Asymmetric loss for multi-label classification", 2021; OTX 1.6
/// (`asymmetric_loss_with_ignore.py`). Where we differ: the paper's code stops the gradient through the powers by
/// option, OTX and we let it flow; OTX's floor of 1e-8 under the logarithm is not needed, so a present label below
/// `z = −18.4` keeps its gradient; OTX takes the mean over all entries here, ours is the sum like all our losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asl {
    /// γ⁺, the focusing power on present labels; at least 0.
    pub gamma_pos: f64,
    /// γ⁻, the focusing power on absent labels; at least 0.
    pub gamma_neg: f64,
    /// `c`, the probability shift of absent labels; from 0 up to but not including 1.
    pub shift: f64,
    /// The factor between cosine and logit in the head; above 0, 1 for a linear head. It only divides the objective.
    pub scale: f64,
}

impl Default for Asl {
    fn default() -> Self {
        Self { gamma_pos: 0.0, gamma_neg: 4.0, shift: 0.05, scale: 1.0 }
    }
}

impl Asl {
    pub(crate) fn check(&self) -> Result<(), Error> {
        at_least_zero("asl", "gamma_pos", self.gamma_pos)?;
        at_least_zero("asl", "gamma_neg", self.gamma_neg)?;
        within_unit("asl", "shift", self.shift, false)?;
        positive("asl", "scale", self.scale)
    }

    pub(crate) fn element(&self, z: f64, present: bool) -> (f64, f64) {
        if present {
            return focused(1.0, self.gamma_pos, log_sigmoid(z), log_one_minus_sigmoid(z));
        }
        if self.shift == 0.0 {
            return focused(1.0, self.gamma_neg, log_one_minus_sigmoid(z), log_sigmoid(z));
        }
        let p = sigmoid(z);
        let excess = p - self.shift; // p_c, where it is not 0
        if excess <= 0.0 {
            return (0.0, 0.0); // the logarithm below would be −∞, and its factor ln(1 − 0) is 0
        }
        let wrong = LogProb { ln: excess.ln(), slope: p * sigmoid(-z) / excess };
        focused(1.0, self.gamma_neg, log_shifted(z, self.shift), wrong)
    }
}
