//! Sums of channels over rows, in double precision from tile to tile.

use super::{add_wide, blocks, load_block, store_one};
use crate::kernels::simd::{Simd, simd_kernel};

#[inline(always)]
unsafe fn moments_block<S: Simd, const N: usize>(
    at: usize,
    lanes: usize,
    y: *const f32,
    rows: usize,
    c: usize,
    origin: *const f32,
    sum: *mut f64,
    square: *mut f64,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let k = load_block::<S, N>(origin.add(at), lanes);
        let (mut s, mut q) = ([S::splat(0.0); N], [S::splat(0.0); N]);
        for r in 0..rows {
            let y = load_block::<S, N>(y.add(r * c + at), lanes);
            for j in 0..N {
                let v = S::sub(y[j], k[j]);
                s[j] = S::add(s[j], v);
                q[j] = S::fma(v, v, q[j]);
            }
        }
        for j in 0..N {
            add_wide::<S>(sum.add(at + j * S::LANES), s[j], lanes);
            add_wide::<S>(square.add(at + j * S::LANES), q[j], lanes);
        }
    }
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
    unsafe { blocks!(S, 4, c, moments_block, [], (y, rows, c, origin, sum, square)) }
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
unsafe fn column_sums_block<S: Simd, const N: usize>(
    at: usize,
    lanes: usize,
    y: *const f32,
    rows: usize,
    c: usize,
    sum: *mut f64,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut s = [S::splat(0.0); N];
        for r in 0..rows {
            let y = load_block::<S, N>(y.add(r * c + at), lanes);
            for j in 0..N {
                s[j] = S::add(s[j], y[j]);
            }
        }
        for (j, s) in s.into_iter().enumerate() {
            add_wide::<S>(sum.add(at + j * S::LANES), s, lanes);
        }
    }
}

#[inline(always)]
unsafe fn column_sums_rows<S: Simd>(y: *const f32, rows: usize, c: usize, sum: *mut f64) {
    // SAFETY: the caller's contract.
    unsafe { blocks!(S, 4, c, column_sums_block, [], (y, rows, c, sum)) }
}

simd_kernel! {
    /// Adds each channel's sum to `sum`.
    ///
    /// # Safety
    /// `y` must hold `rows * c` elements and `sum` `c`.
    column_sums = column_sums_rows(y: *const f32, rows: usize, c: usize, sum: *mut f64)
}

#[inline(always)]
unsafe fn mean_block<S: Simd, const N: usize>(
    at: usize,
    lanes: usize,
    y: *const f32,
    rows: usize,
    stride: usize,
    out: *mut f32,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let share = S::splat(1.0 / rows as f32);
        let mut s = [S::splat(0.0); N];
        for r in 0..rows {
            let y = load_block::<S, N>(y.add(r * stride + at), lanes);
            for j in 0..N {
                s[j] = S::add(s[j], y[j]);
            }
        }
        for (j, s) in s.into_iter().enumerate() {
            store_one::<S, N>(out.add(at + j * S::LANES), S::mul(s, share), lanes);
        }
    }
}

#[inline(always)]
unsafe fn mean_rows<S: Simd>(y: *const f32, rows: usize, stride: usize, c: usize, out: *mut f32) {
    // SAFETY: the caller's contract.
    unsafe { blocks!(S, 4, c, mean_block, [], (y, rows, stride, out)) }
}

simd_kernel! {
    /// The mean over the rows of `c` channels out of `stride`.
    ///
    /// # Safety
    /// `y` must hold `rows` rows of `c` channels `stride` elements apart, and `out` `c`.
    mean = mean_rows(y: *const f32, rows: usize, stride: usize, c: usize, out: *mut f32)
}
