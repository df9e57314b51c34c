//! Gradients on their way through gate, activation and batch-norm.

use super::forward::Load;
use super::{add_wide, blocks, load_block, store_one};
use crate::kernels::act::{Act, with_act};
use crate::kernels::simd::{Simd, simd_kernel};

/// How the gradient of a raw value is made from `d` and `y`: `d' = (d * gate + pooled) * act'(z)` if gated, else `d`; then
/// `a * d' + b * (y - mean) + c`.
#[derive(Clone, Copy, Debug)]
pub struct LoadGrad {
    /// Factor of the gradient, per channel.
    pub a: *const f32,
    /// Factor of the centred value, per channel.
    pub b: *const f32,
    /// Summand, per channel.
    pub c: *const f32,
    /// Batch mean, per channel.
    pub mean: *const f32,
    /// The view of the value, needed only for gated ones.
    pub view: Load,
    /// Gradient that comes back through the squeeze-excite's pooling, per channel of this image; used with a gate.
    pub pooled: *const f32,
}

#[inline(always)]
unsafe fn gradient_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    dst: *mut f32,
    d: *const f32,
    y: *const f32,
    rows: usize,
    c: usize,
    g: &LoadGrad,
) {
    // SAFETY: the caller's contract; offsets stay below rows * c and c.
    unsafe {
        let ka = load_block::<S, N>(g.a.add(at), lanes);
        let kb = load_block::<S, N>(g.b.add(at), lanes);
        let kc = load_block::<S, N>(g.c.add(at), lanes);
        let mean = load_block::<S, N>(g.mean.add(at), lanes);
        if g.view.gate.is_null() {
            for r in 0..rows {
                let i = r * c + at;
                let y = load_block::<S, N>(y.add(i), lanes);
                let d = load_block::<S, N>(d.add(i), lanes);
                for j in 0..N {
                    let v = S::fma(ka[j], d[j], S::fma(kb[j], S::sub(y[j], mean[j]), kc[j]));
                    store_one::<S, N>(dst.add(i + j * S::LANES), v, lanes);
                }
            }
        } else {
            let scale = load_block::<S, N>(g.view.scale.add(at), lanes);
            let shift = load_block::<S, N>(g.view.shift.add(at), lanes);
            let gate = load_block::<S, N>(g.view.gate.add(at), lanes);
            let pooled = load_block::<S, N>(g.pooled.add(at), lanes);
            for r in 0..rows {
                let i = r * c + at;
                let y = load_block::<S, N>(y.add(i), lanes);
                let d = load_block::<S, N>(d.add(i), lanes);
                for j in 0..N {
                    let (_, slope) = A::both::<S>(S::fma(y[j], scale[j], shift[j]));
                    let d = S::mul(S::fma(d[j], gate[j], pooled[j]), slope);
                    let v = S::fma(ka[j], d, S::fma(kb[j], S::sub(y[j], mean[j]), kc[j]));
                    store_one::<S, N>(dst.add(i + j * S::LANES), v, lanes);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn gradient_rows<S: Simd>(
    dst: *mut f32,
    d: *const f32,
    y: *const f32,
    rows: usize,
    c: usize,
    g: &LoadGrad,
) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(g.view.act, |A| blocks!(S, 2, c, gradient_block, [A], (dst, d, y, rows, c, g))) }
}

simd_kernel! {
    /// The gradient of the raw value `y` into `dst`.
    ///
    /// # Safety
    /// `dst`, `d` and `y` must hold `rows * c` elements, the pointers of `g` `c` (those of its view and `pooled` only when the
    /// view has a gate); `dst` may be `d`.
    gradient = gradient_rows(dst: *mut f32, d: *const f32, y: *const f32, rows: usize, c: usize, g: &LoadGrad)
}

#[inline(always)]
unsafe fn finish_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    d: *mut f32,
    y: *const f32,
    rows: usize,
    c: usize,
    v: &Load,
    mean: *const f32,
    sums: *mut f64,
) {
    // SAFETY: the caller's contract; offsets stay below rows * c and c.
    unsafe {
        let scale = load_block::<S, N>(v.scale.add(at), lanes);
        let shift = load_block::<S, N>(v.shift.add(at), lanes);
        let mean = load_block::<S, N>(mean.add(at), lanes);
        let (mut s, mut q) = ([S::splat(0.0); N], [S::splat(0.0); N]);
        for r in 0..rows {
            let i = r * c + at;
            let y = load_block::<S, N>(y.add(i), lanes);
            let d_in = load_block::<S, N>(d.add(i).cast_const(), lanes);
            for j in 0..N {
                let (_, slope) = A::both::<S>(S::fma(y[j], scale[j], shift[j]));
                let g = S::mul(d_in[j], slope);
                store_one::<S, N>(d.add(i + j * S::LANES), g, lanes);
                s[j] = S::add(s[j], g);
                q[j] = S::fma(g, S::sub(y[j], mean[j]), q[j]);
            }
        }
        for j in 0..N {
            let at = at + j * S::LANES;
            add_wide::<S>(sums.add(at), s[j], lanes);
            add_wide::<S>(sums.add(c + at), q[j], lanes);
        }
    }
}

#[inline(always)]
unsafe fn finish_rows<S: Simd>(
    d: *mut f32,
    y: *const f32,
    rows: usize,
    c: usize,
    view: &Load,
    mean: *const f32,
    sums: *mut f64,
) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(view.act, |A| blocks!(S, 2, c, finish_block, [A], (d, y, rows, c, view, mean, sums))) }
}

