//! Asymmetric angular margin loss.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::focused::{focused, log_shifted, log_sigmoid};
use crate::loss::{at_least_zero, positive, within_unit};

/// Asymmetric angular margin loss (AAM): the loss of the OTX multi-label recipes.
///
/// For a logit `z = s·cos` of a head with scale `s`, margin `m` and probability shift `c`:
///
/// ```text
/// p = σ(s·(cos − m)) = σ(z − s·m)
/// q = min(σ(−s·(cos + m)) + c, 1) = min(σ(−z − s·m) + c, 1)
/// present: −k · q^γ⁺ · ln p
/// absent:  −(1 − k) · p^γ⁻ · ln q
/// ```
///
/// `k` balances present against absent labels. γ⁺ and γ⁻ take weight from examples that are already right: γ⁻ = 1
/// weighs an absent label by the probability that it is given. With a shift, an absent label whose `σ(z + s·m)` is at
/// most `c` costs nothing. A margin asks both sides to be right by `m` in the cosine. The default values are those of
/// the OTX 1.x templates.
///
/// Sources: S. Prokofiev and V. Sovrasov, "Combining metric learning and attention heads for accurate and efficient
/// multilabel image classification", 2022; its code (`torchreid/losses/asl.py`) for the margin; OTX 1.6
/// (`asymmetric_angular_loss_with_ignore.py`) for the rest. Where we differ:
/// - OTX has no margin, which is ours at `m = 0`. The paper's code shifts `q` only if one of the gammas is above 0; we
///   shift always, as OTX does. For the paper's own setting (both gammas 0) set `shift` to 0.
/// - OTX replaces probabilities below 1e-8 by 1e-8 before the logarithm, so a badly wrong answer gets no gradient. We
///   take the logarithm of the logit and need no floor. The two agree wherever `p` and `q` are above 1e-8, which is
///   everywhere for a cosine head of scale below 18 without a margin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aam {
    /// Weight of present labels; absent ones get `1 − k`. In [0, 1].
    pub k: f64,
    /// γ⁺, the focusing power on present labels; at least 0.
    pub gamma_pos: f64,
    /// γ⁻, the focusing power on absent labels; at least 0.
    pub gamma_neg: f64,
    /// `m`, in units of the cosine; at least 0.
    pub margin: f64,
    /// `c`, the probability shift of absent labels; from 0 up to but not including 1.
    pub shift: f64,
    /// `s`, the factor between cosine and logit in the head; above 0. Use 1 for a linear head.
    pub scale: f64,
}

impl Default for Aam {
    fn default() -> Self {
        Self { k: 0.8, gamma_pos: 0.0, gamma_neg: 1.0, margin: 0.0, shift: 0.05, scale: 7.0 }
    }
}

impl Aam {
    pub(crate) fn check(&self) -> Result<(), Error> {
        within_unit("aam", "k", self.k, true)?;
        at_least_zero("aam", "gamma_pos", self.gamma_pos)?;
        at_least_zero("aam", "gamma_neg", self.gamma_neg)?;
        at_least_zero("aam", "margin", self.margin)?;
        within_unit("aam", "shift", self.shift, false)?;
        positive("aam", "scale", self.scale)
    }

    pub(crate) fn element(&self, z: f64, present: bool) -> (f64, f64) {
        let margin = self.scale * self.margin;
        let (p, q) = (log_sigmoid(z - margin), log_shifted(z + margin, self.shift));
        if present {
            focused(self.k, self.gamma_pos, p, q)
        } else {
            focused(1.0 - self.k, self.gamma_neg, q, p)
        }
    }
}
