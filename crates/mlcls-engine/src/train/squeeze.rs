//! Squeeze-excite: pools the activated map, runs two small layers per image, and leaves a gate for the consumer's load.
//!
//! Backward, the consumer has already summed what is needed per image and channel (see
//! [`finish_gated`](crate::kernels::rows::finish_gated)), so the gate's gradient and batch-norm's sums cost no further pass.

use std::ops::Range;

use super::places::PackPlace;
use super::step::{Step, for_parts};
use crate::graph::Activation;
use crate::kernels::act;
use crate::kernels::gemm::{Panels, Product, gemm, pack, packed_len};
use crate::kernels::rows::{self, GATED_SUMS};
use crate::parallel::{Scratch, Shared, for_ranges};
use crate::program::Squeeze;

/// Channels that a thread takes at a time where it works across images.
const CHANNELS: usize = 48;

/// Packs both layers, forward and backward.
pub fn pack_weights(step: &Step, se: &Squeeze, place: PackPlace) {
    let (c, r) = (se.input.c, step.program.gates[se.gate].reduced);
    let (w1, w2) = (&step.params[se.reduce_weight.clone()], &step.params[se.expand_weight.clone()]);
    let panels = |at: usize, k: usize, n: usize| {
        // SAFETY: the places of this stage's panels have these lengths and belong to it alone.
        unsafe { std::slice::from_raw_parts_mut(step.arena.at(at), packed_len(step.isa, k, n)) }
    };
    pack(step.isa, c, r, |l, j| w1[j * c + l], panels(place.forward, c, r));
    pack(step.isa, r, c, |l, j| w1[l * c + j], panels(place.backward, r, c));
    pack(step.isa, r, c, |l, j| w2[j * r + l], panels(place.expand, r, c));
    pack(step.isa, c, r, |l, j| w2[l * r + j], panels(place.expand_backward, c, r));
}

/// `C[m, n] = A[m, k] B[k, n]`, A and C row-major, B packed in the arena at `panels`.
///
/// # Safety
/// A and C must hold these sizes.
unsafe fn product(step: &Step, a: *const f32, m: usize, k: usize, n: usize, panels: usize, c: *mut f32) {
    let b = Panels::Packed(step.arena.at(panels));
    // SAFETY: the caller's contract; the panels were packed for this step.
    unsafe { gemm(step.isa, &Product::plain(m, n, k, a, b, c)) }
}

/// Pools, and computes the gate of every image.
pub fn forward(step: &Step, se: &Squeeze, stage: usize) {
    let (c, pixels) = (se.input.c, se.input.pixels());
    let (place, packs) = (step.gate(se.gate), step.places.packs[stage]);
    let r = step.program.gates[se.gate].reduced;
    let param = |range: &Range<usize>| &step.params[range.clone()];
    let (b1, b2) = (param(&se.reduce_bias), param(&se.expand_bias));
    for_parts(step, |p| {
        let images = step.images(p);
        let (first, m) = (images.start, images.len());
        let at = |offset: usize, width: usize| step.arena.at(offset + first * width);
        for image in images {
            let src = step.value(se.src.value).at(image * pixels * c);
            let Some(load) = step.load(&se.src, image) else { return };
            // SAFETY: one image of the value, one row of the pooled means.
            unsafe { rows::pool(step.isa, src, pixels, c, &load, step.arena.at(place.pooled + image * c)) };
        }
        // SAFETY: every buffer holds one row per image of the batch; a part touches its own rows.
        unsafe {
            product(step, at(place.pooled, c), m, c, r, packs.forward, at(place.hidden, r));
            activate(at(place.hidden, r), at(place.hidden_act, r), m, b1, se.act);
            product(step, at(place.hidden_act, r), m, r, c, packs.expand, at(place.raw, c));
            activate(at(place.raw, c), at(place.gate, c), m, b2, se.gate_act);
        }
    });
}

/// `dst = act(src + bias)` over `m` rows.
///
/// # Safety
/// `src` and `dst` hold `m` rows as long as the bias.
unsafe fn activate(src: *const f32, dst: *mut f32, m: usize, bias: &[f32], a: Activation) {
    for (i, b) in bias.iter().enumerate() {
        for row in 0..m {
            let at = row * bias.len() + i;
            // SAFETY: the caller's contract.
            unsafe { *dst.add(at) = act::scalar(a, *src.add(at) + b).0 }
        }
    }
}

