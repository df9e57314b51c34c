//! The head alone: from pooled features to logits.

use super::group::Input;
use super::{InferPlan, Part, SMALL, Slot};
use crate::cut::first_behind;
use crate::error::{Result, check};
use crate::graph::Graph;
use crate::kernels::simd::Isa;
use crate::program::{Program, fail};
use crate::weights::Weights;

/// What comes behind a graph's pooled features, compiled for inference: logits of features that are known already, or that
/// belong to no whole image.
///
/// ```
/// use mlcls_engine::{ConvOptions, GraphBuilder, HeadPlan, InferPlan, Weights};
///
/// let mut b = GraphBuilder::new("example", 16);
/// let image = b.input([0.5; 3], [0.5; 3]);
/// let map = b.conv("stem", image, 8, ConvOptions { kernel: 3, stride: 2, ..Default::default() })?;
/// let features = b.global_pool(map);
/// let logits = b.cosine_linear("head", features, 4, 7.0)?;
/// let graph = b.finish(map, features, logits)?;
/// let weights = Weights::init(&graph, 1);
///
/// let mut plan = InferPlan::new(&graph, &weights, 1)?;
/// let logits = plan.run(&[100; 16 * 16 * 3], 1)?.to_vec();
/// let mut head = HeadPlan::new(&graph, &weights, 1)?;
/// assert_eq!(head.run(plan.features().unwrap(), 1)?, logits);
/// # Ok::<(), mlcls_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct HeadPlan {
    plan: InferPlan,
    features: Slot,
}

impl HeadPlan {
    /// Compiles the head of `graph` for batches of 1 to `batch` feature vectors.
    ///
    /// # Errors
    /// The batch is 0, weights have the wrong length, or the head reads more of the graph than its features.
    pub fn new(graph: &Graph, weights: &Weights, batch: usize) -> Result<Self> {
        let mut plan = InferPlan::compile(graph, weights, batch, Isa::detect(), SMALL, Part::Head)?;
        // They are what goes in, so they need not come out.
        let Some(features) = plan.features.take() else {
            unreachable!("`first_stage` refuses graphs without them")
        };
        Ok(Self { plan, features })
    }

    /// Logits `[n, classes]` of features `[n, d]`, to the bit those of the whole graph.
    ///
    /// # Errors
    /// More rows than the plan was compiled for, none, or rows of another width.
    pub fn run(&mut self, features: &[f32], n: usize) -> Result<&[f32]> {
        check("features", n * self.features.len, features.len())?;
        self.plan.through(Input::Rows(features, self.features), n)
    }
}

/// The first stage behind the pooled features; all that it and later ones read must be these features or their own.
pub(super) fn first_stage(graph: &Graph, program: &Program) -> Result<usize> {
    let node = graph.node(graph.features());
    let Some(features) = program.features.filter(|&id| id != program.output) else {
        return Err(fail(node, "there is no head behind these features"));
    };
    let reason = "the head reads more than these features, so it cannot run on them alone";
    first_behind(program, features).ok_or_else(|| fail(node, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{ConvOptions, GraphBuilder, Padding};
    use crate::graph::{Activation, Init};
    use crate::reference::{random_pixels, random_weights};
    use crate::train::tests::zoo;

    #[test]
    fn the_head_gives_the_bits_of_the_whole() {
        let graph = zoo(19, Activation::HardSwish, 5, Padding::Symmetric);
        let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, 5, 5));
        let mut plan = InferPlan::new(&graph, &weights, 5).unwrap();
        let logits = plan.run(&pixels, 5).unwrap().to_vec();
        let features = plan.features().unwrap();
        let (d, classes) = (features.len() / 5, logits.len() / 5);
        let mut head = HeadPlan::new(&graph, &weights, 5).unwrap();
        for n in 1..=5 {
            assert_eq!(head.run(&features[..n * d], n).unwrap(), &logits[..n * classes], "{n} rows");
        }
        assert!(head.run(&features[1..], 5).is_err());
        assert!(head.run(&[], 0).is_err());
    }

    #[test]
    fn graphs_without_a_head_of_their_own_are_refused() {
        let build = |shortcut: bool, head: bool| {
            let mut b = GraphBuilder::new("small", 4);
            let x = b.input([0.5; 3], [0.5; 3]);
            let map = b.conv("map", x, 5, ConvOptions::default()).unwrap();
            let pooled = b.global_pool(map);
            let features = b.linear("features", pooled, 5, Init::Normal(0.4)).unwrap();
            let mut out = features;
            if head {
                out = b.linear("head", features, 5, Init::Normal(0.4)).unwrap();
            }
            if shortcut {
                out = b.add(out, pooled, 0.0).unwrap();
            }
            let graph = b.finish(map, features, out).unwrap();
            HeadPlan::new(&graph, &random_weights(&graph, 3), 2)
        };
        assert!(build(false, true).is_ok());
        let message = |shortcut, head| build(shortcut, head).unwrap_err().to_string();
        assert!(message(true, true).contains("reads more"), "{}", message(true, true));
        assert!(message(false, false).contains("no head"), "{}", message(false, false));
    }
}
