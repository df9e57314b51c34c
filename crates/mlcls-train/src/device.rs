//! Where networks run: the one place that knows plans of processors and of GPUs apart.

use std::fmt;

#[cfg(feature = "cuda")]
use mlcls_engine::{CudaDevice, CudaInferPlan, CudaTrainer, CudaUpdate, Op, gpus};
use mlcls_engine::{Graph, InferPlan, Precision, Weights};

use crate::config::{Config, DeviceName, NOT_ON_PROCESSORS, PrecisionName};
use crate::error::{Error, Result};

/// Where a network runs, and in which numbers.
///
/// ```
/// use mlcls_train::Device;
///
/// assert_eq!(Device::new("cuda:1".parse()?, "auto".parse()?).unwrap().to_string(), "cuda:1 bf16");
/// assert!(Device::new("cpu".parse()?, "bf16".parse()?).is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, in single precision.
    #[default]
    Cpu,
    /// An NVIDIA GPU; only a program with the feature `cuda` can use one.
    Cuda {
        /// Number of the GPU, from 0.
        ordinal: usize,
        /// Number format of maps and products.
        precision: Precision,
    },
}

impl Device {
    /// The device of a name, in numbers that it has.
    ///
    /// # Errors
    /// Processors compute in single precision only.
    pub fn new(name: DeviceName, precision: PrecisionName) -> Result<Self> {
        if name == DeviceName::Cpu && !precision.fits_processors() {
            let reason = format!("precision is {precision}: {NOT_ON_PROCESSORS}");
            return Err(Error::Device { device: name, reason });
        }
        Ok(Self::of(name, precision))
    }

    fn of(name: DeviceName, precision: PrecisionName) -> Self {
        match name {
            DeviceName::Cpu => Self::Cpu,
            DeviceName::Cuda(ordinal) => Self::Cuda { ordinal, precision: precision.on_gpus() },
        }
    }

    /// That of one of several processes on a host: of GPUs the one so many numbers further. A process that sees a single GPU has it
    /// for itself, as with Slurm's `--gpus-per-task=1`.
    pub(crate) fn of_local_rank(self, local_rank: usize) -> Self {
        match self {
            Self::Cuda { ordinal, precision } if local_rank > 0 && !sees_one_gpu() => {
                Self::Cuda { ordinal: ordinal.saturating_add(local_rank), precision }
            }
            _ => self,
        }
    }

    /// As settings and the command line say it.
    pub fn name(self) -> DeviceName {
        match self {
            Self::Cpu => DeviceName::Cpu,
            Self::Cuda { ordinal, .. } => DeviceName::Cuda(ordinal),
        }
    }

    /// Number format of maps and products.
    pub fn precision(self) -> Precision {
        match self {
            Self::Cpu => Precision::Fp32,
            Self::Cuda { precision, .. } => precision,
        }
    }

