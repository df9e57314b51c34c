//! Multi-label image data sets: formats in and out, label states, checks, decoding, augmentation and the batch loader.
#![deny(missing_docs)]

pub mod augment;
mod dataset;
mod image;
mod loader;

pub use self::augment::{Augment, AugmentRecipe};
pub use self::image::{
    ImageError, ImageProblem, MAX_PIXELS, Resize, Rgb, Window, decode, decode_file, load_image, resize,
};
pub use self::loader::{Batch, Batches, InvalidSourceSize, LoadError, Loader, LoaderOptions, SourceSize};
pub use dataset::{Dataset, Format, Item, LabelState, Split};
