//! Multi-label image data sets: formats in and out, label states, checks, decoding, augmentation and the batch loader.
#![deny(missing_docs)]

pub mod augment;
mod dataset;
mod error;
mod formats;
mod image;
mod loader;
mod summary;

pub use self::augment::{Augment, AugmentRecipe};
pub use self::image::{
    ImageError, ImageProblem, MAX_PIXELS, Resize, Rgb, Window, decode, decode_file, load_image, resize,
};
pub use self::loader::{Batch, Batches, InvalidSourceSize, LoadError, Loader, LoaderOptions, SourceSize};
pub use self::dataset::{Dataset, Format, Item, LabelState, Split};
pub use self::error::Error;
pub use self::formats::{Difficult, Images, ReadOptions, write_datumaro};
pub use self::summary::{SplitSummary, Summary};
