//! Trained models in the formats of other programs.
//!
//! [`onnx::export`] turns a [`Model`](mlcls_models::Model) and its weights into an ONNX model that onnxruntime, OpenVINO
//! and others run: one walk over the nodes of its graph, written with our own protobuf messages, without Python.
//! [`timm::save`] writes the backbone as a file of weights that timm loads strictly. [`saliency::Explainer`] says which places
//! of an image speak for each label. [`int8::Quantiser`] makes a file that runtimes compute in eight bits. See there for examples.
#![deny(missing_docs)]

mod error;
pub mod int8;
pub mod onnx;
pub mod saliency;
pub mod timm;

pub use error::{Error, Result};
