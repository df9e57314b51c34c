//! Multi-label image data sets: formats in and out, label states, checks, decoding, augmentation and the batch
//! loader.
//!
//! [`Dataset::open`] finds out which format a folder holds and reads its annotations. Each label of each image
//! is present, absent or unknown ([`LabelState`]), and stays that up to the loss and the metrics. What was
//! found can be printed ([`Dataset::summary`]), the image files checked ([`verify_images`]), and batches of
//! pixels and targets drawn on all cores ([`Loader`]).
//!
//! ```
//! use mlcls_data::{Dataset, ImageCheck, LabelState, ReadOptions, verify_images};
//! # use mlcls_data::{Format, Images, Item, Split, WriteFormat, write_dataset};
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path();
//! # std::fs::create_dir_all(root.join("images/train"))?;
//! # let item = |id: &str, states: [LabelState; 2]| Item {
//! #     id: id.into(), image: root.join(format!("images/train/{id}.jpg")), states: states.to_vec() };
//! # let items = vec![item("a", [LabelState::Present, LabelState::Present]),
//! #     item("b", [LabelState::Present, LabelState::Absent]), item("c", [LabelState::Absent; 2])];
//! # write_dataset(&Dataset { root: root.into(), format: Format::Datumaro,
//! #     labels: vec!["cat".into(), "dog".into()], notes: vec![],
//! #     splits: vec![Split { name: "train".into(), items }] }, root, WriteFormat::Datumaro, Images::InPlace)?;
//!
//! // `root` holds annotations/train.json and images/, or VOC's JPEGImages, Annotations and ImageSets.
//! let dataset = Dataset::open(root, &ReadOptions::default())?;
//! println!("{}", dataset.summary());
//!
//! assert_eq!(dataset.labels, ["cat", "dog"]);
//! let train = dataset.require_split("train")?;
//! let cats = train.items.iter().filter(|item| item.states[0] == LabelState::Present).count();
//! assert_eq!(cats, 2);
//!
//! // Every missing, truncated or non-image file, not only the first.
//! for bad in verify_images(&dataset, ImageCheck::Quick) {
//!     println!("{bad}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

pub mod augment;
mod check;
mod dataset;
mod disjoint_sets;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
mod formats;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod image_name;
mod inspect;
mod loader;
mod oddities;
mod resplit;
mod split_distance;
mod stats;
mod stratify;
mod summary;

pub use self::augment::{Augment, AugmentRecipe};
pub use self::check::{
    CheckReport, CheckedSplit, Detail, Finding, FindingKind, Inspection, ItemRef, Mended, Severity,
};
pub use self::dataset::{Dataset, Format, Item, LabelState, Split};
pub use self::error::Error;
pub use self::formats::{Doubtful, Images, ReadOptions, WriteFormat, write_dataset};
pub use self::image::{
    ImageError, ImageProblem, MAX_PIXELS, Resize, Rgb, Window, decode, decode_file, decode_for, image_sides,
    load_image, resize,
};
pub use self::inspect::{
    BadImage, DuplicatePair, Duplicates, Fingerprint, ImageCheck, ImageFacts, Likeness, NearPair,
    find_duplicates, inspect_images, near_duplicates, verify_images,
};
pub use self::loader::{
    Batch, Batches, FileCache, FileCacheError, InvalidSourceSize, LoadError, Loader, LoaderOptions, Part,
    SourceSize,
};
pub use self::resplit::{Resplit, ResplitError, ResplitOptions};
pub use self::split_distance::{SplitDistance, split_distance};
pub use self::stats::{Cooccurrence, Drift, ImageSize, ImageSizes, Quantiles, Stats};
pub use self::stratify::{StratifyError, stratify};
pub use self::summary::{SplitSummary, Summary};
