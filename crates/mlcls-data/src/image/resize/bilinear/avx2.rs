//! Both passes with AVX2: pixels have a fourth channel on the way, so that no value straddles a register.

use multiversion::multiversion;

use super::{DROPPED, Passes, Source, Tap, in_passes, pair};
use crate::image::avx2::Avx2;

/// Pixels that the vertical pass takes at once. Rows between the passes have a multiple of them, of four values each.
const EIGHT: usize = 8;

/// Where four pixels read.
struct Four {
    /// The byte at which the first of a pixel's two neighbours begins.
    at: [usize; 4],
    /// Both neighbours' weights for each channel, of the pixels 0 and 2, then of 1 and 3.
    weights: [[[[i16; 2]; 4]; 2]; 2],
}

/// What the passes need to know.
pub(super) struct Vectors {
    simd: Avx2,
    width: usize,
    fours: Vec<Four>,
    /// An output row, and what the last pixels write behind it.
    line: Vec<u8>,
}

impl Vectors {
    pub(super) fn new(simd: Avx2, columns: &[Tap]) -> Self {
        let padded = columns.len().next_multiple_of(EIGHT);
        let nothing = Tap { first: 0, second: 1, weights: [0; 2] };
        let tap = |i: usize| *columns.get(i).unwrap_or(&nothing);
        let four = |i| Four {
            at: std::array::from_fn(|pixel| 3 * tap(i + pixel).first),
            weights: [0, 1].map(|odd| [0, 2].map(|pixel| [tap(i + pixel + odd).weights; 4])),
        };
        Self {
            simd,
            width: columns.len(),
            fours: (0..padded).step_by(4).map(four).collect(),
            line: vec![0; 3 * padded + 4],
        }
    }
}

/// The passes, compiled for AVX2.
#[multiversion(targets = "simd")]
pub(super) fn resize(vectors: &mut Vectors, source: &Source, rows: &[Tap], out: &mut [u8]) {
    in_passes(vectors, source, rows, out);
}

/// Without closures, which would not be compiled for AVX2.
impl Passes for Vectors {
    #[inline(always)]
    fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    fn len(&self) -> usize {
        16 * self.fours.len()
    }

    #[inline(always)]
    fn across(&mut self, row: &[u8], out: &mut [i16]) {
        let avx2 = self.simd.avx2;
        // A channel of both neighbours side by side, as 16 bits; the fourth channel is zero.
        const ZERO: u8 = 0x80;
        const EVEN: [u8; 16] = [0, ZERO, 3, ZERO, 1, ZERO, 4, ZERO, 2, ZERO, 5, ZERO, ZERO, ZERO, ZERO, ZERO];
        const ODD: [u8; 16] =
            [8, ZERO, 11, ZERO, 9, ZERO, 12, ZERO, 10, ZERO, 13, ZERO, ZERO, ZERO, ZERO, ZERO];
        let (even, odd) = (pulp::cast([EVEN; 2]), pulp::cast([ODD; 2]));
        for (out, four) in out.as_chunks_mut::<16>().0.iter_mut().zip(&self.fours) {
            let [a, b, c, d] = four.at;
            let pairs = pulp::cast([pair(row, a), pair(row, b), pair(row, c), pair(row, d)]);
            let [even_weights, odd_weights] = four.weights;
            let even =
                avx2._mm256_madd_epi16(avx2._mm256_shuffle_epi8(pairs, even), pulp::cast(even_weights));
            let odd = avx2._mm256_madd_epi16(avx2._mm256_shuffle_epi8(pairs, odd), pulp::cast(odd_weights));
            let even = avx2._mm256_srai_epi32::<{ DROPPED as i32 }>(even);
            let odd = avx2._mm256_srai_epi32::<{ DROPPED as i32 }>(odd);
            *out = pulp::cast(avx2._mm256_packs_epi32(even, odd));
        }
    }

    #[inline(always)]
    fn down(&mut self, [upper, lower]: [&[i16]; 2], weights: [i16; 2], out: &mut [u8]) {
        let (avx, avx2) = (self.simd.avx, self.simd.avx2);
        const THREE_OF_FOUR: [u8; 16] = [0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15];
        let three_of_four = pulp::cast([THREE_OF_FOUR; 2]);
        let weights = [avx._mm256_set1_epi16(weights[0]), avx._mm256_set1_epi16(weights[1])];
        let two = avx._mm256_set1_epi16(2);
        let eights = upper.as_chunks::<32>().0.iter().zip(lower.as_chunks::<32>().0);
        for (i, (upper, lower)) in eights.enumerate() {
            let uppers: [[i16; 16]; 2] = pulp::cast(*upper);
            let lowers: [[i16; 16]; 2] = pulp::cast(*lower);
            let mut halves = [two; 2];
            for (half, (upper, lower)) in halves.iter_mut().zip(uppers.into_iter().zip(lowers)) {
                let upper = avx2._mm256_mulhi_epi16(pulp::cast(upper), weights[0]);
                let lower = avx2._mm256_mulhi_epi16(pulp::cast(lower), weights[1]);
                let sum = avx2._mm256_add_epi16(avx2._mm256_add_epi16(upper, lower), two);
                *half = avx2._mm256_srai_epi16::<2>(sum);
            }
            let pixels = avx2._mm256_packus_epi16(halves[0], halves[1]);
            let in_order = avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(pixels);
            let fours: [[u8; 16]; 2] = pulp::cast(avx2._mm256_shuffle_epi8(in_order, three_of_four));
            // The four bytes behind a pixel's are overwritten by the next.
            if let Some(line) = self.line[3 * EIGHT * i..].first_chunk_mut::<28>() {
                line[..16].copy_from_slice(&fours[0]);
                line[12..].copy_from_slice(&fours[1]);
            }
        }
        out.copy_from_slice(&self.line[..out.len()]);
    }
}
