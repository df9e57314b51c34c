//! Convolutional networks compiled to fused training and inference plans over static memory.
//!
//! A model is a [`Graph`]: data, written once with [`GraphBuilder`]. A [`TrainPlan`] or [`InferPlan`] is compiled from it
//! once for a batch size, and then runs over memory of its own: pixels in, logits out, and gradients of the flat parameter
//! vector back. See each type for an example.
#![deny(missing_docs)]

mod affine;
mod aligned;
mod arena;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod border;
mod builder;
#[cfg(feature = "cuda")]
mod cuda;
mod cut;
mod error;
mod graph;
mod infer;
mod kernels;
mod memory;
mod op;
mod parallel;
mod precision;
mod profile;
mod program;
#[cfg(test)]
mod property;
#[cfg(test)]
mod reference;
mod rng;
mod roofline;
mod team;
mod train;
mod weights;

pub use affine::Affine;
pub use builder::{ConvOptions, GraphBuilder, Padding};
#[cfg(feature = "cuda")]
pub use cuda::{
    CudaDevice, CudaInferPlan, CudaRule, CudaStep, CudaTrainPlan, CudaTrainer, CudaUpdate, GpuInfo,
    cuda_compiler, gpus,
};
pub use error::{Error, Result};
pub use graph::{
    Activation, BoxedModule, BufferId, BufferSpec, BuildModule, CandlePart, Graph, Init, Node, NodeId, Op,
    Pads, ParamId, ParamKind, ParamSpec, Shape, Window,
};
pub use infer::{HeadPlan, InferPlan};
pub use kernels::cosine::unit_rows;
pub use memory::resident_bytes;
pub use op::{InferModule, TrainOp};
pub use precision::Precision;
pub use profile::{Profile, StageProfile, Work};
pub use roofline::Roofline;
pub use train::{ArenaKind, ArenaMap, ArenaPiece, SumOver, Synced, TrainPlan};
pub use weights::Weights;

/// The instruction set that kernels are run with on this processor: `avx512`, `avx2` or, where it has neither, `scalar`, which is
/// many times slower.
pub fn instruction_set() -> &'static str {
    kernels::simd::Isa::detect().name()
}
