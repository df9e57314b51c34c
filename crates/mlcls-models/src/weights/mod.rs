//! Weights on disk and where they come from.

mod atomic;
#[cfg(feature = "hub")]
mod download;
mod file;
mod hub;
mod pretrained;
mod save;
mod tensors;
mod transfer;

pub use atomic::write_atomic;
pub use file::{LoadReport, WeightFile, is_head};
pub use hub::Hub;
pub use pretrained::{Found, Pretrained, Source};
pub use save::save_weights;
pub use tensors::{NamedTensor, TensorFile, write_tensors};
pub use transfer::{Transfer, transfer};
