//! From coefficients to samples: the inverse cosine transform, at full size or smaller.

use super::basis::{ACROSS_HALF, ACROSS_SHIFT, Basis, DOWN_HALF, DOWN_SHIFT, basis};
use super::block::Coefficients;
use super::idct_avx2::Vectors;
use crate::image::avx2::Avx2;

/// A block's transform: from 8 x 8 coefficients to `columns` x `rows` samples. Its arithmetic is that of
/// libjpeg-turbo's vectors: products with the quantisation and the results of the first pass have 16 bits, and sums
/// 32; photos stay far within them.
#[derive(Clone, Debug)]
pub(super) struct Transform {
    pub columns: usize,
    pub rows: usize,
    quantisation: [i16; 64],
    across: &'static Basis,
    down: &'static Basis,
    vectors: Option<Vectors>,
}

impl Transform {
    pub(super) fn new(columns: usize, rows: usize, quantisation: [i16; 64], simd: Option<Avx2>) -> Self {
        let (across, down) = (basis(columns), basis(rows));
        let vectors = simd.map(|simd| Vectors::new(simd, across, down));
        Self { columns, rows, quantisation, across, down, vectors }
    }

    /// Writes the samples of a block to `out`, rows `stride` apart, 8 bytes in each: what is behind `columns` is
    /// of no value. `last` is the place of the last coefficient that is not zero, in the order of the file.
    #[inline(always)]
    pub(super) fn apply(&self, coefficients: &Coefficients, last: usize, out: &mut [u8], stride: usize) {
        let needed = self.columns.max(self.rows);
        let samples = match last {
            0 => [[self.flat(coefficients[0]); 8]; 8],
            _ if needed <= 4 || last <= 9 => self.passes::<4>(coefficients),
            _ => self.passes::<8>(coefficients),
        };
        for (y, row) in samples.iter().take(self.rows).enumerate() {
            if let Some(out) = out.get_mut(y * stride..).and_then(|out| out.first_chunk_mut()) {
                *out = *row;
            }
        }
    }

    /// All samples of a block that has only a mean.
    #[inline(always)]
    fn flat(&self, mean: i16) -> u8 {
        let mean = i32::from(mean.wrapping_mul(self.quantisation[0]));
        (((mean + 4) >> 3) + 128).clamp(0, 255) as u8
    }

    /// Both passes, over the lowest `SIDE` x `SIDE` coefficients, 4 or 8.
    #[inline(always)]
    fn passes<const SIDE: usize>(&self, coefficients: &Coefficients) -> [[u8; 8]; 8] {
        match &self.vectors {
            Some(vectors) => vectors.passes::<SIDE>(coefficients, &self.quantisation, self.rows),
            None => self.plain_passes::<SIDE>(coefficients),
        }
    }

    /// Each is a product with a basis, eight sums side by side, so that compilers make vectors of them.
    #[inline(always)]
    fn plain_passes<const SIDE: usize>(&self, coefficients: &Coefficients) -> [[u8; 8]; 8] {
        let mut rows = [[0; 8]; 8];
        let quantised = coefficients.iter().zip(&self.quantisation);
        for (value, (&coefficient, &step)) in rows.as_flattened_mut().iter_mut().zip(quantised) {
            *value = coefficient.wrapping_mul(step);
        }
        let mut samples = [[0; 8]; 8];
        for (y, samples) in samples.iter_mut().enumerate().take(self.rows) {
            let row = product::<SIDE>(&rows, |k| self.down[k][y], DOWN_HALF, DOWN_SHIFT)
                .map(|sum| sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
            *samples = product::<SIDE>(self.across, |k| row[k], ACROSS_HALF, ACROSS_SHIFT)
                .map(|sum| sum.clamp(0, 255) as u8);
        }
        samples
    }
}

/// The sum of the first rows, each times its factor, with `half` added and `shift` bits taken away.
#[inline(always)]
fn product<const SIDE: usize>(
    rows: &[[i16; 8]; 8],
    factor: impl Fn(usize) -> i16,
    half: i32,
    shift: i32,
) -> [i32; 8] {
    let mut sums = [half; 8];
    for (k, row) in rows.iter().take(SIDE).enumerate() {
        let factor = i32::from(factor(k));
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(i32::from(value) * factor);
        }
    }
    sums.map(|sum| sum >> shift)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, SQRT_2};

    use rand::{Rng, RngExt, SeedableRng};

    use super::*;
    use crate::image::avx2::avx2;

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

    /// Coefficients within the first `reach` rows and columns, those in front of a diagonal where `diagonal`.
    fn block(rng: &mut impl Rng, reach: usize, diagonal: bool, size: i16) -> Coefficients {
        let mut block: Coefficients = [0; 72];
        block[0] = rng.random_range(-900..900);
        for (y, x) in (0..reach).flat_map(|y| (0..reach).map(move |x| (y, x))) {
            if !diagonal || x + y < reach {
                block[8 * y + x] = block[8 * y + x].saturating_add(rng.random_range(-size..size));
            }
        }
        block
    }

    /// The first 3 and 10 of the zigzag lie within 2 and 4 rows and columns.
    const REACHES: [(usize, usize); 4] = [(0, 0), (2, 2), (9, 4), (63, 8)];

    #[test]
    fn blocks_are_the_sums_of_their_cosines() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (columns, rows) in (1..=8).flat_map(|columns| (1..=8).map(move |rows| (columns, rows))) {
            for (last, reach) in REACHES {
                let block = block(&mut rng, reach, last < 63, 60);
                let stride = 11;
                for simd in [None, avx2()] {
                    let mut out = [7; 8 * 11 + 8];
                    Transform::new(columns, rows, [1; 64], simd).apply(&block, last, &mut out, stride);
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

    /// Also where sums wrap around and results are cut.
    #[test]
    fn vectors_and_plain_loops_agree_on_everything() {
        let Some(simd) = avx2() else { return println!("skipped: no AVX2") };
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        for round in 0..2000 {
            let quantisation = std::array::from_fn(|_| rng.random_range(-999..999));
            let size = [20, 300, 5000, i16::MAX][round % 4];
            let (last, reach) = REACHES[round / 4 % 4];
            let block = block(&mut rng, reach, last < 63, size);
            let (columns, rows) = (rng.random_range(1..=8), rng.random_range(1..=8));
            let samples = |simd| {
                let mut out = [[0; 8]; 8];
                let transform = Transform::new(columns, rows, quantisation, simd);
                transform.apply(&block, last, out.as_flattened_mut(), 8);
                out.map(|row| row[..columns].to_vec())
            };
            assert_eq!(samples(Some(simd)), samples(None), "{columns} x {rows}, {last}");
        }
    }
}
