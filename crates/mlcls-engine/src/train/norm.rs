//! Batch-norm between its neighbours: what a convolution's parts leave becomes the vectors that its consumers load with, and back.

use super::places::NormVector;
use super::step::Step;
use super::synced::SumOver;
use crate::program::{Norm, NormId};

/// Forward: moments of every part to the batch's mean and variance, the view's scale and shift, the running statistics.
pub fn forward(
    step: &Step,
    id: NormId,
    rows_per_image: usize,
    buffers: &mut [f32],
    sum: &mut Option<SumOver>,
) {
    let Norm::Batch { c, mean, .. } = &step.program.norms[id] else { return };
    let count = (step.n * rows_per_image) as f64;
    let Some(sum) = sum else {
        for ch in 0..*c {
            settle(step, id, ch, moments(step, ch, *c, rows_per_image), count, buffers);
        }
        return;
    };
    // About the running means, which all processes share, so that squares lose nothing.
    let origin = |buffers: &[f32], ch| f64::from(buffers[mean.start + ch]);
    let mut sums = vec![0.0; 2 * c + 1];
    for ch in 0..*c {
        let (m, m2) = moments(step, ch, *c, rows_per_image);
        let d = m - origin(buffers, ch);
        (sums[ch], sums[c + ch]) = (count * d, m2 + count * d * d);
    }
    sums[2 * c] = count;
    sum(&mut sums);
    let count = sums[2 * c];
    for ch in 0..*c {
        let d = sums[ch] / count;
        let moments = (origin(buffers, ch) + d, sums[c + ch] - sums[ch] * d);
        settle(step, id, ch, moments, count, buffers);
    }
}

/// Mean of a channel, and the sum of squares about it, by Chan's pairwise update in the order of the parts.
fn moments(step: &Step, ch: usize, c: usize, rows_per_image: usize) -> (f64, f64) {
    let (mut seen, mut m, mut m2) = (0.0f64, 0.0f64, 0.0f64);
    for p in 0..step.parts() {
        let rows = (step.images(p).len() * rows_per_image) as f64;
        // SAFETY: every part wrote its origin and two sums of c doubles just before; nobody writes now.
        let (origin, sum, square) = unsafe {
            let sums = step.part_sums(p, 0);
            (f64::from(*step.part_origin(p).add(ch)), *sums.add(ch), *sums.add(c + ch))
        };
        let part_mean = sum / rows;
        let delta = origin + part_mean - m;
        m2 += square - sum * part_mean + delta * delta * seen * rows / (seen + rows);
        m += delta * rows / (seen + rows);
        seen += rows;
    }
    (m, m2)
}

/// A channel's vectors and running statistics from its mean and sum of squares over `count` rows.
fn settle(step: &Step, id: NormId, ch: usize, (m, m2): (f64, f64), count: f64, buffers: &mut [f32]) {
    let Norm::Batch { eps, momentum, weight, bias, mean, var, .. } = &step.program.norms[id] else { return };
    let (weight, bias) = (step.params[weight.start + ch], step.params[bias.start + ch]);
    let variance = (m2 / count).max(0.0);
    let inv_std = 1.0 / (variance + f64::from(*eps)).sqrt();
    let scale = f64::from(weight) * inv_std;
    // SAFETY: each vector of the batch-norm holds c elements.
    unsafe {
        *step.norm(id, NormVector::Mean).add(ch) = m as f32;
        *step.norm(id, NormVector::InvStd).add(ch) = inv_std as f32;
        *step.norm(id, NormVector::Scale).add(ch) = scale as f32;
        *step.norm(id, NormVector::Shift).add(ch) = (f64::from(bias) - m * scale) as f32;
    }
    let unbiased = if count > 1.0 { m2 / (count - 1.0) } else { variance };
    let mix = |old: &mut f32, new: f64| {
        *old = (f64::from(*old) * (1.0 - f64::from(*momentum)) + new * f64::from(*momentum)) as f32;
    };
    mix(&mut buffers[mean.start + ch], m);
    mix(&mut buffers[var.start + ch], unbiased);
}

/// Backward: the sums of a batch-norm to its parameters' gradients, which are those of this process, and to the coefficients that its
/// producer loads with.
pub fn backward(
    step: &Step,
    id: NormId,
    rows_per_image: usize,
    grads: &mut [f32],
    sum: &mut Option<SumOver>,
) {
    let Norm::Batch { c, weight, bias, .. } = &step.program.norms[id] else { return };
    let mut count = (step.n * rows_per_image) as f64;
    // SAFETY: the sums hold 2 c doubles, and nobody else uses them now.
    let here = unsafe { std::slice::from_raw_parts_mut(step.norm_sums(id), 2 * c) };
    for ch in 0..*c {
        // SAFETY: the vector holds c elements.
        let inv_std = f64::from(unsafe { *step.norm(id, NormVector::InvStd).add(ch) });
        grads[weight.start + ch] = (here[c + ch] * inv_std) as f32;
        grads[bias.start + ch] = here[ch] as f32;
    }
    if let Some(sum) = sum {
        let mut sums = [&*here, &[count]].concat();
        sum(&mut sums);
        count = sums[2 * c];
        here.copy_from_slice(&sums[..2 * c]);
    }
    for ch in 0..*c {
        let (sum, dot) = (here[ch], here[c + ch]);
        // SAFETY: each vector of the batch-norm holds c elements.
        unsafe {
            let inv_std = f64::from(*step.norm(id, NormVector::InvStd).add(ch));
            let a = f64::from(step.params[weight.start + ch]) * inv_std;
            *step.norm(id, NormVector::A).add(ch) = a as f32;
            *step.norm(id, NormVector::B).add(ch) = (-a * inv_std * inv_std * dot / count) as f32;
            *step.norm(id, NormVector::C).add(ch) = (-a * sum / count) as f32;
        }
    }
}
