//! Weights on disk and where they come from.

mod file;
#[cfg(feature = "hub")]
mod hub;
mod pretrained;
mod save;
mod tensors;
mod transfer;

pub use file::{LoadReport, WeightFile};
pub use pretrained::{Found, Hub, Pretrained, Source};
pub use save::{save_weights, write_atomic};
pub use tensors::{NamedTensor, TensorFile, write_tensors};
pub use transfer::{Transfer, transfer};
