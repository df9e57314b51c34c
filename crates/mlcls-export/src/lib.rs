//! Trained models in the formats of other programs.
//!
//! [`onnx::export`] turns a [`Model`](mlcls_models::Model) and its weights into an ONNX model that onnxruntime, OpenVINO
//! and others run: one walk over the nodes of its graph, written with our own protobuf messages, without Python. See there
//! for an example. [`timm::save`] writes the backbone as a file of weights that timm loads strictly.
#![deny(missing_docs)]

mod error;
pub mod onnx;
pub mod timm;

pub use error::{Error, Result};