simd_kernel! {
    /// Turns the gradient of the activated value into that of `z`, in place, and adds each channel's sum of it and of its
    /// product with `y - mean` to `sums[..c]` and `sums[c..]`: what batch-norm's backward pass needs.
    ///
    /// # Safety
    /// `d` and `y` must hold `rows * c` elements, the view's scale and shift and `mean` `c`, `sums` `2 * c`.
    finish = finish_rows(d: *mut f32, y: *const f32, rows: usize, c: usize, view: &Load, mean: *const f32, sums: *mut f64)
}

/// Sums per channel that [`finish_gated`] keeps for one image.
pub const GATED_SUMS: usize = 5;

#[inline(always)]
unsafe fn finish_gated_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    d: *const f32,
    y: *const f32,
    rows: usize,
    c: usize,
    v: &Load,
    mean: *const f32,
    sums: *mut f32,
) {
    // SAFETY: the caller's contract; offsets stay below rows * c, c and GATED_SUMS * c.
    unsafe {
        let scale = load_block::<S, N>(v.scale.add(at), lanes);
        let shift = load_block::<S, N>(v.shift.add(at), lanes);
        let mean = load_block::<S, N>(mean.add(at), lanes);
        let mut s = [[S::splat(0.0); GATED_SUMS]; N];
        for r in 0..rows {
            let i = r * c + at;
            let y = load_block::<S, N>(y.add(i), lanes);
            let d = load_block::<S, N>(d.add(i), lanes);
            for j in 0..N {
                let (a, slope) = A::both::<S>(S::fma(y[j], scale[j], shift[j]));
                let (g, centred) = (S::mul(d[j], slope), S::sub(y[j], mean[j]));
                s[j][0] = S::fma(d[j], a, s[j][0]);
                s[j][1] = S::add(g, s[j][1]);
                s[j][2] = S::add(slope, s[j][2]);
                s[j][3] = S::fma(g, centred, s[j][3]);
                s[j][4] = S::fma(slope, centred, s[j][4]);
            }
        }
        for (j, s) in s.iter().enumerate() {
            for (which, v) in s.iter().enumerate() {
                let to = sums.add(which * c + at + j * S::LANES);
                let [old] = load_block::<S, 1>(to.cast_const(), lanes);
                store_one::<S, 1>(to, S::add(*v, old), lanes);
            }
        }
    }
}

#[inline(always)]
unsafe fn finish_gated_rows<S: Simd>(
    d: *const f32,
    y: *const f32,
    rows: usize,
    c: usize,
    view: &Load,
    mean: *const f32,
    sums: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        with_act!(view.act, |A| blocks!(S, 2, c, finish_gated_block, [A], (d, y, rows, c, view, mean, sums)))
    }
}

simd_kernel! {
    /// For a gated value `a * gate` with `d` the gradient of the product, adds to `sums[j * c ..]` each channel's sum of
    /// `d a`, `d act'`, `act'`, `d act' (y - mean)` and `act' (y - mean)`. The gate's own gradient and batch-norm's sums follow
    /// from these per image, so that no second pass over the map is needed.
    ///
    /// # Safety
    /// `d` and `y` must hold `rows * c` elements, the view's scale and shift and `mean` `c`, `sums` `GATED_SUMS * c`.
    finish_gated = finish_gated_rows(
        d: *const f32, y: *const f32, rows: usize, c: usize, view: &Load, mean: *const f32, sums: *mut f32,
    )
}
