//! Multi-label image data sets: formats in and out, label states, checks, decoding, augmentation and the batch loader.
#![deny(missing_docs)]

mod dataset;

pub use dataset::{Dataset, Format, Item, LabelState, Split};
