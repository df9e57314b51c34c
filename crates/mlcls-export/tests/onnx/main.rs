//! Exported files, decoded and run by an interpreter of ONNX's operators, beside the engine's own inference.

#![allow(clippy::unwrap_used)] // a test may panic, and so may its helpers

mod file;
mod int8;
mod interpreter;
mod nets;
mod parity;
mod saliency;
mod wire;
