//! The two flat vectors that hold everything a network has learnt.

use crate::graph::{Graph, Init, ParamSpec};
use crate::rng::Stream;

/// Parameters and running statistics of one network, each one flat vector in the order and layout of timm's tensors.
///
/// An optimizer step, SAM's perturbation, weight decay and EMA are each one pass over `params`; a tensor is a slice of it
/// (see [`ParamSpec::range`]), so loading and saving copy bytes and convert nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Trainable values, [`Graph::param_len`] of them.
    pub params: Vec<f32>,
    /// Running statistics, [`Graph::buffer_len`] of them.
    pub buffers: Vec<f32>,
}

impl Weights {
    /// Fresh weights for `graph`; the same seed gives the same bits, whatever the order of the parameters.
    pub fn init(graph: &Graph, seed: u64) -> Self {
        let mut params = vec![0.0; graph.param_len()];
        for p in graph.params() {
            fill(p, &mut params[p.range()], seed);
        }
        let mut buffers = vec![0.0; graph.buffer_len()];
        for b in graph.buffers() {
            buffers[b.range()].fill(b.start);
        }
        Self { params, buffers }
    }

    /// Every tensor by name: parameters first, then running statistics, in graph order.
    pub fn tensors<'a>(
        &'a self,
        graph: &'a Graph,
    ) -> impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])> {
        let params = graph.params().iter().map(|p| (p.name.as_str(), &p.shape[..], &self.params[p.range()]));
        let buffers =
            graph.buffers().iter().map(|b| (b.name.as_str(), &b.shape[..], &self.buffers[b.range()]));
        params.chain(buffers)
    }

    /// The same, writable.
    pub fn tensor_mut(&mut self, graph: &Graph, name: &str) -> Option<(Vec<usize>, &mut [f32])> {
        if let Some(p) = graph.params().iter().find(|p| p.name == name) {
            return Some((p.shape.clone(), &mut self.params[p.range()]));
        }
        let b = graph.buffers().iter().find(|b| b.name == name)?;
        Some((b.shape.clone(), &mut self.buffers[b.range()]))
    }
}

fn fill(spec: &ParamSpec, out: &mut [f32], seed: u64) {
    // Keyed by name, so that adding a layer leaves the start of the others as it was.
    let mut stream = Stream::named(seed, &spec.name);
    match spec.init {
        Init::Constant(v) => out.fill(v),
        Init::Normal(std) => out.iter_mut().for_each(|v| *v = std * stream.normal()),
        Init::UnitRows => {
            let row = out.len() / spec.shape[0].max(1);
            for r in out.chunks_exact_mut(row.max(1)) {
                r.iter_mut().for_each(|v| *v = stream.normal());
                let norm = r.iter().map(|v| v * v).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
                r.iter_mut().for_each(|v| *v /= norm);
            }
        }
    }
}
