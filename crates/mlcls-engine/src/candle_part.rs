//! A part of a network that candle runs.

use std::collections::HashMap;

use candle_core::{Device, Module, Tensor};

use crate::error::Result;
use crate::graph::{Graph, NodeId, ParamId, ParamKind, Shape};
use crate::weights::Weights;

/// A module of candle that is ready to run.
pub type BoxedModule = Box<dyn Module + Send + Sync>;

/// A module of candle at the beginning of a network, written with [`GraphBuilder::candle`](crate::GraphBuilder::candle).
///
/// It runs forward only, so a network that has one can be trained [behind](crate::TrainPlan::behind) it alone. Its parameters are
/// parameters of the graph, so that they are loaded, saved and counted like all others.
#[derive(Clone, Debug)]
pub struct CandlePart {
    /// Makes the module from the parameters by name, and the shape of an image.
    ///
    /// The module takes one normalised image `[1, 3, h, w]` at a time, on several threads at once, to a map `[1, h', w', c]`.
    pub build: fn(&HashMap<String, Tensor>, Shape) -> candle_core::Result<BoxedModule>,
    /// Its parameters.
    pub params: Vec<ParamId>,
    /// Multiply-accumulate operations for one image.
    pub macs: u64,
}

/// By parameters and cost: what two functions build cannot be compared.
impl PartialEq for CandlePart {
    fn eq(&self, other: &Self) -> bool {
        (&self.params, self.macs) == (&other.params, other.macs)
    }
}

/// A parameter of a [`CandlePart`] before it has its place in the flat vector: name, shape, what it is.
pub type CandleParam = (String, Vec<usize>, ParamKind);

impl CandlePart {
    /// The module with these weights, for a node of this part.
    pub(crate) fn module(&self, graph: &Graph, weights: &Weights, node: NodeId) -> Result<BoxedModule> {
        let tensor = |&id: &ParamId| {
            let spec = graph.param(id);
            let values = &weights.params[spec.range()];
            Ok((spec.name.clone(), Tensor::from_slice(values, &spec.shape[..], &Device::Cpu)?))
        };
        let tensors = self.params.iter().map(tensor).collect::<Result<HashMap<_, _>>>()?;
        let image = graph.node(graph.node(node).inputs[0]).shape;
        Ok((self.build)(&tensors, image)?)
    }
}
