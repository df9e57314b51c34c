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

/// Lines of rows that an activation takes from one place to another, which may be the same.
#[derive(Clone, Copy, Debug)]
pub struct Apply {
    /// First row.
    pub src: *const f32,
    /// Elements between rows, and between lines.
    pub src_row: usize,
    pub src_line: usize,
    /// Where the first row goes.
    pub dst: *mut f32,
    /// Elements between rows, and between lines.
    pub dst_row: usize,
    pub dst_line: usize,
    /// Number of lines, rows of a line and channels of a row.
    pub lines: usize,
    pub rows: usize,
    pub c: usize,
    /// The activation.
    pub act: Activation,
}

impl Apply {
    /// In place on rows `row` elements apart.
    pub fn in_place(dst: *mut f32, rows: usize, c: usize, row: usize, act: Activation) -> Self {
        let (src, src_row, dst_row) = (dst.cast_const(), row, row);
        Self { src, src_row, src_line: 0, dst, dst_row, dst_line: 0, lines: 1, rows, c, act }
    }
}

#[inline(always)]
unsafe fn apply_block<S: Simd, A: Act, const N: usize>(at: usize, lanes: usize, p: &Apply) {
    // SAFETY: the caller's contract.
    unsafe {
        for line in 0..p.lines {
            let (src, dst) = (p.src.add(line * p.src_line + at), p.dst.add(line * p.dst_line + at));
            for row in 0..p.rows {
                let y = load_block::<S, N>(src.add(row * p.src_row), lanes);
                for (j, y) in y.into_iter().enumerate() {
                    store_one::<S, N>(dst.add(row * p.dst_row + j * S::LANES), A::value::<S>(y), lanes);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn apply_lines<S: Simd>(p: &Apply) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(p.act, |A| blocks!(S, 4, p.c, apply_block, [A], (p))) }
}

simd_kernel! {
    /// `dst = act(src)`.
    ///
    /// # Safety
    /// Source and destination must hold these lines; rows of both may be the same memory or none of it.
    apply = apply_lines(p: &Apply)
}
