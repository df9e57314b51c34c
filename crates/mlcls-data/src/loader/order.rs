//! In which order an epoch uses the images.

use rand::seq::SliceRandom;

use crate::augment::shuffle_rng;

/// The samples of an epoch. Sample `s` is copy `s % repeats` of image `s / repeats`; the copies of an image follow
/// each other, and the images come in a fresh permutation of (seed, epoch) when `shuffle` is on.
pub(super) fn epoch_order(images: usize, repeats: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    if shuffle {
        order.shuffle(&mut shuffle_rng(seed, epoch));
    }
    order.into_iter().flat_map(|image| image * repeats..(image + 1) * repeats).collect()
}
