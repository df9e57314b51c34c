//! The values of a network's parameters.

use mlcls_engine::{Graph, ParamId, Weights};

use crate::error::{Error, Result};

/// A graph with its weights.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a> {
    pub graph: &'a Graph,
    pub weights: &'a Weights,
}

impl<'a> Params<'a> {
    /// A parameter.
    pub fn get(self, id: ParamId) -> &'a [f32] {
        &self.weights.params[self.graph.param(id).range()]
    }

    /// Whether there is one of this name.
    pub fn has(self, name: &str) -> bool {
        self.named(name).is_ok()
    }

    /// The one of this name.
    pub fn named(self, name: &str) -> Result<&'a [f32]> {
        let spec = self.graph.params().iter().find(|p| p.name == name);
        let missing = || Error::operation(name, "the network has no parameter of this name");
        spec.map(|p| &self.weights.params[p.range()]).ok_or_else(missing)
    }
}
