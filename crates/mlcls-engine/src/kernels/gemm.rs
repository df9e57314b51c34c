//! Small matrix products over a tile of rows: `C (+)= A B` with A read in place and B in panels.
//!
//! One micro-kernel serves forward (A = activations, B = packed weights), data gradient (A = output gradients, B = packed
//! transposed weights) and weight gradient (A = output gradients read down their columns, B = activations in place).

use super::simd::{Isa, Simd, simd_kernel};

/// One product `C[m, n] (+)= A[m, k] B[k, n]` on raw memory.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Element (i, l) of A lies at `a + i * a_row + l * a_col`.
    pub a: *const f32,
    /// Distance between rows of A.
    pub a_row: usize,
    /// Distance between columns of A.
    pub a_col: usize,
    /// Where B starts.
    pub b: Panels,
    /// C, row-major.
    pub c: *mut f32,
    /// Distance between rows of C.
    pub c_row: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

/// How B lies in memory.
#[derive(Clone, Copy, Debug)]
pub enum Panels {
    /// As [`pack`] wrote it.
    Packed(*const f32),
    /// Row-major with this distance between rows.
    Rows(*const f32, usize),
}

/// Columns of a packed panel: the width of the micro-kernel in elements.
pub fn panel_width(isa: Isa) -> usize {
    match isa {
        Isa::Scalar => 4,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => 16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => 32,
    }
}

/// Elements that [`pack`] writes for a B of `k` rows and `n` columns.
pub fn packed_len(isa: Isa, k: usize, n: usize) -> usize {
    n.next_multiple_of(panel_width(isa)) * k
}

/// Packs B, given by `at(row, column)`, into panels; columns past `n` are zero.
pub fn pack(isa: Isa, k: usize, n: usize, at: impl Fn(usize, usize) -> f32, out: &mut [f32]) {
    let width = panel_width(isa);
    for (p, panel) in out[..packed_len(isa, k, n)].chunks_exact_mut(width * k).enumerate() {
        let cols = width.min(n - p * width);
        for (l, row) in panel.chunks_exact_mut(width).enumerate() {
            for (j, v) in row[..cols].iter_mut().enumerate() {
                *v = at(l, p * width + j);
            }
            row[cols..].fill(0.0);
        }
    }
}

/// Rows `0..MR` of one panel of `NV` vectors; `last` lanes of the last vector are real.
#[inline(always)]
unsafe fn micro<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
    p: &Product,
    a: *const f32,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    last: usize,
) {
    // SAFETY: the caller gives MR valid rows of A and C and k rows of B with NV vectors, the last one cut to `last` lanes.
    unsafe {
        let mut acc = [[S::splat(0.0); NV]; MR];
        let mut a_l = a;
        let mut b_l = b;
        for _ in 0..p.k {
            let mut bv = [S::splat(0.0); NV];
            for (j, v) in bv.iter_mut().enumerate() {
                let at = b_l.add(j * S::LANES);
                *v = if TAIL && j + 1 == NV { S::load_first(at, last) } else { S::load(at) };
            }
            for (i, row) in acc.iter_mut().enumerate() {
                let x = S::splat(*a_l.add(i * p.a_row));
                for (v, b) in row.iter_mut().zip(bv) {
                    *v = S::fma(x, b, *v);
                }
            }
            a_l = a_l.add(p.a_col);
            b_l = b_l.add(b_row);
        }
        for (i, row) in acc.iter().enumerate() {
            for (j, v) in row.iter().enumerate() {
                let at = c.add(i * p.c_row + j * S::LANES);
                if TAIL && j + 1 == NV {
                    let v = if p.accumulate { S::add(*v, S::load_first(at, last)) } else { *v };
                    S::store_first(at, v, last);
                } else {
                    let v = if p.accumulate { S::add(*v, S::load(at)) } else { *v };
                    S::store(at, v);
                }
            }
        }
    }
}

/// All rows of one panel.
#[inline(always)]
unsafe fn panel<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
    p: &Product,
    b: *const f32,
    b_row: usize,
    c: *mut f32,
    last: usize,
) {
    // SAFETY: rows stay below m; the rest is the caller's contract.
    unsafe {
        let mut i = 0;
        while i + MR <= p.m {
            micro::<S, MR, NV, TAIL>(p, p.a.add(i * p.a_row), b, b_row, c.add(i * p.c_row), last);
            i += MR;
        }
        // What is left, in halving blocks: each has its own registers and its own code.
        macro_rules! rest {
            ($($r:literal)*) => {$(
                if MR > $r && p.m - i >= $r {
                    micro::<S, $r, NV, TAIL>(p, p.a.add(i * p.a_row), b, b_row, c.add(i * p.c_row), last);
                    i += $r;
                }
            )*};
        }
        rest!(8 4 2 1);
        debug_assert_eq!(i, p.m);
    }
}

