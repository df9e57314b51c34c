//! Random numbers that depend on (seed, epoch, position) and on nothing else.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Keeps the numbers of different uses apart.
const SHUFFLE: u64 = 0;
const SAMPLE: u64 = 1;
const PARTITION: u64 = 2;

fn rng(seed: u64, epoch: u64, purpose: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip([seed, epoch, purpose]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// For the order of an epoch.
pub(crate) fn shuffle_rng(seed: u64, epoch: u64) -> ChaCha8Rng {
    rng(seed, epoch, SHUFFLE)
}

/// For one use of one image in an epoch: `sample` is the image's index times the number of repeats, plus the
/// number of the copy. It does not depend on the order of the epoch.
pub(crate) fn sample_rng(seed: u64, epoch: u64, sample: u64) -> ChaCha8Rng {
    let mut rng = rng(seed, epoch, SAMPLE);
    rng.set_stream(sample);
    rng
}

/// For the division of a data set into parts.
pub(crate) fn partition_rng(seed: u64) -> ChaCha8Rng {
    rng(seed, 0, PARTITION)
}

/// A number between `low` and `high`.
pub(super) fn uniform(low: f64, high: f64, rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}
