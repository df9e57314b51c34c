//! End-to-end tests of the binary: each runs `mlcls` as a user would, on data that it drew itself.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

mod bench_voc;
mod data;
mod errors;
mod explain;
mod export;
mod fetch;
mod interrupted;
mod optimize;
mod output;
mod pipeline;
mod predict;
mod probe;
mod report;
#[cfg(feature = "serve")]
mod serve;
mod tensorboard;
mod thresholds;
mod together;
mod util;
mod weights;