#[inline(always)]
unsafe fn product<S: Simd, const MR: usize>(p: &Product, width: usize) {
    let lanes = S::LANES;
    let mut j = 0;
    while j < p.n {
        let cols = width.min(p.n - j);
        // SAFETY: column j is inside B and C; a packed panel holds k full rows of `width`.
        unsafe {
            let (b, b_row) = match p.b {
                Panels::Packed(b) => (b.add(j * p.k), width),
                Panels::Rows(b, row) => (b.add(j), row),
            };
            let c = p.c.add(j);
            let vectors = cols.div_ceil(lanes);
            let last = cols - (vectors - 1) * lanes;
            let whole = last == lanes;
            macro_rules! run {
                ($($nv:literal)*) => {
                    match (vectors, whole) {
                        $(($nv, true) => panel::<S, MR, $nv, false>(p, b, b_row, c, last),
                        ($nv, false) => panel::<S, MR, $nv, true>(p, b, b_row, c, last),)*
                        _ => unreachable!("a panel has 1 to 4 vectors"),
                    }
                };
            }
            if lanes == 1 { run!(1 2 3 4) } else { run!(1 2) }
        }
        j += cols;
    }
}

#[inline(always)]
unsafe fn gemm_tile<S: Simd>(p: &Product) {
    // Rows of a register tile: 12 x 2 vectors of 16 lanes, 6 x 2 of 8.
    // SAFETY: the caller's contract.
    unsafe {
        match S::LANES {
            16 => product::<S, 12>(p, 32),
            8 => product::<S, 6>(p, 16),
            _ => product::<S, 4>(p, 4),
        }
    }
}

simd_kernel! {
    /// Runs one product.
    ///
    /// # Safety
    /// A, B and C must be valid for the sizes and strides given, and C must not overlap A or B. Packed panels must have been
    /// packed for the same instruction set.
    gemm = gemm_tile(p: &Product)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn random(len: usize, seed: u64) -> Vec<f32> {
        let mut s = Stream::new(seed, 0);
        (0..len).map(|_| s.normal()).collect()
    }

    #[test]
    fn every_instruction_set_and_layout_equals_the_triple_loop() {
        for isa in Isa::available() {
            for (m, n, k) in
                [(1, 1, 1), (5, 8, 3), (12, 32, 7), (13, 33, 9), (23, 40, 5), (7, 24, 64), (31, 17, 2)]
            {
                let (a, b, c0) = (random(m * k, 1), random(k * n, 2), random(m * n, 3));
                let want = |acc: bool, i: usize, j: usize| -> f64 {
                    let dot: f64 = (0..k).map(|l| f64::from(a[i * k + l]) * f64::from(b[l * n + j])).sum();
                    dot + if acc { f64::from(c0[i * n + j]) } else { 0.0 }
                };
                let mut packed = vec![f32::NAN; packed_len(isa, k, n)];
                pack(isa, k, n, |l, j| b[l * n + j], &mut packed);
                let a_t: Vec<f32> = (0..k * m).map(|x| a[(x % m) * k + x / m]).collect();
                for accumulate in [false, true] {
                    for (rows, transposed) in [(false, false), (true, false), (true, true)] {
                        let mut c = c0.clone();
                        let p = Product {
                            m,
                            n,
                            k,
                            a: if transposed { a_t.as_ptr() } else { a.as_ptr() },
                            a_row: if transposed { 1 } else { k },
                            a_col: if transposed { m } else { 1 },
                            b: if rows {
                                Panels::Rows(b.as_ptr(), n)
                            } else {
                                Panels::Packed(packed.as_ptr())
                            },
                            c: c.as_mut_ptr(),
                            c_row: n,
                            accumulate,
                        };
                        // SAFETY: the vectors above have exactly these sizes.
                        unsafe { gemm(isa, &p) };
                        for i in 0..m {
                            for j in 0..n {
                                let w = want(accumulate, i, j);
                                let got = f64::from(c[i * n + j]);
                                assert!((got - w).abs() < 1e-4, "{isa:?} {m}x{n}x{k} at {i},{j}: {got} {w}");
                            }
                        }
                    }
                }
            }
        }
    }
}
