//! Passes over rows of channels: what a consumer does on loading a value, and what a producer does after storing one.
//!
//! A value in a training plan is the raw output `y` of a convolution; the batch-norm, activation and gate that follow are
//! applied by whoever reads it: `a = act(y * scale + shift) * gate`. Backward, `d` is the gradient of `a` (or of
//! `z = y * scale + shift` once [`finish`] has multiplied the slope in), and the gradient of `y` is again made on loading.
//! All functions work on `rows` rows of `c` contiguous channels.

use super::act::Act;
use super::simd::{Simd, simd_kernel};
use crate::graph::Activation;

/// Calls the body for each vector of channels with its offset and its number of real lanes.
macro_rules! channels {
    ($s:ident, $c:expr, |$at:ident, $lanes:ident| $body:block) => {{
        let mut $at = 0;
        while $at < $c {
            let $lanes = $s::LANES.min($c - $at);
            $body
            $at += $s::LANES;
        }
    }};
}

/// Loads a whole vector, or its first lanes at the end of the channels.
macro_rules! load {
    ($s:ident, $p:expr, $lanes:ident) => {
        if $lanes == $s::LANES { $s::load($p) } else { $s::load_first($p, $lanes) }
    };
}

/// Stores a whole vector, or its first lanes at the end of the channels.
macro_rules! store {
    ($s:ident, $p:expr, $v:expr, $lanes:ident) => {
        if $lanes == $s::LANES { $s::store($p, $v) } else { $s::store_first($p, $v, $lanes) }
    };
}
pub(crate) use {channels, load, store};

/// How a raw value is seen by its consumers.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Factor per channel.
    pub scale: *const f32,
    /// Summand per channel.
    pub shift: *const f32,
    /// Activation after them.
    pub act: Activation,
    /// Factor per channel of this image, or null.
    pub gate: *const f32,
}

