//! Plans on NVIDIA GPUs.
//!
//! The same program as on a processor becomes a list of launches of our own kernels (`kernels/cuda`), compiled when a device is
//! opened. All that changes from step to step lies in the device's memory, so that a pass is one CUDA graph.

mod args;
mod backward;
mod device;
#[cfg(any(test, feature = "emulator"))]
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
mod trainer;

pub use gpu::{GpuInfo, cuda_compiler, gpus};
pub use infer::CudaInferPlan;
pub use train::CudaTrainPlan;
pub use trainer::{CudaRule, CudaStep, CudaTrainer, CudaUpdate};

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
    /// An ordinal that stands for the emulator: a processor that runs the kernels as a GPU would, very slowly. For tests.
    #[cfg(any(test, feature = "emulator"))]
    #[doc(hidden)]
    pub const EMULATED: usize = usize::MAX;

    /// Whether this machine can emulate, for which it needs a C++ compiler; prints a line where it cannot.
    #[cfg(any(test, feature = "emulator"))]
    #[doc(hidden)]
    pub fn emulates(self) -> bool {
        emulator::Emulator::open(self.precision, false).is_some()
    }

    /// Whether there is such a GPU and the kernels can run on it.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn check(self) -> Result<()> {
        #[cfg(any(test, feature = "emulator"))]
        if self.ordinal == Self::EMULATED {
            return Ok(());
        }
        gpu::check(self.ordinal)
    }

    /// Whether trainers on such devices can [join](CudaTrainer::join) a group, as far as this process can tell.
    ///
    /// # Errors
    /// NCCL is not found.
    pub fn check_group(self) -> Result<()> {
        #[cfg(any(test, feature = "emulator"))]
        if self.ordinal == Self::EMULATED {
            return Ok(());
        }
        gpu::check_group()
    }

    /// A name for a new group of [trainers](CudaTrainer::join) on such devices: one of them makes it and gives it to all others.
    ///
    /// # Errors
    /// NCCL is not found, or finds no network.
    pub fn new_group(self) -> Result<Vec<u8>> {
        #[cfg(any(test, feature = "emulator"))]
        if self.ordinal == Self::EMULATED {
            return Ok(emulator::new_group());
        }
        gpu::new_group()
    }

    fn open(self) -> Result<Box<dyn device::Device>> {
        #[cfg(any(test, feature = "emulator"))]
        if self.ordinal == Self::EMULATED
            && let Some(emulator) = emulator::Emulator::open(self.precision, false)
        {
            return Ok(emulator);
        }
        Ok(Box::new(gpu::Gpu::open(self.ordinal, self.precision, &source::SOURCES)?))
    }
}
