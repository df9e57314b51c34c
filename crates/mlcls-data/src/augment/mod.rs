//! Random changes to training images. Each draws its parameters apart from applying them, so that it can be
//! tested, and repeated, with fixed ones.

mod augmix;
mod flip;
mod ops;
mod random_crop;
mod recipe;
mod rng;
mod rotate;

pub use augmix::{AugMix, AugMixChain, AugMixPlan};
pub use flip::flip_horizontal;
pub use ops::{Op, OpKind};
pub use random_crop::{CropStyle, RandomCrop};
pub use recipe::{Augment, AugmentRecipe, InvalidRecipe, UnknownPreset};
pub use rotate::rotate;

pub(crate) use rng::{partition_rng, sample_rng, shuffle_rng};