/// Gradients of the two layers into `grads`, the pooling's gradient for the producer's load, and batch-norm's sums.
pub fn backward(step: &Step, se: &Squeeze, stage: usize, grads: &mut [f32]) {
    let (c, r) = (se.input.c, step.program.gates[se.gate].reduced);
    through_layers(step, se, stage);

    // Of the weights and biases: `raw` and `hidden` now hold gradients.
    let place = *step.gate(se.gate);
    layer_gradient(step, (place.raw, c), (place.hidden_act, r), &se.expand_weight, &se.expand_bias, grads);
    layer_gradient(step, (place.hidden, r), (place.pooled, c), &se.reduce_weight, &se.reduce_bias, grads);

    // Each pixel gets its share of the pooled gradient; batch-norm's sums follow from the consumer's.
    let Some(norm) = se.src.norm else { return };
    let norm_sums = Shared::new(step.norm_sums(norm));
    for_ranges(c, CHANNELS, |channels| {
        for ch in channels {
            let (mut sum, mut dot) = (0.0, 0.0);
            for image in 0..step.n {
                // SAFETY: each buffer holds one row per image; this channel is this thread's alone.
                let at = |offset: usize| unsafe { *step.arena.at(offset + image * c + ch) };
                // SAFETY: the same.
                let sums =
                    |j: usize| unsafe { *step.arena.at(place.sums + (image * GATED_SUMS + j) * c + ch) };
                let (gate, pooled) = (f64::from(at(place.gate)), f64::from(at(place.pooled_grad)));
                sum += gate * f64::from(sums(1)) + pooled * f64::from(sums(2));
                dot += gate * f64::from(sums(3)) + pooled * f64::from(sums(4));
            }
            // SAFETY: the batch-norm's sums hold 2 c doubles.
            unsafe { (*norm_sums.at(ch), *norm_sums.at(c + ch)) = (sum, dot) };
        }
    });
}

/// Per image, through the gate's activation, the second layer, the first activation and the first layer: `raw` and `hidden`
/// become their own gradients, `pooled_grad` the share of every pixel.
fn through_layers(step: &Step, se: &Squeeze, stage: usize) {
    let (c, share) = (se.input.c, 1.0 / se.input.pixels() as f32);
    let (place, packs) = (*step.gate(se.gate), step.places.packs[stage]);
    let r = step.program.gates[se.gate].reduced;
    let (b1, b2) = (&step.params[se.reduce_bias.clone()], &step.params[se.expand_bias.clone()]);
    for_parts(step, |p| {
        let images = step.images(p);
        let (first, m) = (images.start, images.len());
        // SAFETY: every buffer holds one row of this width per image; a part touches its own rows.
        let rows = |offset: usize, width: usize| unsafe {
            std::slice::from_raw_parts_mut(step.arena.at(offset + first * width), m * width)
        };
        let (raw, hidden) = (rows(place.raw, c), rows(place.hidden, r));
        let sums = rows(place.sums, c * GATED_SUMS);
        for (raw, sums) in raw.chunks_exact_mut(c).zip(sums.chunks_exact(c * GATED_SUMS)) {
            for ((raw, d), b) in raw.iter_mut().zip(sums).zip(b2) {
                *raw = d * act::scalar(se.gate_act, *raw + b).1;
            }
        }
        let mut d_hidden = Scratch::take(m * r);
        // SAFETY: `m` rows of these widths each.
        unsafe { product(step, raw.as_ptr(), m, c, r, packs.expand_backward, d_hidden.as_mut_ptr()) };
        for (hidden, d) in hidden.chunks_exact_mut(r).zip(d_hidden.chunks_exact(r)) {
            for ((hidden, d), b) in hidden.iter_mut().zip(d).zip(b1) {
                *hidden = d * act::scalar(se.act, *hidden + b).1;
            }
        }
        let pooled_grad = rows(place.pooled_grad, c);
        // SAFETY: `m` rows of these widths each.
        unsafe { product(step, hidden.as_ptr(), m, r, c, packs.backward, pooled_grad.as_mut_ptr()) };
        pooled_grad.iter_mut().for_each(|v| *v *= share);
    });
}

/// `dw[out, in] = dy[n, out]^T x[n, in]` and the sums of `dy` for the bias; both matrices lie in the arena, each given by its
/// place and width.
fn layer_gradient(
    step: &Step,
    (dy, out): (usize, usize),
    (x, inputs): (usize, usize),
    weight: &Range<usize>,
    bias: &Range<usize>,
    grads: &mut [f32],
) {
    assert!(weight.len() == out * inputs && bias.len() == out);
    let dw = Shared::new(grads[weight.clone()].as_mut_ptr());
    let db = Shared::new(grads[bias.clone()].as_mut_ptr());
    for_ranges(out, CHANNELS, |range| {
        let a = step.arena.at(dy + range.start).cast_const();
        let b = Panels::Rows(step.arena.at(x), inputs);
        let c = dw.at(range.start * inputs);
        let p = Product { a_row: 1, a_col: out, ..Product::plain(range.len(), inputs, step.n, a, b, c) };
        // SAFETY: `n` rows of both matrices; ranges of the output do not overlap.
        unsafe {
            gemm(step.isa, &p);
            for i in range.clone() {
                let column = a.add(i - range.start);
                *db.at(i) = (0..step.n).map(|row| *column.add(row * out)).sum();
            }
        }
    });
}
