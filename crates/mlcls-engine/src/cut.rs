//! A program cut behind one of its values: what comes before runs with weights that stay, what comes behind trains.

use crate::error::Result;
use crate::graph::{Activation, Graph, NodeId, Shape};
use crate::program::*;

/// A program and the place where it is cut.
pub struct Cut {
    pub program: Program,
    /// The only value that crosses.
    pub value: ValueId,
    /// The first stage behind it.
    pub first: usize,
}

impl Cut {
    /// Cuts behind `node`.
    ///
    /// # Errors
    /// The node's output is never in memory, or something else crosses.
    pub fn behind(graph: &Graph, node: NodeId) -> Result<Self> {
        let mut marked = graph.clone();
        marked.feature_map = node;
        let program = Program::lower(&marked)?;
        let kept = program.map.filter(|&id| id != program.output && program.values[id].gate.is_none());
        let Some(value) = kept else {
            let reason =
                "a network cannot be cut here: the output of this node is never in memory, or is the last";
            return Err(fail(graph.node(node), reason));
        };
        match first_behind(&program, value) {
            Some(first) => Ok(Self { program, value, first }),
            None => Err(fail(
                graph.node(node),
                "a network cannot be cut here: what comes behind reads more than this",
            )),
        }
    }

    /// The stages behind the cut. The value stands in memory as consumers see it, normalised and activated; values from before
    /// the cut take no memory.
    pub fn tail(self) -> Program {
        let Self { mut program, value, first } = self;
        for stage in program.stages.drain(..first) {
            if let Stage::Squeeze(s) = stage {
                program.gates[s.gate] = Gate { c: 0, reduced: 0 };
            }
        }
        program.origins.drain(..first);
        for (id, v) in program.values.iter_mut().enumerate() {
            if v.producer >= first {
                v.producer -= first;
                v.consumers.iter_mut().for_each(|stage| *stage -= first);
                continue;
            }
            let crosses = id == value;
            let consumers = v.consumers.iter().filter(|_| crosses).map(|stage| stage - first).collect();
            let shape = if crosses { v.shape } else { Shape::new(0, 0, 0) };
            *v = Value { shape, norm: None, producer: 0, consumers, gate: None, act: Activation::Identity };
        }
        for view in program.stages.iter_mut().flat_map(views).filter(|view| view.value == value) {
            *view = View { value, norm: None, act: Activation::Identity, gate: None };
        }
        program
    }
}

/// The first stage behind a value, if that and later ones read nothing from before but this value.
pub fn first_behind(program: &Program, value: ValueId) -> Option<usize> {
    let first = program.values[value].producer + 1;
    let crosses = |v: &Value| v.producer < first && v.consumers.iter().any(|&stage| stage >= first);
    let alone = program.values.iter().enumerate().all(|(id, v)| id == value || !crosses(v));
    alone.then_some(first)
}

/// What a stage reads.
fn views(stage: &mut Stage) -> Vec<&mut View> {
    match stage {
        Stage::Conv(Conv { src: Source::View(view), .. }) => vec![view],
        Stage::Conv(_) | Stage::Candle(_) => vec![],
        Stage::Depthwise(s) => vec![&mut s.src],
        Stage::Squeeze(s) => vec![&mut s.src],
        Stage::Add(s) => vec![&mut s.branch, &mut s.shortcut],
        Stage::Pool(s) => vec![&mut s.src],
        Stage::PRelu(s) => vec![&mut s.src],
        Stage::Dropout(s) => vec![&mut s.src],
        Stage::Cosine(s) => vec![&mut s.src],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Padding;
    use crate::infer::InferPlan;
    use crate::reference::{random_pixels, random_weights, run};
    use crate::train::TrainPlan;
    use crate::train::tests::zoo;

    /// Wherever a network can be cut, its tail does with the values of a whole pass what the whole does behind them.
    #[test]
    fn tails_equal_the_whole() {
        for (act, padding) in [(Activation::HardSwish, Padding::Symmetric), (Activation::Silu, Padding::Same)]
        {
            let graph = zoo(19, act, 5, padding);
            let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, 5, 5));
            let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
            let training = run(&graph, &params, &weights.buffers, &pixels, 5, true);
            let inference = run(&graph, &params, &weights.buffers, &pixels, 5, false);
            let mut whole = TrainPlan::new(&graph, 5).unwrap();
            let logits =
                whole.forward(&weights.params, &mut weights.buffers.clone(), &pixels, 5, 1).unwrap().to_vec();
            let dlogits: Vec<f32> = (0..logits.len()).map(|i| (i % 7) as f32 - 3.0).collect();
            let mut expected = vec![0.0; weights.params.len()];
            whole.backward(&weights.params, &dlogits, &mut expected).unwrap();

            let mut cuts = 0;
            for node in (0..graph.nodes().len()).map(NodeId) {
                let Ok(mut tail) = TrainPlan::behind(&graph, 5, node) else { continue };
                cuts += 1;
                assert!(tail.arena_bytes() <= whole.arena_bytes());
                let at = |pass: &[Vec<f64>]| pass.concat().iter().map(|&v| v as f32).collect::<Vec<f32>>();
                let values = at(&training.nodes[node.0]);
                let mut buffers = weights.buffers.clone();
                let found =
                    tail.forward_behind(&weights.params, &mut buffers, &values, 5, 1).unwrap().to_vec();
                for (a, b) in found.iter().zip(&logits) {
                    assert!((a - b).abs() < 1e-4, "{node:?}: logit {a}, of the whole {b}");
                }
                let mut grads = vec![f32::NAN; weights.params.len()];
                tail.backward(&weights.params, &dlogits, &mut grads).unwrap();
                let first = graph.param_len_up_to(node);
                assert!(grads[..first].iter().all(|g| *g == 0.0), "{node:?}: gradient before the cut");
                for (i, (a, b)) in grads.iter().zip(&expected).enumerate().skip(first) {
                    assert!(
                        (a - b).abs() < 2e-3 * b.abs().max(1.0),
                        "{node:?}: gradient {i} {a}, of the whole {b}"
                    );
                }

                let mut front = InferPlan::up_to(&graph, &weights, 6, node).unwrap();
                let values = at(&inference.nodes[node.0]);
                for n in [1, 5] {
                    let front = front.run(&pixels[..n * pixels.len() / 5], n).unwrap();
                    assert_eq!(front.len(), n * values.len() / 5);
                    for (a, b) in front.iter().zip(&values) {
                        assert!((a - b).abs() < 1e-4, "{node:?}: value {a}, expected {b}");
                    }
                }
                assert!(tail.forward(&weights.params, &mut buffers, &pixels, 5, 1).is_err());
            }
            assert!(cuts >= 4, "only {cuts} places to cut");
            assert!(TrainPlan::behind(&graph, 5, graph.output()).is_err());
            assert!(InferPlan::up_to(&graph, &weights, 5, NodeId(0)).is_err());
        }
    }
}
