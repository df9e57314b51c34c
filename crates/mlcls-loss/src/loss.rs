//! The choice of loss, and its sum over images and labels.

use serde::{Deserialize, Serialize};

use crate::{Aam, Asl, Bce, Error, Focal};

/// A multi-label loss and its parameters.
///
/// In a configuration it is a map with the key `name` (`aam`, `asl`, `focal` or `bce`) and the parameters of that
/// loss; parameters left out have their defaults, unknown ones are refused.
///
/// ```
/// # use mlcls_loss::{Aam, Loss};
/// let loss: Loss = serde_json::from_str(r#"{"name": "aam", "k": 0.7}"#)?;
/// assert_eq!(loss, Loss::Aam(Aam { k: 0.7, ..Aam::default() }));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Loss {
    /// Asymmetric angular margin, the default.
    Aam(Aam),
    /// Asymmetric.
    Asl(Asl),
    /// Focal.
    Focal(Focal),
    /// Binary cross-entropy.
    Bce(Bce),
}

impl Default for Loss {
    fn default() -> Self {
        Self::Aam(Aam::default())
    }
}

/// The value of a loss on a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossValue {
    /// What training minimises and what the gradient belongs to: the sum over known entries, divided by the scale.
    pub objective: f64,
    /// How many entries are known.
    pub known: usize,
}

impl LossValue {
    /// The objective per known entry, for the eye: it does not grow with the batch or the number of labels. 0 where
    /// nothing is known.
    pub fn mean(&self) -> f64 {
        if self.known == 0 { 0.0 } else { self.objective / self.known as f64 }
    }
}

impl Loss {
    /// The name of the loss in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Aam(_) => "aam",
            Self::Asl(_) => "asl",
            Self::Focal(_) => "focal",
            Self::Bce(_) => "bce",
        }
    }

    /// The scale of the head that the objective is divided by.
    pub fn scale(&self) -> f64 {
        match self {
            Self::Aam(loss) => loss.scale,
            Self::Asl(loss) => loss.scale,
            Self::Focal(loss) => loss.scale,
            Self::Bce(loss) => loss.scale,
        }
    }

    /// The same loss for a head of another scale. The head knows its scale, so training takes it from there.
    pub fn with_scale(mut self, scale: f64) -> Self {
        *match &mut self {
            Self::Aam(loss) => &mut loss.scale,
            Self::Asl(loss) => &mut loss.scale,
            Self::Focal(loss) => &mut loss.scale,
            Self::Bce(loss) => &mut loss.scale,
        } = scale;
        self
    }

    /// Checks that every parameter is in its range, so that a configuration can be refused before training starts.
    ///
    /// # Errors
    /// [`Error::Parameter`] names the first parameter out of range.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Aam(loss) => loss.check(),
            Self::Asl(loss) => loss.check(),
            Self::Focal(loss) => loss.check(),
            Self::Bce(loss) => loss.check(),
        }
    }

    /// The value on a batch, and the gradient of [`LossValue::objective`] by each logit, written to `dlogits`.
    ///
    /// All arrays have the same length and order; the sum does not care how they are cut into rows. Arithmetic is in
    /// `f64` in the order of the entries, so equal input gives equal bits. A NaN or infinite logit at a known entry
    /// makes the objective NaN or infinite, or leaves it finite where the loss has a finite limit there; see
    /// [`Loss::per_image`] to find the image.
    ///
    /// # Errors
    /// Arrays of different lengths, a mask or a known target other than 0 or 1, a parameter out of range. `dlogits` is
    /// then unspecified.
    pub fn value_and_grad(
        &self,
        logits: &[f32],
        targets: &[f32],
        mask: &[f32],
        dlogits: &mut [f32],
    ) -> Result<LossValue, Error> {
        same_length("the gradient", dlogits.len(), logits.len())?;
        dlogits.fill(0.0);
        let (mut sum, mut known) = (0.0, 0);
        self.for_each_known(logits, targets, mask, |index, value, slope| {
            sum += value;
            known += 1;
            dlogits[index] = slope as f32;
        })?;
        Ok(LossValue { objective: sum, known })
    }

    /// The value on a batch without its gradient.
    ///
    /// # Errors
    /// As [`Loss::value_and_grad`].
    pub fn value(&self, logits: &[f32], targets: &[f32], mask: &[f32]) -> Result<LossValue, Error> {
        let (mut sum, mut known) = (0.0, 0);
        self.for_each_known(logits, targets, mask, |_, value, _| {
            sum += value;
            known += 1;
        })?;
        Ok(LossValue { objective: sum, known })
    }

    /// The part of the objective that each image adds, in order: `[N]` for logits `[N, labels]`. When the objective is
    /// not finite, the images that made it so are those whose part is not finite.
    ///
    /// # Errors
    /// As [`Loss::value_and_grad`], and [`Error::Rows`] if the logits are no whole number of rows.
    pub fn per_image(
        &self,
        logits: &[f32],
        targets: &[f32],
        mask: &[f32],
        labels: usize,
    ) -> Result<Vec<f64>, Error> {
        if labels == 0 || !logits.len().is_multiple_of(labels) {
            return Err(Error::Rows { logits: logits.len(), labels });
        }
        let mut sums = vec![0.0; logits.len() / labels];
        self.for_each_known(logits, targets, mask, |index, value, _| sums[index / labels] += value)?;
        Ok(sums)
    }

    /// Calls `f` with index, value and slope of every known entry, both already divided by the scale.
    fn for_each_known(
        &self,
        logits: &[f32],
        targets: &[f32],
        mask: &[f32],
        mut f: impl FnMut(usize, f64, f64),
    ) -> Result<(), Error> {
        self.check()?;
        same_length("the targets array", targets.len(), logits.len())?;
        same_length("the mask", mask.len(), logits.len())?;
        let scale = self.scale();
        for (index, ((&z, &target), &known)) in logits.iter().zip(targets).zip(mask).enumerate() {
            if is_one("the mask", index, known)? {
                let (value, slope) = self.element(z.into(), is_one("the targets", index, target)?);
                f(index, value / scale, slope / scale);
            }
        }
        Ok(())
    }

    /// Value and derivative for one logit, not yet divided by the scale.
    pub(crate) fn element(&self, z: f64, present: bool) -> (f64, f64) {
        match self {
            Self::Aam(loss) => loss.element(z, present),
            Self::Asl(loss) => loss.element(z, present),
            Self::Focal(loss) => loss.element(z, present),
            Self::Bce(loss) => loss.element(z, present),
        }
    }
}

