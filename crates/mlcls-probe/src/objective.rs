//! The loss of many heads at once, with its gradient.

use candle_core::{Device, Tensor};
use mlcls_loss::Loss;
use rayon::prelude::*;

use crate::error::Result;
use crate::minimize::Objective;

/// What a head computes of a feature vector `x`, from its row `w` of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    /// `w[..d] . x + w[d]`
    Linear,
    /// `scale * w . x / |w|`, for `x` of length 1
    Cosine(f32),
}

/// Mean loss per known entry, plus `penalty / 2 * |w|^2` without the offset, for P problems: a label each, or a label of a fold.
pub(crate) struct HeadObjective<'a> {
    /// Feature vectors `[N, D]`.
    pub features: &'a Tensor,
    pub form: Form,
    pub loss: Loss,
    /// `[P, N]`
    pub targets: &'a [f32],
    /// `[P, N]`; 0 where an image takes no part.
    pub mask: &'a [f32],
    /// `[P]`
    pub penalty: Vec<f64>,
}

impl HeadObjective<'_> {
    fn images(&self) -> Result<usize> {
        Ok(self.features.dim(0)?)
    }

    /// Numbers of a problem.
    pub fn width(&self) -> Result<usize> {
        Ok(self.features.dim(1)? + usize::from(self.form == Form::Linear))
    }

    /// Splits rows of a head into class vectors `[P, D]`, as they are multiplied, and offsets.
    fn vectors(&self, place: &[f32]) -> Result<Tensor> {
        let (width, d) = (self.width()?, self.features.dim(1)?);
        let rows: Vec<f32> = place
            .chunks_exact(width)
            .flat_map(|row| {
                let factor = match self.form {
                    Form::Linear => 1.0,
                    Form::Cosine(scale) => scale / length(row),
                };
                row[..d].iter().map(move |v| v * factor)
            })
            .collect();
        Ok(Tensor::from_vec(rows, (place.len() / width, d), &Device::Cpu)?)
    }

    /// Logits `[P, N]` of all images.
    pub fn logits(&self, place: &[f32]) -> Result<Vec<f32>> {
        let vectors = self.vectors(place)?;
        let mut logits = vectors.matmul(&self.features.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        if self.form == Form::Linear {
            let (n, width) = (self.images()?, self.width()?);
            logits.par_chunks_exact_mut(n).zip(place.par_chunks_exact(width)).for_each(|(logits, row)| {
                logits.iter_mut().for_each(|z| *z += row[width - 1]);
            });
        }
        Ok(logits)
    }
}

impl<'o> Objective for HeadObjective<'o> {
    fn problems(&self) -> usize {
        self.penalty.len()
    }

    fn evaluate(&self, which: &[usize], place: &[f32], gradient: &mut [f32]) -> Result<Vec<f64>> {
        let (n, width, d) = (self.images()?, self.width()?, self.features.dim(1)?);
        let logits = self.logits(place)?;
        let mut slopes = vec![0.0; logits.len()];
        let mut values = slopes
            .par_chunks_exact_mut(n)
            .zip(logits.par_chunks_exact(n))
            .zip(which)
            .map(|((slopes, logits), &i)| {
                let of = |all: &'o [f32]| &all[i * n..(i + 1) * n];
                let value = self.loss.value_and_grad(logits, of(self.targets), of(self.mask), slopes)?;
                let known = value.known.max(1) as f32;
                slopes.iter_mut().for_each(|s| *s /= known);
                Ok(value.mean())
            })
            .collect::<Result<Vec<f64>>>()?;

        let offsets: Vec<f32> =
            slopes.par_chunks_exact(n).map(|s| s.iter().map(|v| f64::from(*v)).sum::<f64>() as f32).collect();
        let slopes = Tensor::from_vec(slopes, (which.len(), n), &Device::Cpu)?;
        let by_vector = slopes.matmul(self.features)?.flatten_all()?.to_vec1::<f32>()?;
        let rows = gradient.par_chunks_exact_mut(width).zip(by_vector.par_chunks_exact(d));
        let problems = place.par_chunks_exact(width).zip(which).zip(&mut values).zip(offsets);
        rows.zip(problems).for_each(|((gradient, by_vector), (((row, &i), value), offset))| {
            let penalty = self.penalty[i];
            match self.form {
                Form::Linear => {
                    let (vector, to) = (&row[..d], &mut gradient[..d]);
                    for ((to, g), v) in to.iter_mut().zip(by_vector).zip(vector) {
                        *to = g + penalty as f32 * v;
                    }
                    gradient[d] = offset;
                    *value += 0.5 * penalty * squares(vector);
                }
                Form::Cosine(scale) => {
                    // Along w nothing changes: what remains is across it.
                    let long = length(row);
                    let along: f64 =
                        by_vector.iter().zip(row).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
                    let along = along as f32 / (long * long);
                    for ((to, g), v) in gradient.iter_mut().zip(by_vector).zip(row) {
                        *to = scale / long * (g - along * v);
                    }
                }
            }
        });
        Ok(values)
    }
}

