//! Small matrix products over a tile of rows: `C (+)= A B` with A read in place and B in panels.
//!
//! One micro-kernel serves forward (A = activations, B = packed weights), data gradient (A = output gradients, B = packed
//! transposed weights) and weight gradient (A = output gradients read down their columns, B = activations in place).

use super::simd::{Isa, Simd, simd_kernel};

/// One product `C = A B`, with a bias and a summand where wanted, on raw memory.
///
/// The rows of A may come in `groups` of `m` and its columns in `segments` of `k`, so that the windows of a convolution are
/// read where they lie in an image: a group is a line of output pixels, a segment a row of the window.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Rows of A and C in one group.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A and rows of B in one segment.
    pub k: usize,
    /// Element (i, l) of A lies at `a + i * a_row + l * a_col`.
    pub a: *const f32,
    /// Distance between rows of A.
    pub a_row: usize,
    /// Distance between columns of A.
    pub a_col: usize,
    /// Groups of rows; those of C follow each other.
    pub groups: Runs,
    /// Segments of the sum.
    pub segments: Runs,
    /// Where B starts.
    pub b: Panels,
    /// C, row-major.
    pub c: *mut f32,
    /// Distance between rows of C.
    pub c_row: usize,
    /// What every row of C starts from, `n` elements, or null for zero.
    pub bias: *const f32,
    /// What is added in the end, laid out as C and possibly C itself, or null.
    pub add: *const f32,
}

impl Product {
    /// `C[m, n] = A[m, k] B[k, n]`, all row-major and without gaps.
    pub fn plain(m: usize, n: usize, k: usize, a: *const f32, b: Panels, c: *mut f32) -> Self {
        let (groups, segments) = (Runs::ONE, Runs::ONE);
        let (bias, add) = (std::ptr::null(), std::ptr::null());
        Self { m, n, k, a, a_row: k, a_col: 1, groups, segments, b, c, c_row: n, bias, add }
    }

    /// The same product added to what C holds, where `also`.
    pub fn accumulate(self, also: bool) -> Self {
        Self { add: if also { self.c.cast_const() } else { self.add }, ..self }
    }
}

/// Runs of equal length along one side of a product.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// How many.
    pub count: usize,
    /// Distance between their starts in A.
    pub a: usize,
    /// Distance between their starts in a B of [`Panels::Rows`]; only for segments.
    pub b: usize,
}

