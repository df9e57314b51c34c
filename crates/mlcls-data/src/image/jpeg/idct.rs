//! From coefficients to samples: the inverse cosine transform, at full size or smaller.

use std::f64::consts::{PI, SQRT_2};
use std::sync::LazyLock;

use super::block::Coefficients;

/// `BASIS[k][x]`: the share of coefficient `k` in sample `x`, times 2^13 and the square root of 8 (as in libjpeg, so that the
/// mean has 2^13). Samples behind the last one are zero.
pub(super) type Basis = [[i32; 8]; 8];

/// Bits of fraction in a basis.
const BITS: i32 = 13;

/// Bits of fraction between the two passes.
const BETWEEN: i32 = 2;

/// The transform of 8 samples. libjpeg's accurate integer method ("islow") has 13-bit constants whose sums are
/// these numbers, so that each pass gives its results to the bit.
static FULL: Basis = [
    [8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192],
    [11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363],
    [10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703],
    [9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633],
    [8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192],
    [6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437],
    [4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433],
    [2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260],
];

/// The transforms to fewer samples, 1 to 7, that take the lowest coefficients alone.
static REDUCED: LazyLock<[Basis; 7]> = LazyLock::new(|| std::array::from_fn(|i| reduced(i + 1)));

fn reduced(samples: usize) -> Basis {
    let share = |k: usize, x: usize| {
        let angle = (2 * x + 1) as f64 * k as f64 * PI / (2 * samples) as f64;
        let size = if k == 0 { 1.0 } else { SQRT_2 * angle.cos() };
        (size * f64::from(1 << BITS)).round() as i32
    };
    std::array::from_fn(|k| std::array::from_fn(|x| if k < samples && x < samples { share(k, x) } else { 0 }))
}

/// The transform of 8 coefficients to `samples` samples, 1 to 8.
pub(super) fn basis(samples: usize) -> &'static Basis {
    REDUCED.get(samples - 1).unwrap_or(&FULL)
}

/// A block's transform: from 8 x 8 coefficients to `columns` x `rows` samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transform {
    pub columns: usize,
    pub rows: usize,
    horizontal: &'static Basis,
    vertical: &'static Basis,
}

impl Transform {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, horizontal: basis(columns), vertical: basis(rows) }
    }

    /// Writes the samples of a block to `out`, rows `stride` apart, 8 bytes in each: what is behind `columns` is
    /// of no value. `last` is the place of the last coefficient that is not zero, in the order of the file.
    #[inline(always)]
    pub(super) fn apply(&self, coefficients: &Coefficients, last: usize, out: &mut [u8], stride: usize) {
        let needed = self.columns.max(self.rows);
        match last {
            0 => self.flat(coefficients[0], out, stride),
            _ if needed <= 2 => self.pass::<2>(coefficients, out, stride),
            _ if needed <= 4 || last <= 9 => self.pass::<4>(coefficients, out, stride),
            _ => self.pass::<8>(coefficients, out, stride),
        }
    }

    /// A block of one value.
    #[inline(always)]
    fn flat(&self, mean: i32, out: &mut [u8], stride: usize) {
        let value = sample(mean << BETWEEN, BETWEEN + 3);
        self.write(&[[value; 8]; 8], out, stride);
    }

    /// Both passes, over the lowest `SIDE` x `SIDE` coefficients. Each is a product with a basis, eight sums side by
    /// side, so that compilers make vectors of them. Wraps around for coefficients that no picture has.
    #[inline(always)]
    fn pass<const SIDE: usize>(&self, coefficients: &Coefficients, out: &mut [u8], stride: usize) {
        let (rows, _) = coefficients.as_chunks::<8>();
        let mut sums = [[0; 8]; 8];
        for (y, row) in sums.iter_mut().enumerate().take(self.rows) {
            let column = product::<SIDE>(rows, |k| self.vertical[k][y]);
            *row = column.map(|sum| descale(sum, BITS - BETWEEN));
        }
        for row in sums.iter_mut().take(self.rows) {
            *row = product::<SIDE>(self.horizontal, |k| row[k]);
        }
        let mut samples = [[0; 8]; 8];
        for (to, &sum) in samples.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *to = sample(sum, BITS + BETWEEN + 3);
        }
        self.write(&samples, out, stride);
    }

    #[inline(always)]
    fn write(&self, samples: &[[u8; 8]; 8], out: &mut [u8], stride: usize) {
        for (y, row) in samples.iter().take(self.rows).enumerate() {
            if let Some(out) = out.get_mut(y * stride..).and_then(|out| out.first_chunk_mut()) {
                *out = *row;
            }
        }
    }
}

/// The sum of the first rows, each times its factor.
#[inline(always)]
fn product<const SIDE: usize>(rows: &[[i32; 8]], factor: impl Fn(usize) -> i32) -> [i32; 8] {
    let mut sums = [0_i32; 8];
    for (k, row) in rows.iter().take(SIDE).enumerate() {
        let factor = factor(k);
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(value.wrapping_mul(factor));
        }
    }
    sums
}

/// Takes bits of fraction away, with rounding.
#[inline(always)]
fn descale(sum: i32, bits: i32) -> i32 {
    sum.wrapping_add(1 << (bits - 1)) >> bits
}

/// The sample of a sum: samples are stored around zero.
#[inline(always)]
fn sample(sum: i32, bits: i32) -> u8 {
    (descale(sum, bits) + 128).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// The definition, in double precision: of `size` samples, number `x`; libjpeg's scale.
    fn share(size: usize, k: usize, x: usize) -> f64 {
        let cosine = ((2 * x + 1) as f64 * k as f64 * PI / (2 * size) as f64).cos();
        if k >= size {
            0.0
        } else if k == 0 {
            1.0
        } else {
            SQRT_2 * cosine
        }
    }

    #[test]
    fn blocks_are_the_sums_of_their_cosines() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (columns, rows) in (1..=8).flat_map(|columns| (1..=8).map(move |rows| (columns, rows))) {
            for last in [0, 2, 9, 63] {
                let mut block: Coefficients = [0; 72];
                block[0] = rng.random_range(-900..900);
                // The first 3 and 10 of the zigzag lie within 2 and 4 rows and columns.
                let reach = [0, 2, 4, 8][[0, 2, 9, 63].iter().position(|&l| l == last).unwrap()];
                for (y, x) in (0..reach).flat_map(|y| (0..reach).map(move |x| (y, x))) {
                    if last == 63 || x + y < reach {
                        block[8 * y + x] += rng.random_range(-60..60);
                    }
                }
                let stride = 11;
                let mut out = [7; 8 * 11 + 8];
                Transform::new(columns, rows).apply(&block, last, &mut out, stride);
                for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
                    let exact: f64 = (0..64)
                        .map(|k| f64::from(block[k]) * share(rows, k / 8, y) * share(columns, k % 8, x))
                        .sum();
                    let exact = (exact / 8.0 + 128.0).clamp(0.0, 255.0);
                    let apart = (f64::from(out[y * stride + x]) - exact).abs();
                    assert!(apart < 0.6, "{columns} x {rows}, {last}: {apart} at {x} {y}");
                }
                assert!(out[rows * stride..].iter().all(|&byte| byte == 7), "rows behind the last");
            }
        }
    }
}
