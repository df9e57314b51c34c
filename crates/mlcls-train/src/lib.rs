//! Training runs.
#![deny(missing_docs)]

mod config;

pub use config::*;
