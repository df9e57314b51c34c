//! Squeeze-excite: pools the activated map, runs two small layers per image, and leaves a gate for the consumer's load.
//!
//! Backward, the consumer has already summed what is needed per image and channel (see
//! [`finish_gated`](crate::kernels::rows::finish_gated)), so the gate's gradient and batch-norm's sums cost no further pass.

use std::ops::Range;

use super::step::{Step, for_parts};
use crate::graph::Activation;
use crate::kernels::act;
use crate::kernels::gemm::{Panels, Product, gemm, pack, packed_len};
use crate::kernels::rows::{self, GATED_SUMS};
use crate::parallel::Scratch;
use crate::program::Squeeze;

/// `C[m, n] = A[m, k] B[k, n]`, all row-major and B small enough to be packed here.
fn product(
    step: &Step,
    a: *const f32,
    m: usize,
    k: usize,
    n: usize,
    b: impl Fn(usize, usize) -> f32,
    c: *mut f32,
) {
    let mut packed = Scratch::take(packed_len(step.isa, k, n));
    pack(step.isa, k, n, b, &mut packed);
    let p = Product {
        m,
        n,
        k,
        a,
        a_row: k,
        a_col: 1,
        b: Panels::Packed(packed.as_ptr()),
        c,
        c_row: n,
        accumulate: false,
    };
    // SAFETY: the callers give matrices of these sizes.
    unsafe { gemm(step.isa, &p) }
}

/// Pools, and computes the gate of every image.
pub fn forward(step: &Step, se: &Squeeze) {
    let (c, pixels) = (se.input.c, se.input.pixels());
    let place = step.gate(se.gate);
    let r = step.program.gates[se.gate].reduced;
    let param = |range: &Range<usize>| &step.params[range.clone()];
    let (w1, b1) = (param(&se.reduce_weight), param(&se.reduce_bias));
    let (w2, b2) = (param(&se.expand_weight), param(&se.expand_bias));
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
            product(step, at(place.pooled, c), m, c, r, |l, j| w1[j * c + l], at(place.hidden, r));
            activate(at(place.hidden, r), at(place.hidden_act, r), m, b1, se.act);
            product(step, at(place.hidden_act, r), m, r, c, |l, j| w2[j * r + l], at(place.raw, c));
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
pub fn backward(step: &Step, se: &Squeeze, grads: &mut [f32]) {
    let (n, c, pixels) = (step.n, se.input.c, se.input.pixels());
    let place = *step.gate(se.gate);
    let r = step.program.gates[se.gate].reduced;
    // SAFETY: each buffer holds one row of this width per image, and this stage alone touches the gate's memory now.
    let view = |offset: usize, width: usize| unsafe {
        std::slice::from_raw_parts(step.arena.at(offset).cast_const(), n * width)
    };
    let (pooled, hidden, hidden_act) =
        (view(place.pooled, c), view(place.hidden, r), view(place.hidden_act, r));
    let (raw, gate, sums) = (view(place.raw, c), view(place.gate, c), view(place.sums, c * GATED_SUMS));
    let (w1, w2) = (&step.params[se.reduce_weight.clone()], &step.params[se.expand_weight.clone()]);
    let (b1, b2) = (&step.params[se.reduce_bias.clone()], &step.params[se.expand_bias.clone()]);

    // Through the gate's activation, the second layer, the first activation and the first layer.
    let mut d_raw = Scratch::take(n * c);
    for i in 0..n * c {
        let (image, ch) = (i / c, i % c);
        d_raw[i] = sums[image * GATED_SUMS * c + ch] * act::scalar(se.gate_act, raw[i] + b2[ch]).1;
    }
    let mut d_hidden = Scratch::take(n * r);
    product(step, d_raw.as_ptr(), n, c, r, |l, j| w2[l * r + j], d_hidden.as_mut_ptr());
    for i in 0..n * r {
        d_hidden[i] *= act::scalar(se.act, hidden[i] + b1[i % r]).1;
    }
    let pooled_grad = step.arena.at(place.pooled_grad);
    product(step, d_hidden.as_ptr(), n, r, c, |l, j| w1[l * c + j], pooled_grad);

    layer_gradient(step, &d_raw, hidden_act, n, c, r, &mut grads[se.expand_weight.clone()]);
    column_sums(&d_raw, c, &mut grads[se.expand_bias.clone()]);
    layer_gradient(step, &d_hidden, pooled, n, r, c, &mut grads[se.reduce_weight.clone()]);
    column_sums(&d_hidden, r, &mut grads[se.reduce_bias.clone()]);

    // Each pixel gets its share of the pooled gradient; batch-norm's sums follow from the consumer's.
    // SAFETY: n rows of c elements, written by the product above.
    let pooled_grad = unsafe { std::slice::from_raw_parts_mut(pooled_grad, n * c) };
    pooled_grad.iter_mut().for_each(|v| *v /= pixels as f32);
    let Some(norm) = se.src.norm else { return };
    // SAFETY: the batch-norm's sums hold 2 c doubles.
    let norm_sums = unsafe { std::slice::from_raw_parts_mut(step.norm_sums(norm), 2 * c) };
    norm_sums.fill(0.0);
    for image in 0..n {
        let s = &sums[image * GATED_SUMS * c..][..GATED_SUMS * c];
        for ch in 0..c {
            let (g, e) = (f64::from(gate[image * c + ch]), f64::from(pooled_grad[image * c + ch]));
            let sum = |j: usize| f64::from(s[j * c + ch]);
            norm_sums[ch] += g * sum(1) + e * sum(2);
            norm_sums[c + ch] += g * sum(3) + e * sum(4);
        }
    }
}

/// `dw[out, in] = dy[n, out]^T x[n, in]`.
fn layer_gradient(step: &Step, dy: &[f32], x: &[f32], n: usize, out: usize, inputs: usize, dw: &mut [f32]) {
    let p = Product {
        m: out,
        n: inputs,
        k: n,
        a: dy.as_ptr(),
        a_row: 1,
        a_col: out,
        b: Panels::Rows(x.as_ptr(), inputs),
        c: dw.as_mut_ptr(),
        c_row: inputs,
        accumulate: false,
    };
    assert!(dy.len() >= n * out && x.len() >= n * inputs && dw.len() == out * inputs);
    // SAFETY: the sizes were checked just now.
    unsafe { gemm(step.isa, &p) }
}

fn column_sums(rows: &[f32], width: usize, out: &mut [f32]) {
    out.fill(0.0);
    for row in rows.chunks_exact(width) {
        out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
    }
}
