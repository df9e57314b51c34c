//! The CUDA kernels on an emulated device against the slow truth: whole plans, so that what is tested is what a GPU runs, down
//! to the launches and their addresses.

mod trainer;

use proptest::prelude::*;

use super::CudaDevice;
use super::device::Device;
use super::emulator::Emulator;
use super::infer::CudaInferPlan;
use super::train::CudaTrainPlan;
use crate::builder::{ConvOptions, GraphBuilder, Padding};
use crate::error::Error;
use crate::graph::{Activation, Graph};
use crate::infer::InferPlan;
use crate::precision::Precision;
use crate::property::{config, nets::net, well_conditioned};
use crate::reference::{random_pixels, random_weights};
use crate::train::TrainPlan;
use crate::train::tests::{distance, zoo};
use crate::train::truth::{Outcome, Steps, Truth};
use crate::weights::Weights;

impl Steps for CudaTrainPlan {
    fn forward(&mut self, params: &[f32], buffers: &mut [f32], pixels: &[u8], n: usize) -> Vec<f32> {
        self.forward(params, buffers, pixels, n, 0).unwrap().to_vec()
    }

    fn backward(&mut self, _: &[f32], dlogits: &[f32], grads: &mut [f32]) {
        self.backward(dlogits, grads).unwrap();
    }
}

/// What the kernels run on: the emulator, or the first GPU where `MLCLS_TEST_DEVICE` is `cuda`.
fn device(precision: Precision, backwards: bool) -> Option<Box<dyn Device>> {
    match std::env::var("MLCLS_TEST_DEVICE").as_deref() {
        Ok("cuda") => Some(CudaDevice { ordinal: 0, precision }.open().unwrap()),
        _ => Emulator::open(precision, backwards),
    }
}

/// A step of each order of threads; `None` where kernels cannot be emulated.
fn outcomes(truth: &Truth, graph: &Graph, precision: Precision) -> Option<[Outcome; 2]> {
    let on = |backwards| {
        let device = device(precision, backwards)?;
        let mut plan = CudaTrainPlan::on(graph, truth.most(), precision, device).unwrap();
        Some(truth.step(&mut plan, format!("{} backwards: {backwards}", precision.name())))
    };
    Some([on(false)?, on(true)?])
}

fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
}

/// Whether both orders gave the same bits.
fn orders_agree([a, b]: &[Outcome; 2]) -> bool {
    same(&a.logits, &b.logits) && same(&a.buffers, &b.buffers) && same(&a.grads, &b.grads)
}

#[test]
fn single_precision_equals_the_slow_truth_in_any_order_of_threads() {
    for (size, act, kernel, padding, n) in [
        (19, Activation::HardSwish, 5, Padding::Symmetric, 3),
        (16, Activation::Silu, 3, Padding::Same, 3),
        (17, Activation::Silu, 5, Padding::Same, 9),
        (9, Activation::HardSwish, 7, Padding::Symmetric, 4),
    ] {
        let graph = zoo(size, act, kernel, padding);
        let truth = Truth::new(&graph, n);
        let Some(outcomes) = outcomes(&truth, &graph, Precision::Fp32) else { return };
        assert!(orders_agree(&outcomes), "{size}: a barrier is missing");
        truth.check_all(&outcomes);
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn any_net_equals_its_nodes_one_by_one(net in net()) {
        let graph = net.graph();
        let truth = Truth::new(&graph, net.batch);
        prop_assume!(well_conditioned(&graph, &truth.run));
        if let Some(outcomes) = outcomes(&truth, &graph, Precision::Fp32) {
            prop_assert!(orders_agree(&outcomes));
            truth.check_all(&outcomes);
        }
    }

    #[test]
    fn inference_equals_that_of_the_processor(net in net()) {
        let (graph, n) = (net.graph(), net.batch);
        let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, n, 5));
        let mut plan = InferPlan::new(&graph, &weights, n).unwrap();
        let want = plan.run(&pixels, n).unwrap();
        if let Some(device) = device(Precision::Fp32, false) {
            let mut plan = CudaInferPlan::on(&graph, &weights, n + 1, Precision::Fp32, device).unwrap();
            let got = plan.run(&pixels, n).unwrap();
            prop_assert!(distance(got, want) < 3e-5, "{got:?}, expected {want:?}");
        }
    }
}

/// Channels that are multiples of every vector, so that the kernels of the wide kind run, and products of several tiles each way.
fn broad() -> Graph {
    broad_of(21)
}

