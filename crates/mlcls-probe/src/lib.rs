//! Answers from frozen backbones, in seconds: can this be learnt, would more data help, which answers are wrong?
//!
//! A [`Backbone`] whose weights do not change gives each image its [`Features`] once; a [`FeatureCache`] keeps them by the content
//! of the file. On features a head is trained in seconds: [`cross_validate`] finds how strongly it has to be held back, [`fit`]
//! trains it, [`learning_curve`] shows what less data would have given, and [`checkpoint`] makes of it what every other command
//! takes. With any checkpoint, [`suggest`] proposes labels for images that have none.
//!
//! ```no_run
//! use std::path::Path;
//! use mlcls_data::{Dataset, ReadOptions, Resize};
//! use mlcls_models::Pretrained;
//! use mlcls_probe::{Backbone, BackboneOptions, ProbeHead, checkpoint, cross_validate, extract, fit};
//!
//! let dataset = Dataset::open(Path::new("photos"), &ReadOptions::default())?;
//! let options = BackboneOptions {
//!     name: "efficientnet_b0".to_owned(),
//!     pretrained: Pretrained::Auto,
//!     size: 224,
//!     resize: Resize::default(),
//! };
//! let backbone = Backbone::open(&options, &mut |_, _| ())?;
//! let features = extract(&backbone, &dataset.require_split("train")?.items, None, &|_, _| ())?;
//! let found = cross_validate(&features, ProbeHead::Logistic, 5, 0)?;
//! let head = fit(&features, ProbeHead::Logistic, found.strength)?;
//! let checkpoint = checkpoint(&backbone, ProbeHead::Logistic, &head, &dataset, &found)?;
//! # Ok::<(), mlcls_probe::Error>(())
//! ```
#![deny(missing_docs)]

mod backbone;
mod cache;
mod checkpoint;
mod curve;
mod error;
mod features;
mod head;
mod minimize;
mod objective;
mod readable;
mod suggest;

pub use backbone::{Backbone, BackboneOptions};
pub use cache::{ContentHash, FeatureCache};
pub use checkpoint::{checkpoint, logits};
pub use curve::{CurvePoint, LearningCurve, learning_curve};
pub use error::{Error, Result};
pub use features::{Features, extract};
pub use head::{CrossValidation, Fitted, ProbeHead, Tried, cross_validate, fit};
pub use suggest::{Order, Seen, SuggestOptions, Suggestion, see, suggest};
