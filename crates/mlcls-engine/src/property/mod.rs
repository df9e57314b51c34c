//! A law of both kinds of plan: whatever the net, they compute what its nodes compute one by one.

pub mod nets;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::graph::{Activation, Graph, Op};
use crate::infer::InferPlan;
use crate::kernels::simd::Isa;
use crate::reference::{Run, random_pixels, random_weights, run};
use crate::train::truth::Truth;
use nets::{Net, net};

/// The same nets in every run: single precision has no bound that holds for all of them.
pub fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config(384))]

    #[test]
    fn training_equals_the_nodes_one_by_one(net in net()) {
        let graph = net.graph();
        let truth = Truth::new(&graph, net.batch);
        prop_assume!(well_conditioned(&graph, &truth.run));
        truth.check();
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn inference_equals_the_nodes_one_by_one(net in net()) {
        let Net { batch: n, .. } = net;
        let graph = net.graph();
        let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, n, 5));
        let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
        let want = run(&graph, &params, &weights.buffers, &pixels, n, false).nodes[graph.output().0].concat();
        let largest = want.iter().fold(1.0f64, |m, z| m.max(z.abs()));
        for isa in Isa::available() {
            let mut plan = InferPlan::with_isa(&graph, &weights, n + 1, isa).unwrap();
            let got = plan.run(&pixels, n).unwrap();
            for (i, (a, b)) in got.iter().zip(&want).enumerate() {
                prop_assert!((f64::from(*a) - b).abs() < 3e-5 * largest, "{isa:?} logit {i}: {a}, expected {b}");
            }
        }
    }
}

/// Whether single precision can follow: no batch-norm divides by next to nothing, no value lies on a corner of its
/// activation, where rounding decides the derivative, and no feature vector is next to nothing.
pub fn well_conditioned(graph: &Graph, run: &Run) -> bool {
    graph.nodes().iter().all(|node| {
        let Some(input) = node.inputs.first().map(|i| &run.nodes[i.0]) else { return true };
        let off = |corners: &[f64]| {
            let mut all = input.iter().flatten();
            all.all(|v| corners.iter().all(|corner| (v - corner).abs() > 2e-5))
        };
        match node.op {
            Op::BatchNorm { .. } => varies(input, node.shape.c),
            Op::Activation(Activation::Relu) | Op::PRelu { .. } => off(&[0.0]),
            Op::Activation(Activation::Relu6) => off(&[0.0, 6.0]),
            Op::Activation(Activation::HardSwish | Activation::HardSigmoid) => off(&[-3.0, 3.0]),
            Op::CosineLinear { .. } => {
                let largest = input.iter().map(|x| square(x)).fold(1.0, f64::max);
                input.iter().all(|x| square(x) > 1e-2 * largest)
            }
            _ => true,
        }
    })
}

/// Whether the variance of every channel is a fair share of the largest square.
fn varies(images: &[Vec<f64>], c: usize) -> bool {
    let largest = images.iter().flatten().fold(0.0f64, |m, v| m.max(v * v));
    (0..c).all(|ch| {
        let all: Vec<f64> = images.iter().flat_map(|im| im.iter().skip(ch).step_by(c).copied()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let centred: Vec<f64> = all.iter().map(|v| v - mean).collect();
        square(&centred) / all.len() as f64 > 1e-2 * largest
    })
}

fn square(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum()
}
