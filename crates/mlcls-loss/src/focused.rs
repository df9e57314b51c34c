//! The one expression behind every loss, `−κ · B^γ · ln A`, in logarithms so that nothing under- or overflows.

/// The logarithm of a probability as a function of the logit, with its derivative by the logit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogProb {
    pub ln: f64,
    pub slope: f64,
}

/// `−κ · B^γ · ln A` and its derivative by the logit, given `A` (true answer) and `B` (wrong answer).
///
/// γ = 0 is exact: `B^0` is 1 with derivative 0, whatever `B` is, because `ln B` is finite.
pub(crate) fn focused(kappa: f64, gamma: f64, a: LogProb, b: LogProb) -> (f64, f64) {
    let weight = kappa * (gamma * b.ln).exp();
    (-weight * a.ln, -weight * (gamma * b.slope * a.ln + a.slope))
}

/// `σ(x) = 1 / (1 + e^−x)`, without overflow.
pub(crate) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `ln σ(x)`; slope by `x`.
pub(crate) fn log_sigmoid(x: f64) -> LogProb {
    LogProb { ln: x.min(0.0) - (-x.abs()).exp().ln_1p(), slope: sigmoid(-x) }
}

/// `ln (1 − σ(x))`; slope by `x`.
pub(crate) fn log_one_minus_sigmoid(x: f64) -> LogProb {
    let LogProb { ln, slope } = log_sigmoid(-x);
    LogProb { ln, slope: -slope }
}

/// `ln min(1 − σ(x) + shift, 1)`; slope by `x`. The probability shift: answers already within `shift` of right cost
/// nothing and pull nothing. At the corner `σ(x) = shift` the slope is that of the flat side.
pub(crate) fn log_shifted(x: f64, shift: f64) -> LogProb {
    if shift == 0.0 {
        return log_one_minus_sigmoid(x);
    }
    let (p, q) = (sigmoid(x), sigmoid(-x));
    let excess = p - shift; // the distance of the shifted probability from 1
    if excess <= 0.0 {
        return LogProb { ln: 0.0, slope: 0.0 };
    }
    // Each form of the logarithm keeps its digits on its own side.
    let ln = if excess < 0.5 { (-excess).ln_1p() } else { (q + shift).ln() };
    LogProb { ln, slope: -p * q / (q + shift) }
}