/// The same for images of this side.
fn broad_of(size: usize) -> Graph {
    let mut b = GraphBuilder::new("broad", size);
    let o = |kernel, stride| ConvOptions { kernel, stride, padding: Padding::Same, ..Default::default() };
    let x = b.input([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let x = b.conv("stem", x, 16, o(3, 2)).unwrap();
    let x = b.batch_norm("bn0", x, 1e-3, 0.1).unwrap();
    let stem = b.activation(x, Activation::Silu);
    let x = b.conv("expand", stem, 72, o(1, 1)).unwrap();
    let x = b.batch_norm("bn1", x, 1e-3, 0.1).unwrap();
    let x = b.activation(x, Activation::Silu);
    let x = b.depthwise("dw", x, o(3, 1)).unwrap();
    let x = b.batch_norm("bn2", x, 1e-3, 0.1).unwrap();
    let x = b.activation(x, Activation::Silu);
    let x = b.squeeze_excite("se", x, 40, Activation::Silu, Activation::Sigmoid);
    let x = b.conv("project", x, 16, o(1, 1)).unwrap();
    let x = b.batch_norm("bn3", x, 1e-3, 0.1).unwrap();
    let x = b.add(x, stem, 0.0).unwrap();
    let x = b.conv("dense", x, 80, o(3, 2)).unwrap();
    let x = b.batch_norm("bn4", x, 1e-3, 0.1).unwrap();
    let x = b.activation(x, Activation::Silu);
    let x = b.conv("last", x, 136, o(1, 1)).unwrap();
    let x = b.batch_norm("bn5", x, 1e-3, 0.1).unwrap();
    let map = b.activation(x, Activation::Silu);
    let features = b.global_pool(map);
    let logits = b.cosine_linear("head", features, 11, 7.0).unwrap();
    b.finish(map, features, logits).unwrap()
}

#[test]
fn broad_layers_equal_the_slow_truth() {
    let graph = broad();
    let truth = Truth::new(&graph, 10);
    let Some(outcomes) = outcomes(&truth, &graph, Precision::Fp32) else { return };
    assert!(orders_agree(&outcomes), "a barrier is missing");
    truth.check_all(&outcomes);
}

/// What rounding each map and factor to so many bits may do to a net of seven layers.
#[test]
fn shorter_formats_differ_by_their_rounding() {
    let graph = broad();
    let truth = Truth::new(&graph, 6);
    let mut plan = TrainPlan::new(&graph, truth.most()).unwrap();
    let want = truth.step(&mut plan, String::new());
    for (precision, bits) in [(Precision::Tf32, 11), (Precision::Bf16, 8), (Precision::Fp16, 11)] {
        let Some(outcomes) = outcomes(&truth, &graph, precision) else { return };
        let who = precision.name();
        assert!(orders_agree(&outcomes), "{who}: a barrier is missing");
        let ulp = 0.5f64.powi(bits);
        for (what, got, want, ulps) in [
            ("logits", &outcomes[0].logits, &want.logits, 2.0),
            ("statistics", &outcomes[0].buffers, &want.buffers, 0.1),
            ("gradients", &outcomes[0].grads, &want.grads, 4.0),
        ] {
            let d = distance(got, want);
            assert!(d > 0.01 * ulp * ulps && d < ulp * ulps, "{who} {what}: {d:e} beside {ulp:e}");
        }
    }
}

#[test]
fn dropout_and_drop_path_drop_what_the_processor_drops() {
    let mut b = GraphBuilder::new("drop", 4);
    let x = b.input([0.0; 3], [1.0; 3]);
    let x = b.conv("c", x, 8, ConvOptions::default()).unwrap();
    let y = b.conv("d", x, 8, ConvOptions::default()).unwrap();
    let map = b.add(y, x, 0.4).unwrap();
    let features = b.global_pool(map);
    let out = b.dropout(features, 0.3);
    let graph = b.finish(map, features, out).unwrap();
    let (weights, pixels) = (random_weights(&graph, 3), random_pixels(&graph, 9, 5));
    let mut plan = TrainPlan::new(&graph, 9).unwrap();
    let Some(device) = device(Precision::Fp32, false) else { return };
    let mut emulated = CudaTrainPlan::on(&graph, 9, Precision::Fp32, device).unwrap();
    for seed in [1, 2, u64::MAX] {
        let Weights { params, mut buffers } = weights.clone();
        let want = plan.forward(&params, &mut buffers, &pixels, 9, seed).unwrap().to_vec();
        let got = emulated.forward(&params, &mut buffers, &pixels, 9, seed).unwrap();
        assert!(want.contains(&0.0) && want.iter().zip(got).all(|(a, b)| (*a == 0.0) == (*b == 0.0)));
        assert!(distance(got, &want) < 1e-5);
        let (mut a, mut b) = (vec![0.0; params.len()], vec![0.0; params.len()]);
        plan.backward(&params, &want, &mut a).unwrap();
        emulated.backward(&want, &mut b).unwrap();
        assert!(distance(&b, &a) < 1e-5);
    }
}

#[test]
fn wrong_sizes_and_orders_are_errors() {
    let graph = zoo(16, Activation::Relu, 3, Padding::Symmetric);
    let Weights { params, mut buffers } = random_weights(&graph, 1);
    let Some(device) = device(Precision::Bf16, false) else { return };
    let mut plan = CudaTrainPlan::on(&graph, 2, Precision::Bf16, device).unwrap();
    let pixels = random_pixels(&graph, 2, 5);
    let mut grads = vec![0.0; params.len()];
    assert!(matches!(plan.backward(&[0.0; 12], &mut grads), Err(Error::NoForward)));
    let e = plan.forward(&params, &mut buffers, &pixels, 3, 0);
    assert!(matches!(e, Err(Error::Batch { max: 2, found: 3 })));
    let e = plan.forward(&params, &mut buffers, &pixels[1..], 2, 0);
    assert!(matches!(e, Err(Error::Length { what: "pixels", .. })));
    plan.forward(&params, &mut buffers, &pixels, 2, 0).unwrap();
    assert!(plan.backward(&[0.0; 11], &mut grads).is_err());
    let profile = plan.profile(2).unwrap();
    assert!(profile.packing > 0.0 && profile.stages.iter().all(|s| s.forward.seconds > 0.0));
    assert!((profile.outside()).abs() < 1e-9 * profile.seconds);
    let other = self::device(Precision::Bf16, false).unwrap();
    assert!(matches!(CudaTrainPlan::on(&graph, 0, Precision::Bf16, other), Err(Error::Batch { .. })));
}
