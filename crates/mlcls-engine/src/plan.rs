//! stub: being written
use crate::{Graph, Result, Weights};

/// A graph compiled for training.
#[derive(Debug)]
pub struct TrainPlan {
    out: Vec<f32>,
    batch: usize,
}
impl TrainPlan {
    /// Compiles `graph` for batches of 1 to `batch` images.
    pub fn new(graph: &Graph, batch: usize) -> Result<Self> {
        Ok(Self { out: vec![0.0; batch * graph.output_len()], batch })
    }
    /// Largest batch.
    pub fn max_batch(&self) -> usize {
        self.batch
    }
    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        0
    }
    /// Forward pass in training mode over `n` images of uint8 RGB NHWC pixels; updates running statistics in `buffers`;
    /// returns the logits `[n, classes]`. `seed` decides dropout and drop-path of this pass.
    pub fn forward(
        &mut self,
        params: &[f32],
        buffers: &mut [f32],
        pixels: &[u8],
        n: usize,
        seed: u64,
    ) -> Result<&[f32]> {
        let _ = (params, buffers, pixels, seed);
        Ok(&self.out[..n])
    }
    /// Backward pass of the last forward: `dlogits` `[n, classes]` in, gradient of every parameter out (overwritten).
    pub fn backward(&mut self, params: &[f32], dlogits: &[f32], grads: &mut [f32]) -> Result<()> {
        let _ = (params, dlogits, grads);
        Ok(())
    }
}
/// A graph and its weights compiled for inference: batch-norm folded, weights packed.
#[derive(Debug)]
pub struct InferPlan {
    out: Vec<f32>,
}
impl InferPlan {
    /// Compiles `graph` with `weights` for batches of 1 to `batch` images.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize) -> Result<Self> {
        let _ = weights;
        Ok(Self { out: vec![0.0; batch * graph.output_len()] })
    }
    /// Logits `[n, classes]` of `n` images of uint8 RGB NHWC pixels.
    pub fn run(&mut self, pixels: &[u8], n: usize) -> Result<&[f32]> {
        let _ = pixels;
        Ok(&self.out[..n])
    }
}
