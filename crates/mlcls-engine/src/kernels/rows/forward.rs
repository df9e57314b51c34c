//! What consumers do on loading a value, and the small passes of inference.

use super::{blocks, channels, load, load_block, store, store_one};
use crate::graph::Activation;
use crate::kernels::act::{Act, with_act};
use crate::kernels::simd::{Simd, simd_kernel};

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
unsafe fn activate_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    dst: *mut f32,
    src: *const f32,
    rows: usize,
    c: usize,
    v: &Load,
) {
    // SAFETY: the caller's contract; offsets stay below rows * c and c.
    unsafe {
        let scale = load_block::<S, N>(v.scale.add(at), lanes);
        let shift = load_block::<S, N>(v.shift.add(at), lanes);
        if v.gate.is_null() {
            for r in 0..rows {
                let i = r * c + at;
                let y = load_block::<S, N>(src.add(i), lanes);
                for j in 0..N {
                    let a = A::value::<S>(S::fma(y[j], scale[j], shift[j]));
                    store_one::<S, N>(dst.add(i + j * S::LANES), a, lanes);
                }
            }
        } else {
            let gate = load_block::<S, N>(v.gate.add(at), lanes);
            for r in 0..rows {
                let i = r * c + at;
                let y = load_block::<S, N>(src.add(i), lanes);
                for j in 0..N {
                    let a = A::value::<S>(S::fma(y[j], scale[j], shift[j]));
                    store_one::<S, N>(dst.add(i + j * S::LANES), S::mul(a, gate[j]), lanes);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn activate_rows<S: Simd>(dst: *mut f32, src: *const f32, rows: usize, c: usize, view: &Load) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(view.act, |A| blocks!(S, 4, c, activate_block, [A], (dst, src, rows, c, view))) }
}

simd_kernel! {
    /// `dst = act(src * scale + shift) * gate`, row by row.
    ///
    /// # Safety
    /// `dst` and `src` must hold `rows * c` elements, the view's pointers `c`; `dst` may be `src`.
    activate = activate_rows(dst: *mut f32, src: *const f32, rows: usize, c: usize, view: &Load)
}

#[inline(always)]
unsafe fn pool_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    src: *const f32,
    rows: usize,
    c: usize,
    v: &Load,
    out: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let share = S::splat(1.0 / rows as f32);
        let scale = load_block::<S, N>(v.scale.add(at), lanes);
        let shift = load_block::<S, N>(v.shift.add(at), lanes);
        let mut s = [S::splat(0.0); N];
        for r in 0..rows {
            let y = load_block::<S, N>(src.add(r * c + at), lanes);
            for j in 0..N {
                s[j] = S::add(s[j], A::value::<S>(S::fma(y[j], scale[j], shift[j])));
            }
        }
        for (j, s) in s.into_iter().enumerate() {
            store_one::<S, N>(out.add(at + j * S::LANES), S::mul(s, share), lanes);
        }
    }
}

#[inline(always)]
unsafe fn pool_rows<S: Simd>(src: *const f32, rows: usize, c: usize, view: &Load, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(view.act, |A| blocks!(S, 4, c, pool_block, [A], (src, rows, c, view, out))) }
}

simd_kernel! {
    /// Mean over the rows of `act(src * scale + shift)`.
    ///
    /// # Safety
    /// `src` must hold `rows * c` elements, the view's scale and shift and `out` `c`.
    pool = pool_rows(src: *const f32, rows: usize, c: usize, view: &Load, out: *mut f32)
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
unsafe fn bias_act_block<S: Simd, A: Act, const N: usize>(
    at: usize,
    lanes: usize,
    dst: *mut f32,
    rows: usize,
    stride: usize,
    bias: *const f32,
    residual: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let bias = load_block::<S, N>(bias.add(at), lanes);
        for r in 0..rows {
            let i = r * stride + at;
            let y = load_block::<S, N>(dst.add(i), lanes);
            for j in 0..N {
                let mut v = A::value::<S>(S::add(y[j], bias[j]));
                if !residual.is_null() {
                    let at = residual.add(i + j * S::LANES);
                    v = S::add(v, if N > 1 { S::load(at) } else { load!(S, at, lanes) });
                }
                store_one::<S, N>(dst.add(i + j * S::LANES), v, lanes);
            }
        }
    }
}

#[inline(always)]
unsafe fn bias_act_rows<S: Simd>(
    dst: *mut f32,
    rows: usize,
    c: usize,
    stride: usize,
    bias: *const f32,
    act: Activation,
    residual: *const f32,
) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(act, |A| blocks!(S, 4, c, bias_act_block, [A], (dst, rows, stride, bias, residual))) }
}

simd_kernel! {
    /// `dst = act(dst + bias) + residual` for `c` channels of rows `stride` elements apart; a null `residual` adds nothing.
    ///
    /// # Safety
    /// `dst` and `residual` must hold `rows` such rows, `bias` `c` elements.
    bias_act = bias_act_rows(
        dst: *mut f32, rows: usize, c: usize, stride: usize, bias: *const f32, act: Activation, residual: *const f32,
    )
}