fn same_length(array: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Length { array, found, expected }) }
}

fn is_one(array: &'static str, index: usize, found: f32) -> Result<bool, Error> {
    if found == 1.0 || found == 0.0 {
        Ok(found == 1.0)
    } else {
        Err(Error::NotBinary { array, index, found })
    }
}

/// Accepts a finite value from 0 up.
pub(crate) fn at_least_zero(loss: &'static str, parameter: &'static str, found: f64) -> Result<(), Error> {
    let ok = found.is_finite() && found >= 0.0;
    if ok { Ok(()) } else { Err(Error::Parameter { loss, parameter, found, expected: "a number from 0 up" }) }
}

/// Accepts a finite value above 0.
pub(crate) fn positive(loss: &'static str, parameter: &'static str, found: f64) -> Result<(), Error> {
    let ok = found.is_finite() && found > 0.0;
    if ok { Ok(()) } else { Err(Error::Parameter { loss, parameter, found, expected: "a number above 0" }) }
}

/// Accepts a value from 0 to 1, with 1 itself only if `closed`.
pub(crate) fn within_unit(
    loss: &'static str,
    parameter: &'static str,
    found: f64,
    closed: bool,
) -> Result<(), Error> {
    let ok = (0.0..1.0).contains(&found) || (closed && found == 1.0);
    let expected = if closed { "a number from 0 to 1" } else { "a number from 0 up to but not including 1" };
    if ok { Ok(()) } else { Err(Error::Parameter { loss, parameter, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every parameter away from its special values, then at them.
    fn losses() -> Vec<Loss> {
        let mut losses = vec![Loss::Bce(Bce::default())];
        for gamma in [0.0, 0.3, 1.0, 2.5] {
            for shift in [0.0, 0.05, 0.4] {
                let (gamma_pos, gamma_neg) = (gamma, 0.7 * gamma);
                for margin in [0.0, 0.2] {
                    let k = 0.7;
                    losses.push(Loss::Aam(Aam { k, gamma_pos, gamma_neg, margin, shift, scale: 7.0 }));
                }
                losses.push(Loss::Asl(Asl { gamma_pos, gamma_neg, shift, scale: 1.0 }));
            }
            losses.push(Loss::Focal(Focal { alpha: Some(0.25), gamma, scale: 1.0 }));
        }
        losses
    }

    #[test]
    fn slope_is_the_derivative() {
        for loss in losses() {
            for present in [false, true] {
                // Steps of 1/7 keep clear of the corners of the shift by more than the step below.
                for z in (-70..=70).map(|i| f64::from(i) / 7.0) {
                    let value = |z| loss.element(z, present).0;
                    let h = 1e-4;
                    // Five points: the error is of order h⁴.
                    let numeric = (8.0 * (value(z + h) - value(z - h)) - value(z + 2.0 * h)
                        + value(z - 2.0 * h))
                        / (12.0 * h);
                    let slope = loss.element(z, present).1;
                    assert!(
                        (slope - numeric).abs() < 1e-9 * (1.0 + slope.abs()),
                        "{loss:?} at z = {z}, present {present}: slope {slope}, by differences {numeric}"
                    );
                }
            }
        }
    }

    /// Just past the corner of the shift the loss starts from 0 without a jump, and its slope too where a power acts.
    #[test]
    fn corner_of_the_shift() {
        let corner = (0.05f64 / 0.95).ln(); // σ(corner) = 0.05
        for loss in losses() {
            let (shift, margin, gamma) = match loss {
                Loss::Aam(l) => (l.shift, l.scale * l.margin, 0.0), // its power acts on p, which is not 0 here
                Loss::Asl(l) => (l.shift, 0.0, l.gamma_neg),
                _ => continue,
            };
            if shift != 0.05 {
                continue;
            }
            assert_eq!(loss.element(corner - margin - 1e-9, false), (0.0, 0.0));
            let (value, slope) = loss.element(corner - margin + 1e-9, false);
            assert!((0.0..1e-9).contains(&value), "{loss:?}: {value}");
            assert!(slope > 0.0 && slope < 0.0475 * (1.0 + gamma) * 1e-9f64.powf(gamma) * 1.01, "{slope}");
        }
    }
}
