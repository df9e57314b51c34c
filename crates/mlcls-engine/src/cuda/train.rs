//! Training plans on a GPU.

use super::places::Mode;
use super::plan::Plan;
use super::{CudaDevice, device::Device};
use crate::error::{Error, Result, check};
use crate::graph::Graph;
use crate::precision::Precision;
use crate::profile::Profile;
use crate::program::Program;

/// Factor on the loss: in half precision OTX's 512, so that small gradients do not vanish.
pub(super) fn loss_scale(precision: Precision) -> f32 {
    if precision == Precision::Fp16 { 512.0 } else { 1.0 }
}

/// A graph compiled for training batches on a GPU: [`TrainPlan`](crate::TrainPlan) with the same vectors in and out, which are
/// copied to the GPU and back.
#[derive(Debug)]
pub struct CudaTrainPlan {
    plan: Plan,
    precision: Precision,
    pixels: usize,
    param_len: usize,
    buffer_len: usize,
    output_len: usize,
    logits: Vec<f32>,
    scaled: Vec<f32>,
    /// Images of the forward pass that `backward` belongs to.
    last: Option<usize>,
}

impl CudaTrainPlan {
    /// Compiles `graph` for batches of 1 to `batch` images.
    ///
    /// # Errors
    /// As [`TrainPlan::new`](crate::TrainPlan::new); or there is no such GPU, or no room on it.
    pub fn new(graph: &Graph, batch: usize, device: CudaDevice) -> Result<Self> {
        Self::on(graph, batch, device.precision, device.open()?)
    }

    pub(super) fn on(
        graph: &Graph,
        batch: usize,
        precision: Precision,
        device: Box<dyn Device>,
    ) -> Result<Self> {
        let program = Program::lower(graph)?;
        Ok(Self {
            plan: Plan::new(graph, program, Mode::Train, precision, batch, device)?,
            precision,
            pixels: graph.input_shape().len(),
            param_len: graph.param_len(),
            buffer_len: graph.buffer_len(),
            output_len: graph.output_len(),
            logits: vec![],
            scaled: vec![],
            last: None,
        })
    }

    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.plan.max()
    }

    /// Bytes that the plan takes on the GPU.
    pub fn bytes(&self) -> usize {
        self.plan.bytes()
    }

    /// Where the time of a step over `n` images goes, kernel by kernel, so that what a CUDA graph hides is seen. Run after a step of
    /// as many images.
    pub fn profile(&mut self, n: usize) -> Result<Profile> {
        self.plan.profile(n)
    }

    /// The forward pass in training mode, as [`TrainPlan::forward`](crate::TrainPlan::forward).
    pub fn forward(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        pixels: &[u8],
        n: usize,
        seed: u64,
    ) -> Result<&[f32]> {
        if n == 0 || n > self.plan.max() {
            return Err(Error::Batch { max: self.plan.max(), found: n });
        }
        check("parameters", self.param_len, params.len())?;
        check("running statistics", self.buffer_len, buffers.len())?;
        check("pixels", n * self.pixels, pixels.len())?;
        self.plan.put_weights(params, buffers)?;
        self.plan.prepare(n)?;
        self.logits.resize(n * self.output_len, 0.0);
        self.plan.put_pixels(pixels)?;
        self.plan.forward(n, seed, &mut self.logits)?;
        self.plan.buffers(buffers)?;
        self.last = Some(n);
        Ok(&self.logits)
    }

    /// The backward pass of the last [`forward`](Self::forward), as [`TrainPlan::backward`](crate::TrainPlan::backward). The
    /// parameters are those of the forward pass.
    pub fn backward(&mut self, dlogits: &[f32], grads: &mut [f32]) -> Result<()> {
        let n = self.last.take().ok_or(Error::NoForward)?;
        check("gradients", self.param_len, grads.len())?;
        check("gradient of the logits", n * self.output_len, dlogits.len())?;
        let scale = loss_scale(self.precision);
        self.scaled.clear();
        self.scaled.extend(dlogits.iter().map(|d| d * scale));
        self.plan.backward(&self.scaled, n)?;
        self.plan.grads(grads)?;
        if scale != 1.0 {
            grads.iter_mut().for_each(|g| *g /= scale);
        }
        Ok(())
    }
}