#[inline(always)]
unsafe fn activate_act<S: Simd, A: Act>(dst: *mut f32, src: *const f32, rows: usize, c: usize, v: &Load) {
    // SAFETY: the caller's contract; offsets stay below rows * c and c.
    unsafe {
        channels!(S, c, |at, lanes| {
            let scale = load!(S, v.scale.add(at), lanes);
            let shift = load!(S, v.shift.add(at), lanes);
            if v.gate.is_null() {
                for r in 0..rows {
                    let y = load!(S, src.add(r * c + at), lanes);
                    store!(S, dst.add(r * c + at), A::value::<S>(S::fma(y, scale, shift)), lanes);
                }
            } else {
                let gate = load!(S, v.gate.add(at), lanes);
                for r in 0..rows {
                    let y = load!(S, src.add(r * c + at), lanes);
                    let a = S::mul(A::value::<S>(S::fma(y, scale, shift)), gate);
                    store!(S, dst.add(r * c + at), a, lanes);
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn activate_rows<S: Simd>(dst: *mut f32, src: *const f32, rows: usize, c: usize, view: &Load) {
    // SAFETY: the caller's contract.
    unsafe { super::act::with_act!(view.act, activate_act::<S>(dst, src, rows, c, view)) }
}

simd_kernel! {
    /// `dst = act(src * scale + shift) * gate`, row by row.
    ///
    /// # Safety
    /// `dst` and `src` must hold `rows * c` elements, the view's pointers `c`; `dst` may be `src`.
    activate = activate_rows(dst: *mut f32, src: *const f32, rows: usize, c: usize, view: &Load)
}

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
unsafe fn gradient_act<S: Simd, A: Act>(
    dst: *mut f32,
    d: *const f32,
    y: *const f32,
    rows: usize,
    c: usize,
    g: &LoadGrad,
) {
    // SAFETY: the caller's contract; offsets stay below rows * c and c.
    unsafe {
        channels!(S, c, |at, lanes| {
            let ka = load!(S, g.a.add(at), lanes);
            let kb = load!(S, g.b.add(at), lanes);
            let kc = load!(S, g.c.add(at), lanes);
            let mean = load!(S, g.mean.add(at), lanes);
            if g.view.gate.is_null() {
                for r in 0..rows {
                    let i = r * c + at;
                    let y = load!(S, y.add(i), lanes);
                    let d = load!(S, d.add(i), lanes);
                    let v = S::fma(ka, d, S::fma(kb, S::sub(y, mean), kc));
                    store!(S, dst.add(i), v, lanes);
                }
            } else {
                let scale = load!(S, g.view.scale.add(at), lanes);
                let shift = load!(S, g.view.shift.add(at), lanes);
                let gate = load!(S, g.view.gate.add(at), lanes);
                let pooled = load!(S, g.pooled.add(at), lanes);
                for r in 0..rows {
                    let i = r * c + at;
                    let y = load!(S, y.add(i), lanes);
                    let (_, slope) = A::both::<S>(S::fma(y, scale, shift));
                    let d = S::mul(S::fma(load!(S, d.add(i), lanes), gate, pooled), slope);
                    let v = S::fma(ka, d, S::fma(kb, S::sub(y, mean), kc));
                    store!(S, dst.add(i), v, lanes);
                }
            }
        });
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
    unsafe { super::act::with_act!(g.view.act, gradient_act::<S>(dst, d, y, rows, c, g)) }
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
unsafe fn moments_rows<S: Simd>(
    y: *const f32,
    rows: usize,
    c: usize,
    origin: *const f32,
    sum: *mut f64,
    square: *mut f64,
) {
    // SAFETY: the caller's contract.
    unsafe {
        channels!(S, c, |at, lanes| {
            let k = load!(S, origin.add(at), lanes);
            let (mut s, mut q) = (S::splat(0.0), S::splat(0.0));
            for r in 0..rows {
                let v = S::sub(load!(S, y.add(r * c + at), lanes), k);
                s = S::add(s, v);
                q = S::fma(v, v, q);
            }
            add_wide::<S>(sum.add(at), s, lanes);
            add_wide::<S>(square.add(at), q, lanes);
        });
    }
}

/// Adds the first lanes of a vector to double-precision sums.
#[inline(always)]
unsafe fn add_wide<S: Simd>(to: *mut f64, v: S::V, lanes: usize) {
    // SAFETY: 16 lanes is the widest vector; `to` holds `lanes` elements by the caller's contract.
    unsafe {
        let mut part = [0f32; 16];
        S::store(part.as_mut_ptr(), v);
        for (i, x) in part[..lanes].iter().enumerate() {
            *to.add(i) += f64::from(*x);
        }
    }
}

simd_kernel! {
    /// Adds each channel's sum of `y - origin` and of its square to `sum` and `square`. An `origin` near the mean keeps the
    /// variance exact where the mean is far from zero.
    ///
    /// # Safety
    /// `y` must hold `rows * c` elements, the others `c`.
    moments = moments_rows(y: *const f32, rows: usize, c: usize, origin: *const f32, sum: *mut f64, square: *mut f64)
}

#[inline(always)]
unsafe fn finish_act<S: Simd, A: Act>(
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
        channels!(S, c, |at, lanes| {
            let scale = load!(S, v.scale.add(at), lanes);
            let shift = load!(S, v.shift.add(at), lanes);
            let mean = load!(S, mean.add(at), lanes);
            let (mut s, mut q) = (S::splat(0.0), S::splat(0.0));
            for r in 0..rows {
                let i = r * c + at;
                let y = load!(S, y.add(i), lanes);
                let (_, slope) = A::both::<S>(S::fma(y, scale, shift));
                let g = S::mul(load!(S, d.add(i), lanes), slope);
                store!(S, d.add(i), g, lanes);
                s = S::add(s, g);
                q = S::fma(g, S::sub(y, mean), q);
            }
            add_wide::<S>(sums.add(at), s, lanes);
            add_wide::<S>(sums.add(c + at), q, lanes);
        });
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
    unsafe { super::act::with_act!(view.act, finish_act::<S>(d, y, rows, c, view, mean, sums)) }
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
unsafe fn finish_gated_act<S: Simd, A: Act>(
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
        channels!(S, c, |at, lanes| {
            let scale = load!(S, v.scale.add(at), lanes);
            let shift = load!(S, v.shift.add(at), lanes);
            let mean = load!(S, mean.add(at), lanes);
            let mut s = [S::splat(0.0); GATED_SUMS];
            for r in 0..rows {
                let i = r * c + at;
                let y = load!(S, y.add(i), lanes);
                let d = load!(S, d.add(i), lanes);
                let (a, slope) = A::both::<S>(S::fma(y, scale, shift));
                let (g, centred) = (S::mul(d, slope), S::sub(y, mean));
                s[0] = S::fma(d, a, s[0]);
                s[1] = S::add(g, s[1]);
                s[2] = S::add(slope, s[2]);
                s[3] = S::fma(g, centred, s[3]);
                s[4] = S::fma(slope, centred, s[4]);
            }
            for (j, v) in s.iter().enumerate() {
                let to = sums.add(j * c + at);
                store!(S, to, S::add(*v, load!(S, to, lanes)), lanes);
            }
        });
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
    unsafe { super::act::with_act!(view.act, finish_gated_act::<S>(d, y, rows, c, view, mean, sums)) }
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

#[inline(always)]
unsafe fn pool_act<S: Simd, A: Act>(src: *const f32, rows: usize, c: usize, v: &Load, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe {
        let share = S::splat(1.0 / rows as f32);
        channels!(S, c, |at, lanes| {
            let scale = load!(S, v.scale.add(at), lanes);
            let shift = load!(S, v.shift.add(at), lanes);
            let mut s = S::splat(0.0);
            for r in 0..rows {
                let y = load!(S, src.add(r * c + at), lanes);
                s = S::add(s, A::value::<S>(S::fma(y, scale, shift)));
            }
            store!(S, out.add(at), S::mul(s, share), lanes);
        });
    }
}

#[inline(always)]
unsafe fn pool_rows<S: Simd>(src: *const f32, rows: usize, c: usize, view: &Load, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { super::act::with_act!(view.act, pool_act::<S>(src, rows, c, view, out)) }
}

simd_kernel! {
    /// Mean over the rows of `act(src * scale + shift)`.
    ///
    /// # Safety
    /// `src` must hold `rows * c` elements, the view's scale and shift and `out` `c`.
    pool = pool_rows(src: *const f32, rows: usize, c: usize, view: &Load, out: *mut f32)
}

#[inline(always)]
unsafe fn column_sums_rows<S: Simd>(y: *const f32, rows: usize, c: usize, sum: *mut f64) {
    // SAFETY: the caller's contract.
    unsafe {
        channels!(S, c, |at, lanes| {
            let mut s = S::splat(0.0);
            for r in 0..rows {
                s = S::add(s, load!(S, y.add(r * c + at), lanes));
            }
            add_wide::<S>(sum.add(at), s, lanes);
        });
    }
}

simd_kernel! {
    /// Adds each channel's sum to `sum`.
    ///
    /// # Safety
    /// `y` must hold `rows * c` elements and `sum` `c`.
    column_sums = column_sums_rows(y: *const f32, rows: usize, c: usize, sum: *mut f64)
}

#[inline(always)]
unsafe fn axpy_slice<S: Simd>(dst: *mut f32, src: *const f32, k: f32, len: usize, accumulate: bool) {
    // SAFETY: the caller's contract.
    unsafe {
        let k = S::splat(k);
        channels!(S, len, |at, lanes| {
            let mut v = S::mul(k, load!(S, src.add(at), lanes));
            if accumulate {
                v = S::add(v, load!(S, dst.add(at), lanes));
            }
            store!(S, dst.add(at), v, lanes);
        });
    }
}

simd_kernel! {
    /// `dst = k * src`, or `dst += k * src`.
    ///
    /// # Safety
    /// `dst` and `src` must hold `len` elements.
    axpy = axpy_slice(dst: *mut f32, src: *const f32, k: f32, len: usize, accumulate: bool)
}

#[inline(always)]
unsafe fn bias_act_act<S: Simd, A: Act>(
    dst: *mut f32,
    rows: usize,
    c: usize,
    bias: *const f32,
    residual: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        channels!(S, c, |at, lanes| {
            let b = load!(S, bias.add(at), lanes);
            for r in 0..rows {
                let i = r * c + at;
                let mut v = A::value::<S>(S::add(load!(S, dst.add(i), lanes), b));
                if !residual.is_null() {
                    v = S::add(v, load!(S, residual.add(i), lanes));
                }
                store!(S, dst.add(i), v, lanes);
            }
        });
    }
}

#[inline(always)]
unsafe fn bias_act_rows<S: Simd>(
    dst: *mut f32,
    rows: usize,
    c: usize,
    bias: *const f32,
    act: Activation,
    residual: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe { super::act::with_act!(act, bias_act_act::<S>(dst, rows, c, bias, residual)) }
}

simd_kernel! {
    /// `dst = act(dst + bias) + residual`; a null `residual` adds nothing.
    ///
    /// # Safety
    /// `dst` and `residual` must hold `rows * c` elements, `bias` `c`.
    bias_act = bias_act_rows(
        dst: *mut f32, rows: usize, c: usize, bias: *const f32, act: Activation, residual: *const f32,
    )
}
