//! Inference plans on a GPU.

use super::places::Mode;
use super::plan::Plan;
use super::{CudaDevice, device::Device};
use crate::error::{Error, Result, check};
use crate::graph::Graph;
use crate::precision::Precision;
use crate::profile::Profile;
use crate::program::Program;
use crate::weights::Weights;

/// A graph and its weights compiled for inference on a GPU, as [`InferPlan`](crate::InferPlan).
#[derive(Debug)]
pub struct CudaInferPlan {
    plan: Plan,
    pixels: usize,
    output_len: usize,
    logits: Vec<f32>,
}

impl CudaInferPlan {
    /// Compiles for batches of 1 to `batch` images, and brings the weights to the GPU.
    ///
    /// # Errors
    /// As [`InferPlan::new`](crate::InferPlan::new); or there is no such GPU, or no room on it.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize, device: CudaDevice) -> Result<Self> {
        Self::on(graph, weights, batch, device.precision, device.open()?)
    }

    pub(super) fn on(
        graph: &Graph,
        weights: &Weights,
        batch: usize,
        precision: Precision,
        device: Box<dyn Device>,
    ) -> Result<Self> {
        check("parameters", graph.param_len(), weights.params.len())?;
        check("running statistics", graph.buffer_len(), weights.buffers.len())?;
        let mut plan = Plan::new(graph, Program::lower(graph)?, Mode::Infer, precision, batch, device)?;
        plan.put_weights(&weights.params, &weights.buffers)?;
        plan.prepare(batch)?;
        Ok(Self { plan, pixels: graph.input_shape().len(), output_len: graph.output_len(), logits: vec![] })
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.plan.max()
    }

    /// Where the time of a batch of `n` images goes, kernel by kernel. Run after a batch of as many images.
    pub fn profile(&mut self, n: usize) -> Result<Profile> {
        self.plan.profile(n)
    }

    /// Logits `[n, classes]` of `n` images, uint8 RGB `[n, h, w, 3]`.
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<&[f32]> {
        if n == 0 || n > self.plan.max() {
            return Err(Error::Batch { max: self.plan.max(), found: n });
        }
        check("pixels", n * self.pixels, pixels.len())?;
        self.logits.resize(n * self.output_len, 0.0);
        self.plan.put_pixels(pixels)?;
        self.plan.forward(n, 0, &mut self.logits)?;
        Ok(&self.logits)
    }
}