fn squares(v: &[f32]) -> f64 {
    v.iter().map(|v| f64::from(*v).powi(2)).sum()
}

/// Length of a vector, floored as the engine's cosine head floors it.
pub(crate) fn length(v: &[f32]) -> f32 {
    (squares(v).sqrt() as f32).max(1e-12)
}

/// A vector made 1 long.
pub(crate) fn unit(row: &[f32]) -> Vec<f32> {
    let long = length(row);
    row.iter().map(|v| v / long).collect()
}

#[cfg(test)]
mod tests {
    use mlcls_loss::{Aam, Bce};

    use super::*;

    #[test]
    fn gradients_are_those_of_the_values() {
        let noise = |n: usize, salt: usize| -> Vec<f32> {
            (0..n).map(|i| ((i * 7919 + salt * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
        };
        let (n, d, p) = (11, 5, 3);
        let features = Tensor::from_vec(noise(n * d, 1), (n, d), &Device::Cpu).unwrap();
        let targets: Vec<f32> = (0..p * n).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
        let mask: Vec<f32> = (0..p * n).map(|i| f32::from(u8::from(i % 5 != 0))).collect();
        let forms = [
            (Form::Linear, Loss::Bce(Bce::default())),
            (Form::Cosine(7.0), Loss::Aam(Aam::default()).with_scale(7.0)),
        ];
        for (form, loss) in forms {
            let penalty = vec![0.0, 0.3, 2.0];
            let (features, targets, mask) = (&features, &targets[..], &mask[..]);
            let objective = HeadObjective { features, form, loss, targets, mask, penalty };
            let width = objective.width().unwrap();
            let place = noise(p * width, 2);
            let mut gradient = vec![0.0; place.len()];
            let values = objective.evaluate(&[0, 1, 2], &place, &mut gradient).unwrap();
            assert_eq!(values.len(), p);
            // The same problem by itself.
            let mut alone = vec![0.0; width];
            let value = objective.evaluate(&[1], &place[width..2 * width], &mut alone).unwrap();
            assert!((value[0] - values[1]).abs() < 1e-6);
            alone.iter().zip(&gradient[width..]).for_each(|(a, b)| assert!((a - b).abs() < 1e-5));
            for i in 0..place.len() {
                let at = |step: f32| {
                    let mut place = place.clone();
                    place[i] += step;
                    objective.evaluate(&[0, 1, 2], &place, &mut vec![0.0; place.len()]).unwrap()[i / width]
                };
                let h = 1e-2;
                let numeric = (8.0 * (at(h) - at(-h)) - at(2.0 * h) + at(-2.0 * h)) / (12.0 * f64::from(h));
                assert!(
                    (f64::from(gradient[i]) - numeric).abs() < 1e-4,
                    "{form:?}, number {i}: {}, by differences {numeric}",
                    gradient[i]
                );
            }
        }
    }
}
