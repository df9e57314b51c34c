//! stub: being written
use crate::{Graph, Result, Weights};

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