impl Runs {
    /// A single run.
    pub const ONE: Self = Self { count: 1, a: 0, b: 0 };
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

/// The columns of B that a panel multiplies.
#[derive(Clone, Copy)]
struct Columns {
    b: *const f32,
    /// Distances between rows and between segments.
    row: usize,
    segment: usize,
    /// Number of the first of them.
    first: usize,
    /// Real lanes of the last vector.
    last: usize,
}

/// Pointers that share the rows of a register tile.
const MOST_BASES: usize = 4;

/// The same pointer, of which the compiler knows nothing any more. From one pointer it would reach the rows of a tile by adding
/// their distance again and again, a chain that takes longer than the multiply-adds.
#[inline(always)]
#[allow(clippy::pointers_in_nomem_asm_block)] // nothing is read: the block is empty
fn opaque(p: *const f32) -> *const f32 {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    // SAFETY: no instruction at all.
    unsafe {
        let mut p = p;
        std::arch::asm!("/* {0} */", inout(reg) p, options(pure, nomem, nostack, preserves_flags));
        return p;
    }
    #[allow(unreachable_code)]
    p
}

/// Rows `0..MR` of one panel of `NV` vectors.
#[inline(always)]
unsafe fn micro<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(
    p: &Product,
    a: *const f32,
    b: Columns,
    row: usize,
) {
    // SAFETY: the caller gives MR valid rows of A and C and the rows of B with NV vectors, the last one cut to `last` lanes.
    unsafe {
        let mut start = [S::splat(0.0); NV];
        if !p.bias.is_null() {
            for (j, v) in start.iter_mut().enumerate() {
                let at = p.bias.add(b.first + j * S::LANES);
                *v = if TAIL && j + 1 == NV { S::load_first(at, b.last) } else { S::load(at) };
            }
        }
        let mut acc = [start; MR];
        for segment in 0..p.segments.count {
            // Every fourth row has a pointer of its own.
            let mut bases = [a.add(segment * p.segments.a); MOST_BASES];
            for (i, base) in bases.iter_mut().enumerate() {
                *base = base.wrapping_add(4 * i * p.a_row);
            }
            let mut b_l = b.b.add(segment * b.segment);
            for _ in 0..p.k {
                let mut bv = [S::splat(0.0); NV];
                for (j, v) in bv.iter_mut().enumerate() {
                    let at = b_l.add(j * S::LANES);
                    *v = if TAIL && j + 1 == NV { S::load_first(at, b.last) } else { S::load(at) };
                }
                for (i, row) in acc.iter_mut().enumerate() {
                    let x = S::splat(*bases[i / 4].add(i % 4 * p.a_row));
                    for (v, b) in row.iter_mut().zip(bv) {
                        *v = S::fma(x, b, *v);
                    }
                }
                for base in &mut bases[..MR.div_ceil(4)] {
                    *base = opaque(base.wrapping_add(p.a_col));
                }
                b_l = b_l.add(b.row);
            }
        }
        for (i, sums) in acc.iter().enumerate() {
            for (j, v) in sums.iter().enumerate() {
                let at = (row + i) * p.c_row + b.first + j * S::LANES;
                if TAIL && j + 1 == NV {
                    let v =
                        if p.add.is_null() { *v } else { S::add(*v, S::load_first(p.add.add(at), b.last)) };
                    S::store_first(p.c.add(at), v, b.last);
                } else {
                    let v = if p.add.is_null() { *v } else { S::add(*v, S::load(p.add.add(at))) };
                    S::store(p.c.add(at), v);
                }
            }
        }
    }
}

/// All rows of one panel.
#[inline(always)]
unsafe fn panel<S: Simd, const MR: usize, const NV: usize, const TAIL: bool>(p: &Product, b: Columns) {
    for group in 0..p.groups.count {
        // SAFETY: rows stay below groups * m; the rest is the caller's contract.
        unsafe {
            let (a, first) = (p.a.add(group * p.groups.a), group * p.m);
            let mut i = 0;
            while i + MR <= p.m {
                micro::<S, MR, NV, TAIL>(p, a.add(i * p.a_row), b, first + i);
                i += MR;
            }
            // What is left, in halving blocks: each has its own registers and its own code.
            macro_rules! rest {
                ($($r:literal)*) => {$(
                    if MR > $r && p.m - i >= $r {
                        micro::<S, $r, NV, TAIL>(p, a.add(i * p.a_row), b, first + i);
                        i += $r;
                    }
                )*};
            }
            rest!(8 4 2 1);
            debug_assert_eq!(i, p.m);
        }
    }
}

#[inline(always)]
unsafe fn product<S: Simd, const MR: usize>(p: &Product, width: usize) {
    let lanes = S::LANES;
    let mut j = 0;
    while j < p.n {
        let cols = width.min(p.n - j);
        let vectors = cols.div_ceil(lanes);
        let last = cols - (vectors - 1) * lanes;
        // SAFETY: column j is inside B and C; a packed panel holds all rows, `width` elements each.
        unsafe {
            let b = match p.b {
                Panels::Packed(b) => {
                    let b = b.add(j * p.k * p.segments.count);
                    Columns { b, row: width, segment: p.k * width, first: j, last }
                }
                Panels::Rows(b, row) => Columns { b: b.add(j), row, segment: p.segments.b, first: j, last },
            };
            macro_rules! run {
                ($($nv:literal)*) => {
                    match (vectors, last == lanes) {
                        $(($nv, true) => panel::<S, MR, $nv, false>(p, b),
                        ($nv, false) => panel::<S, MR, $nv, true>(p, b),)*
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
    /// A, B, C, the bias and the summand must be valid for the sizes and strides given, and C must not overlap A, B or the bias. Packed panels must have been
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

    /// Windows of 3 rows and 3 columns over an image of `c` channels: one product against the sum over taps.
    #[test]
    fn groups_and_segments_read_windows_in_place() {
        let (width, c, lines, w, n, kernel) = (9, 5, 3, 4, 37, 3);
        for isa in Isa::available() {
            for s in [1, 2] {
                let image = random(((lines - 1) * s + kernel) * width * c, 4);
                let k = kernel * c;
                let weights = random(kernel * k * n, 5);
                let dy = random(lines * w * n, 6);
                let at =
                    |y: usize, x: usize, ky: usize, l: usize| image[(y * s + ky) * width * c + x * s * c + l];

                let mut packed = vec![f32::NAN; packed_len(isa, kernel * k, n)];
                pack(isa, kernel * k, n, |l, j| weights[l * n + j], &mut packed);
                let mut out = vec![f32::NAN; lines * w * n];
                let b = Panels::Packed(packed.as_ptr());
                let p = Product {
                    a_row: s * c,
                    groups: Runs { count: lines, a: s * width * c, b: 0 },
                    segments: Runs { count: kernel, a: width * c, b: 0 },
                    ..Product::plain(w, n, k, image.as_ptr(), b, out.as_mut_ptr())
                };
                // SAFETY: the vectors above have exactly these sizes.
                unsafe { gemm(isa, &p) };
                for (i, got) in out.iter().enumerate() {
                    let (y, x, j) = (i / n / w, i / n % w, i % n);
                    let want: f32 =
                        (0..kernel * k).map(|l| at(y, x, l / k, l % k) * weights[l * n + j]).sum();
                    assert!((got - want).abs() < 1e-4, "{isa:?} stride {s} at {y},{x},{j}: {got} {want}");
                }

                let ky = 1;
                let mut dw = vec![f32::NAN; n * k];
                let b = Panels::Rows(image[ky * width * c..].as_ptr(), s * c);
                let p = Product {
                    a_row: 1,
                    a_col: n,
                    segments: Runs { count: lines, a: w * n, b: s * width * c },
                    ..Product::plain(n, k, w, dy.as_ptr(), b, dw.as_mut_ptr())
                };
                // SAFETY: as above.
                unsafe { gemm(isa, &p) };
                for (i, got) in dw.iter().enumerate() {
                    let (o, l) = (i / k, i % k);
                    let pixels = (0..lines).flat_map(|y| (0..w).map(move |x| (y, x)));
                    let want: f32 = pixels.map(|(y, x)| dy[(y * w + x) * n + o] * at(y, x, ky, l)).sum();
                    assert!((got - want).abs() < 1e-4, "{isa:?} stride {s} weight {o},{l}: {got} {want}");
                }
            }
        }
    }
}