    /// The GPU's name as its driver has it; `None` for a processor, and where there is no such GPU.
    pub fn gpu(self) -> Option<String> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda { ordinal, .. } => Some(gpus().ok()?.into_iter().nth(ordinal)?.name),
            _ => None,
        }
    }

    /// Whether this program can use such a device and this machine has one. What else may be missing is said where a network is
    /// first brought to it.
    ///
    /// # Errors
    /// The program was built without the feature `cuda`, or there is no NVIDIA driver, or no such GPU.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Cpu => Ok(()),
            #[cfg(feature = "cuda")]
            Self::Cuda { ordinal, precision } => Ok(CudaDevice { ordinal, precision }.check()?),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda { .. } => Err(self.not_built()),
        }
    }

    #[cfg(not(feature = "cuda"))]
    pub(crate) fn not_built(self) -> Error {
        let reason = "this program was built without the feature `cuda`; build it with `cargo build --release --features cuda`, or \
                      take device cpu";
        Error::Device { device: self.name(), reason: reason.to_owned() }
    }

    /// A network, its weights and its optimizer on a GPU, for batches of up to `batch` images.
    #[cfg(feature = "cuda")]
    pub(crate) fn trainer(
        self,
        graph: &Graph,
        batch: usize,
        weights: &Weights,
        update: CudaUpdate,
    ) -> Result<CudaTrainer> {
        let Self::Cuda { ordinal, precision } = self else { unreachable!("asked for on GPUs only") };
        self.takes(graph)?;
        Ok(CudaTrainer::new(graph, batch, CudaDevice { ordinal, precision }, weights, update)?)
    }

    /// A name for a new group of trainers on several GPUs, from the `first` of them; the others see whether they can join it, and
    /// give nothing.
    #[cfg(feature = "cuda")]
    pub(crate) fn new_group(self, first: bool) -> Result<Vec<u8>> {
        let Self::Cuda { ordinal, precision } = self else { unreachable!("asked for on GPUs only") };
        let device = CudaDevice { ordinal, precision };
        device.check_group()?;
        Ok(if first { device.new_group()? } else { vec![] })
    }

    /// Refuses a network of which a GPU cannot run a part.
    #[cfg(feature = "cuda")]
    fn takes(self, graph: &Graph) -> Result<()> {
        if graph.nodes().iter().any(|node| matches!(node.op, Op::Candle(_))) {
            let reason =
                format!("{} begins with a part that runs on processors only; take device cpu", graph.name());
            return Err(Error::Device { device: self.name(), reason });
        }
        Ok(())
    }
}

fn sees_one_gpu() -> bool {
    #[cfg(feature = "cuda")]
    return gpus().is_ok_and(|gpus| gpus.len() == 1);
    #[cfg(not(feature = "cuda"))]
    return false;
}

/// `cpu`, or a GPU and its precision: `cuda bf16`.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => self.name().fmt(f),
            Self::Cuda { .. } => write!(f, "{} {}", self.name(), self.precision().name()),
        }
    }
}

impl Config {
    /// Where the run computes.
    pub fn device(&self) -> Device {
        Device::of(self.train.device, self.train.precision)
    }
}

/// An inference plan.
#[derive(Debug)]
pub(crate) enum Inference {
    Cpu(InferPlan),
    #[cfg(feature = "cuda")]
    Cuda(CudaInferPlan),
}

impl Inference {
    /// Compiles a network with its weights for batches of up to `batch` images.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize, device: Device) -> Result<Self> {
        match device {
            Device::Cpu => Ok(Self::Cpu(InferPlan::new(graph, weights, batch)?)),
            #[cfg(feature = "cuda")]
            Device::Cuda { ordinal, precision } => {
                device.takes(graph)?;
                let device = CudaDevice { ordinal, precision };
                Ok(Self::Cuda(CudaInferPlan::new(graph, weights, batch, device)?))
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda { .. } => Err(device.not_built()),
        }
    }

    /// See [`InferPlan::run`].
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<&[f32]> {
        Ok(match self {
            Self::Cpu(plan) => plan.run(pixels, n)?,
            #[cfg(feature = "cuda")]
            Self::Cuda(plan) => plan.run(pixels, n)?,
        })
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use mlcls_engine::CudaRule;
    use mlcls_models::{ModelOptions, build};

    use super::*;

    #[test]
    fn what_candle_runs_stays_on_processors() {
        let options = ModelOptions { classes: 2, size: 28, ..ModelOptions::default() };
        let graph = build("dinov2_small", &options).unwrap().graph;
        let device = Device::Cuda { ordinal: 0, precision: Precision::Bf16 };
        let weights = Weights::init(&graph, 0);
        let update = CudaUpdate {
            rule: CudaRule::Sgd { momentum: 0.9, nesterov: false },
            decay: vec![],
            sam_rho: None,
            clip_norm: None,
            average: false,
            frozen: None,
        };
        let refused = [
            device.trainer(&graph, 2, &weights, update).unwrap_err(),
            Inference::new(&graph, &weights, 2, device).unwrap_err(),
        ];
        for error in refused.map(|error| error.to_string()) {
            assert!(error.starts_with("device cuda: ") && error.ends_with("take device cpu"), "{error}");
        }
    }
}
