//! Plans on NVIDIA GPUs.
//!
//! The same program as on a processor becomes a list of launches of our own kernels (`kernels/cuda`), compiled when a device is
//! opened. All that changes from step to step lies in the device's memory, so that a pass is one CUDA graph.

mod args;
mod backward;
mod device;
#[cfg(test)]
mod emulator;
mod forward;
mod gpu;
mod infer;
mod places;
mod plan;
mod source;
mod tape;
#[cfg(test)]
mod tests;
mod train;

pub use gpu::{GpuInfo, gpus};
pub use infer::CudaInferPlan;
pub use train::CudaTrainPlan;

use crate::error::Result;
use crate::precision::Precision;

/// A GPU and the precision that it computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CudaDevice {
    /// Number of the GPU, from 0.
    pub ordinal: usize,
    /// Number format of maps and products.
    pub precision: Precision,
}

impl CudaDevice {
    fn open(self) -> Result<Box<dyn device::Device>> {
        Ok(Box::new(gpu::Gpu::open(self.ordinal, self.precision, source::SOURCE)?))
    }
}
