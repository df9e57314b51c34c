//! What a run takes of a processor's or a GPU's memory, and whether it is there.

use mlcls_data::{Loader, SourceSize};
use mlcls_engine::TrainPlan;
#[cfg(feature = "cuda")]
use mlcls_engine::Weights;

use super::Setup;
use crate::config::OptimName;
use crate::device::Device;
#[cfg(feature = "cuda")]
use crate::device::Inference;
use crate::error::{Error, Result};

/// Bytes that a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// The training plan; 0 where it is in the memory of a GPU.
    pub plan: usize,
    /// Weights, gradient, optimizer, SAM and the average.
    pub vectors: usize,
    /// Batches that are prepared ahead.
    pub batches: usize,
    /// Decoded images, at most.
    pub cache: u64,
}

impl Memory {
    /// All but the cache, which takes what it is given.
    pub fn fixed(&self) -> u64 {
        (self.plan + self.vectors + self.batches) as u64
    }
}

impl Setup {
    /// Bytes of memory that the run takes for its model, batches and cache, all at their largest.
    pub fn memory(&self) -> Result<Memory> {
        self.memory_for(self.train.largest_batch())
    }

    /// The same for batches of another size.
    pub fn memory_for(&self, batch: usize) -> Result<Memory> {
        let graph = &self.model.graph;
        let options = self.train.options();
        let vectors = 2 // weights and gradient
            + self.optimizer_vectors()
            + usize::from(self.config.optim.sam_rho > 0.0)
            + usize::from(self.config.optim.accumulate > 1)
            + usize::from(self.ema.is_some());
        let batch_bytes = batch * graph.input_shape().len();
        Ok(Memory {
            plan: self.plan_bytes(batch)?,
            vectors: 4 * vectors * graph.param_len(),
            batches: (options.prefetch + self.config.optim.accumulate) * batch_bytes,
            cache: cache_bytes(&self.train) + cache_bytes(&self.val),
        })
    }

    /// Bytes of the training plan; where it is another one later, of the larger; 0 where it is in the memory of a GPU.
    fn plan_bytes(&self, batch: usize) -> Result<usize> {
        if self.device != Device::Cpu {
            return Ok(0);
        }
        let graph = &self.model.graph;
        Ok(match self.frozen {
            Some(frozen) if frozen.epochs >= self.config.train.epochs => {
                TrainPlan::bytes_needed_behind(graph, batch, frozen.node)?
            }
            _ => TrainPlan::bytes_needed(graph, batch)?,
        })
    }

    /// Refuses a batch that does not fit, before anything is taken, with the largest that does.
    pub fn check_memory(&self, available: u64) -> Result<()> {
        let needs = |batch| Ok::<_, Error>(self.memory_for(batch)?.fixed());
        let batch = self.train.largest_batch();
        let needed = needs(batch)?;
        if needed <= available {
            return Ok(());
        }
        // Memory grows with the batch, so halving finds the border.
        let (mut fits, mut too_large) = (0, batch);
        while too_large - fits > 1 {
            let middle = fits.midpoint(too_large);
            *if needs(middle)? <= available { &mut fits } else { &mut too_large } = middle;
        }
        Err(Error::Memory { batch, needed, available, largest: fits })
    }

    /// Refuses a GPU that cannot be used, or does not hold what training and validation need, before anything is written: both are
    /// made once, and let go.
    #[cfg(feature = "cuda")]
    pub(super) fn check_gpu(&self) -> Result<()> {
        if self.device == Device::Cpu {
            return Ok(());
        }
        let (graph, device) = (&self.model.graph, self.device);
        let [batch, eval_batch] = [&self.train, &self.val].map(Loader::largest_batch);
        let made = || {
            let weights = Weights::init(graph, 0);
            // What is frozen to the end, or else everything, as it comes to that.
            let frozen = self.frozen_in(self.config.train.epochs).map(|frozen| frozen.node);
            let _trainer = self.cuda_trainer(&weights, &self.optimizer(), frozen)?;
            Inference::new(graph, &weights, eval_batch, device).map(drop)
        };
        made().map_err(|error| match error {
            Error::Engine(mlcls_engine::Error::OutOfGpuMemory { bytes }) => {
                Error::GpuMemory { device: device.name(), bytes, batch, eval_batch }
            }
            other => other,
        })
    }

    fn optimizer_vectors(&self) -> usize {
        match self.config.optim.name {
            OptimName::Sgd => 1,
            OptimName::Adamw => 2,
        }
    }
}

/// Bytes that a loader's cache may take: its limit, or all its images where their size is known.
fn cache_bytes(loader: &Loader) -> u64 {
    let options = loader.options();
    match options.source {
        SourceSize::Squash => {
            let side = u64::from(options.size);
            options.cache_bytes.min(loader.items().len() as u64 * side * side * 3)
        }
        SourceSize::ShortSide(_) | SourceSize::Original => options.cache_bytes,
    }
}
