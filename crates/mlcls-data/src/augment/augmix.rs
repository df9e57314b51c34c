//! AugMix: the image mixed with several randomly changed versions of itself.

use multiversion::multiversion;
use rand::{Rng, RngExt};

use super::floor::floor_byte;
use super::ops::{Op, OpKind};
use super::rng::uniform;
use crate::image::Rgb;

/// AugMix (Hendrycks et al., 2020, <https://arxiv.org/abs/1912.02781>) in timm's and OTX's form.
///
/// ```text
/// out = (1 - m) image + m sum_i w_i chain_i(image)      w ~ Dirichlet(1, ..., 1), m ~ Beta(1, 1)
/// ```
/// A chain is one to three of the twelve [`OpKind`]s, drawn with replacement, each at a level drawn uniformly
/// between 0 and `magnitude`. The default is `augmix-m5-w3`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugMix {
    /// The greatest level of an operation, 0 to 10.
    pub magnitude: f64,
    /// The number of chains.
    pub width: usize,
}

impl Default for AugMix {
    fn default() -> Self {
        Self { magnitude: 5.0, width: 3 }
    }
}

/// What one use of AugMix does to an image.
#[derive(Clone, Debug, PartialEq)]
pub struct AugMixPlan {
    /// The part of the chains in the result, 0 to 1.
    pub mix: f32,
    /// The chains.
    pub chains: Vec<AugMixChain>,
}

/// Operations that are applied one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct AugMixChain {
    /// The chain's part among the chains; these add up to 1.
    pub weight: f32,
    /// Its operations, first to last.
    pub ops: Vec<Op>,
}

impl AugMix {
    const LONGEST_CHAIN: usize = 3;

    /// Draws the mixture, the chains and the levels.
    pub fn draw(&self, rng: &mut impl Rng) -> AugMixPlan {
        // Normalised exponential variables are Dirichlet(1, ..., 1); Beta(1, 1) is uniform.
        let shares: Vec<f64> = (0..self.width).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
        let total = shares.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let mix = rng.random::<f64>() as f32;
        let chain = |share: f64| AugMixChain {
            weight: (share / total) as f32,
            ops: (0..rng.random_range(1..=Self::LONGEST_CHAIN)).map(|_| self.draw_op(rng)).collect(),
        };
        AugMixPlan { mix, chains: shares.into_iter().map(chain).collect() }
    }

    fn draw_op(&self, rng: &mut impl Rng) -> Op {
        let kind = OpKind::ALL[rng.random_range(0..OpKind::ALL.len())];
        kind.at_level(uniform(0.0, self.magnitude, rng), rng.random())
    }
}

impl AugMixPlan {
    /// Changes the image in place. The sum is taken in single precision, cut to 0..=255 and truncated.
    pub fn apply(&self, image: &mut Rgb) {
        let changed: Vec<(f32, Rgb)> = self.chains.iter().map(|chain| self.changed(chain, image)).collect();
        // Piece by piece, so that the sums stay in the processor's nearest cache.
        let mut sums = [0.0; PIECE];
        for (i, out) in image.data_mut().chunks_mut(PIECE).enumerate() {
            let sums = &mut sums[..out.len()];
            sums.fill(0.0);
            add(1.0 - self.mix, out, sums);
            for (weight, changed) in &changed {
                add(*weight, &changed.data()[i * PIECE..], sums);
            }
            floor(sums, out);
        }
    }

    /// What a chain makes of the image, and its part in the result.
    fn changed(&self, chain: &AugMixChain, image: &Rgb) -> (f32, Rgb) {
        let mut changed = image.clone();
        for op in &chain.ops {
            op.apply(&mut changed);
        }
        (self.mix * chain.weight, changed)
    }
}

/// Values that are mixed at once.
const PIECE: usize = 1024;

#[multiversion(targets = "simd")]
fn add(weight: f32, values: &[u8], sums: &mut [f32]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += weight * f32::from(value);
    }
}

#[multiversion(targets = "simd")]
fn floor(sums: &[f32], out: &mut [u8]) {
    for (out, &sum) in out.iter_mut().zip(sums) {
        *out = floor_byte(sum);
    }
}
