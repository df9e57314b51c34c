//! The inverse cosine transform with AVX2: two products and their sum in one instruction.

#[cfg(not(target_arch = "x86_64"))]
use other as implementation;
#[cfg(target_arch = "x86_64")]
use x86 as implementation;

pub(super) use implementation::Vectors;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::__m256i;

    use super::super::basis::{ACROSS_HALF, ACROSS_SHIFT, Basis, DOWN_HALF, DOWN_SHIFT};
    use super::super::block::Coefficients;
    use crate::image::avx2::Avx2;

    /// The factors of a transform, for two coefficients each.
    #[derive(Clone, Debug)]
    pub(in super::super) struct Vectors {
        simd: Avx2,
        /// For coefficients `2 * pair` and the next: the factors of each column, side by side.
        across: [[[i16; 2]; 8]; 4],
        /// For a row: the factors of each pair, as the halves of a number.
        down: [[i32; 4]; 8],
    }

    impl Vectors {
        pub(in super::super) fn new(simd: Avx2, across: &Basis, down: &Basis) -> Self {
            let pair = |basis: &Basis, pair: usize, x: usize| [basis[2 * pair][x], basis[2 * pair + 1][x]];
            Self {
                simd,
                across: std::array::from_fn(|p| std::array::from_fn(|x| pair(across, p, x))),
                down: std::array::from_fn(|y| std::array::from_fn(|p| pulp::cast(pair(down, p, y)))),
            }
        }

        /// Both passes over the lowest `SIDE` x `SIDE` coefficients, 4 or 8, four rows at a time. Neither here nor below are
        /// there closures, which would not be compiled for AVX2.
        #[inline(always)]
        pub(in super::super) fn passes<const SIDE: usize>(
            &self,
            coefficients: &Coefficients,
            quantisation: &[i16; 64],
            rows: usize,
        ) -> [[u8; 8]; 8] {
            let avx2 = self.simd.avx2;
            let pairs = self.pairs::<SIDE>(coefficients, quantisation);
            let order = pulp::cast([0, 4, 1, 5, 2, 6, 3, 7]);
            let mut samples = [[0; 8]; 8];
            let fours = samples.as_chunks_mut::<4>().0.iter_mut().zip(self.down.as_chunks::<4>().0);
            for (out, factors) in fours.take(rows.div_ceil(4)) {
                let mut four = [self.simd.avx._mm256_setzero_si256(); 4];
                for (row, factors) in four.iter_mut().zip(factors) {
                    *row = self.across::<SIDE>(self.down::<SIDE>(&pairs, factors));
                }
                let [a, b, c, d] = four;
                let halves =
                    avx2._mm256_packus_epi16(avx2._mm256_packs_epi32(a, b), avx2._mm256_packs_epi32(c, d));
                *out = pulp::cast(avx2._mm256_permutevar8x32_epi32(halves, order));
            }
            samples
        }

        /// The coefficients of two rows side by side, times the quantisation. Of four columns, each half has a copy.
        #[inline(always)]
        fn pairs<const SIDE: usize>(
            &self,
            coefficients: &Coefficients,
            quantisation: &[i16; 64],
        ) -> [__m256i; 4] {
            let avx2 = self.simd.avx2;
            let side_by_side = pulp::cast([[0_u8, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]; 2]);
            let mut pairs = [self.simd.avx._mm256_setzero_si256(); 4];
            let rows = coefficients.as_chunks::<16>().0.iter().zip(quantisation.as_chunks::<16>().0);
            for (pair, (&rows, &steps)) in pairs.iter_mut().zip(rows).take(SIDE / 2) {
                let rows = avx2._mm256_mullo_epi16(pulp::cast(rows), pulp::cast(steps));
                let quarters = if SIDE == 4 {
                    avx2._mm256_permute4x64_epi64::<0b10_00_10_00>(rows)
                } else {
                    avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(rows)
                };
                *pair = avx2._mm256_shuffle_epi8(quarters, side_by_side);
            }
            pairs
        }

        /// A row of the first pass: 16 bits for each column, each four of them twice.
        #[inline(always)]
        fn down<const SIDE: usize>(&self, pairs: &[__m256i; 4], factors: &[i32; 4]) -> __m256i {
            let (avx, avx2) = (self.simd.avx, self.simd.avx2);
            let mut sum = avx._mm256_set1_epi32(DOWN_HALF);
            for (&pair, &factors) in pairs.iter().zip(factors).take(SIDE / 2) {
                let product = avx2._mm256_madd_epi16(pair, avx._mm256_set1_epi32(factors));
                sum = avx2._mm256_add_epi32(sum, product);
            }
            let row = avx2._mm256_srai_epi32::<DOWN_SHIFT>(sum);
            avx2._mm256_packs_epi32(row, row)
        }

        /// A row of samples, 32 bits each.
        #[inline(always)]
        fn across<const SIDE: usize>(&self, row: __m256i) -> __m256i {
            let (avx, avx2) = (self.simd.avx, self.simd.avx2);
            let mut sum = avx._mm256_set1_epi32(ACROSS_HALF);
            for (pair, &factors) in self.across.iter().enumerate().take(SIDE / 2) {
                let everywhere = match (SIDE, pair) {
                    (4, 0) => avx2._mm256_shuffle_epi32::<0b00_00_00_00>(row),
                    (4, _) => avx2._mm256_shuffle_epi32::<0b01_01_01_01>(row),
                    _ => avx2._mm256_permutevar8x32_epi32(row, avx._mm256_set1_epi32([0, 1, 4, 5][pair])),
                };
                let product = avx2._mm256_madd_epi16(everywhere, pulp::cast(factors));
                sum = avx2._mm256_add_epi32(sum, product);
            }
            avx2._mm256_srai_epi32::<ACROSS_SHIFT>(sum)
        }
    }
}

/// What cannot be had.
#[cfg(not(target_arch = "x86_64"))]
mod other {
    use super::super::basis::Basis;
    use super::super::block::Coefficients;
    use crate::image::avx2::Avx2;

    #[derive(Clone, Debug)]
    pub(in super::super) struct Vectors(Avx2);

    impl Vectors {
        pub(in super::super) fn new(simd: Avx2, _: &Basis, _: &Basis) -> Self {
            Self(simd)
        }

        pub(in super::super) fn passes<const SIDE: usize>(
            &self,
            _: &Coefficients,
            _: &[i16; 64],
            _: usize,
        ) -> [[u8; 8]; 8] {
            match self.0 {}
        }
    }
}
