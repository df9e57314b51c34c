//! Image classifiers as graphs: backbones exactly as timm builds them, multi-label heads, and weights by timm's names.
//!
//! [`build`] turns a name and a few options into a [`Model`]: an [`mlcls_engine::Graph`] with the pixels going in and the
//! logits coming out. Weights are one flat vector ([`mlcls_engine::Weights`]) that starts at random and may then be filled
//! from a safetensors file with [`WeightFile::backbone`]; [`Pretrained`] says where that file comes from: a path, the Hugging
//! Face cache or the hub.
//!
//! ```
//! use mlcls_engine::Weights;
//! use mlcls_models::{ModelOptions, build};
//!
//! # fn main() -> Result<(), mlcls_models::Error> {
//! let model = build("efficientnet_b0", &ModelOptions { classes: 5, size: 64, ..Default::default() })?;
//! assert_eq!(model.graph.output_len(), 5);
//! assert_eq!(model.feature_width(), 1280);
//! let weights = Weights::init(&model.graph, 7);
//! assert_eq!(weights.params.len(), model.graph.param_len());
//! # Ok(())
//! # }
//! ```
//!
//! Reading further: `mobilenetv3.rs`, `efficientnet.rs` and `efficientnetv2.rs` hold one table each; `blocks.rs` the
//! building blocks that they share; `dinov2.rs` the backbone that candle runs; `registry.rs` one entry per model.
#![deny(missing_docs)]

mod blocks;
mod dinov2;
mod efficientnet;
mod efficientnetv2;
mod error;
mod head;
mod mobilenetv3;
mod model;
mod normalization;
mod positions;
mod registry;
mod templates;
mod weights;

pub use dinov2::{DINOV2_EPS, DINOV2_HEAD};
pub use error::{Error, Mismatch, Result};
pub use head::{COSINE_SCALE, Head};
pub use model::{Model, ModelOptions, build};
pub use normalization::Normalization;
pub use positions::resample_positions;
pub use registry::{Category, Entry, WeightTag, find, model_names, weight_tags};
pub use templates::{TASK, Template, templates};
pub use weights::{
    Found, Hub, LoadReport, NamedTensor, Pretrained, Source, TensorFile, Transfer, WeightFile, is_head,
    save_weights, transfer, write_atomic, write_tensors,
};
