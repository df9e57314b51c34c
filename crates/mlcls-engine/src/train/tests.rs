//! Plans against the slow truth of [`reference`](crate::reference): values, running statistics and every gradient.

use super::*;
use crate::builder::{ConvOptions, GraphBuilder, Padding};
use crate::graph::{Activation, Init, NodeId};
use crate::reference::{random_pixels, random_weights, run};
use crate::weights::Weights;

/// A small net with everything in it: stem, depthwise-separable block with a shortcut onto an activated value,
/// inverted residuals with squeeze-excite, dense 3x3 with and without stride, and MobileNet's head.
pub fn zoo(size: usize, act: Activation, kernel: usize, padding: Padding) -> Graph {
    let mut b = GraphBuilder::new("zoo", size);
    let o = |kernel, stride| ConvOptions { kernel, stride, padding, ..Default::default() };
    let x = b.input([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let x = b.conv("stem", x, 12, o(3, 2)).unwrap();
    let x = b.batch_norm("bn0", x, 1e-3, 0.1).unwrap();
    let stem = b.activation(x, act);
    let x = b.depthwise("dw0", stem, o(3, 1)).unwrap();
    let x = b.batch_norm("bn1", x, 1e-5, 0.1).unwrap();
    let x = b.activation(x, act);
    let x = b.squeeze_excite("se0", x, 5, Activation::Relu, Activation::HardSigmoid);
    let x = b.conv("pw0", x, 12, o(1, 1)).unwrap();
    let x = b.batch_norm("bn2", x, 1e-5, 0.1).unwrap();
    let x = b.add(x, stem, 0.0).unwrap();
    let x = b.conv("pw1", x, 35, o(1, 1)).unwrap();
    let x = b.batch_norm("bn3", x, 1e-5, 0.1).unwrap();
    let x = b.activation(x, act);
    let x = b.depthwise("dw1", x, o(kernel, 2)).unwrap();
    let x = b.batch_norm("bn4", x, 1e-5, 0.1).unwrap();
    let x = b.activation(x, act);
    let x = b.squeeze_excite("se1", x, 8, Activation::Silu, Activation::Sigmoid);
    let x = b.conv("pw2", x, 17, o(1, 1)).unwrap();
    let x = b.batch_norm("bn5", x, 1e-5, 0.1).unwrap();
    let y = b.conv("dense", x, 21, o(3, 2)).unwrap();
    let y = b.batch_norm("bn6", y, 1e-5, 0.1).unwrap();
    let y = b.activation(y, act);
    let z = b.conv("dense2", y, 21, o(3, 1)).unwrap();
    let z = b.batch_norm("bn7", z, 1e-5, 0.1).unwrap();
    let z = b.activation(z, act);
    let z = b.add(z, y, 0.0).unwrap();
    let map = b.conv("last", z, 40, ConvOptions { bias: true, ..Default::default() }).unwrap();
    let map = b.activation(map, act);
    let f = b.global_pool(map);
    let h = b.linear("hidden", f, 24, Init::Normal(0.3)).unwrap();
    let h = b.batch_norm("bn8", h, 1e-5, 0.1).unwrap();
    let h = b.prelu("prelu", h);
    let logits = b.cosine_linear("head", h, 6, 7.0).unwrap();
    b.finish(map, f, logits).unwrap()
}

fn objective(graph: &Graph, params: &[f64], buffers: &[f32], pixels: &[u8], n: usize, k: &[f32]) -> f64 {
    let r = run(graph, params, buffers, pixels, n, true);
    let logits = r.nodes[graph.output().0].iter().flatten();
    logits.zip(k).map(|(z, k)| z * f64::from(*k)).sum()
}

fn compare(graph: &Graph, n: usize, isa: Isa) {
    let mut weights = random_weights(graph, 3);
    let start = weights.clone();
    let pixels = random_pixels(graph, n, 5);
    let params: Vec<f64> = weights.params.iter().map(|&v| f64::from(v)).collect();
    let want = run(graph, &params, &weights.buffers, &pixels, n, true);

    // A larger plan than the batch, and memory full of other numbers from a step before.
    let mut plan = TrainPlan::with_isa(graph, n + 2, isa).unwrap();
    let other = random_pixels(graph, n + 2, 77);
    let mut spoilt = start.buffers.clone();
    let len = plan.forward(&start.params, &mut spoilt, &other, n + 2, 0).unwrap().len();
    let mut grads = vec![f32::NAN; params.len()];
    plan.backward(&start.params, &vec![1.0; len], &mut grads).unwrap();
    grads.fill(f32::NAN);

    let logits = plan.forward(&weights.params, &mut weights.buffers, &pixels, n, 0).unwrap().to_vec();
    let truth: Vec<f64> = want.nodes[graph.output().0].concat();
    for (i, (a, b)) in logits.iter().zip(&truth).enumerate() {
        assert!((f64::from(*a) - b).abs() < 2e-4, "{isa:?} logit {i}: {a}, expected {b}");
    }
    for (i, (a, b)) in weights.buffers.iter().zip(&want.buffers).enumerate() {
        assert!((f64::from(*a) - b).abs() < 1e-4 * b.abs().max(1.0), "{isa:?} buffer {i}: {a}, expected {b}");
    }

    let k: Vec<f32> = (0..logits.len()).map(|i| ((i * 37 % 11) as f32 - 5.0) / 5.0).collect();
    plan.backward(&weights.params, &k, &mut grads).unwrap();
    // Every tensor: the derivative along its own gradient and along a fixed direction, by central differences.
    for spec in graph.params() {
        let g: Vec<f64> = grads[spec.range()].iter().map(|&v| f64::from(v)).collect();
        let norm = g.iter().map(|v| v * v).sum::<f64>().sqrt();
        let wave: Vec<f64> = (0..g.len()).map(|i| ((i * 29 + 3) % 17) as f64 / 8.0 - 1.0).collect();
        for (what, direction) in [("own", &g), ("wave", &wave)] {
            let length = direction.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
            let h = 1e-5;
            let at = |sign: f64| {
                let mut p = params.clone();
                let unit = direction.iter().map(|v| v / length);
                p[spec.range()].iter_mut().zip(unit).for_each(|(p, v)| *p += sign * h * v);
                objective(graph, &p, &start.buffers, &pixels, n, &k)
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * h);
            let got: f64 = g.iter().zip(direction).map(|(g, v)| g * v / length).sum();
            // A shift in front of a batch-norm has no gradient: what is left of it is rounding.
            let bound = if norm < 1e-4 { 1e-5 } else { 3e-5 * norm };
            assert!(
                (got - slope).abs() < bound,
                "{isa:?} n={n} {} {what}: {got}, expected {slope}",
                spec.name
            );
        }
    }
}

#[test]
fn values_statistics_and_gradients_equal_the_slow_truth() {
    for isa in Isa::available() {
        compare(&zoo(19, Activation::HardSwish, 5, Padding::Symmetric), 3, isa);
        // Not two images: their difference, which is all that the head's batch-norm then sees, has lost half its digits.
        compare(&zoo(16, Activation::Silu, 3, Padding::Same), 3, isa);
        compare(&zoo(17, Activation::Silu, 5, Padding::Same), 9, isa);
        compare(&zoo(9, Activation::HardSwish, 7, Padding::Symmetric), 4, isa);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let graph = zoo(32, Activation::HardSwish, 5, Padding::Symmetric);
    let pixels = random_pixels(&graph, 11, 5);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut w = random_weights(&graph, 3);
            let mut plan = TrainPlan::new(&graph, 11).unwrap();
            let logits = plan.forward(&w.params, &mut w.buffers, &pixels, 11, 0).unwrap().to_vec();
            let mut grads = vec![0.0; w.params.len()];
            plan.backward(&w.params, &logits, &mut grads).unwrap();
            (logits, grads, w.buffers)
        })
    };
    let one = run(1);
    for threads in [2, 3, 7] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn wrong_sizes_and_orders_are_errors() {
    let graph = zoo(16, Activation::Relu, 3, Padding::Symmetric);
    let mut w = Weights::init(&graph, 1);
    let mut plan = TrainPlan::new(&graph, 2).unwrap();
    let pixels = random_pixels(&graph, 2, 5);
    let mut grads = vec![0.0; w.params.len()];
    assert!(matches!(plan.backward(&w.params, &[0.0; 12], &mut grads), Err(Error::NoForward)));
    let e = plan.forward(&w.params, &mut w.buffers, &pixels, 3, 0);
    assert!(matches!(e, Err(Error::Batch { max: 2, found: 3 })));
    let e = plan.forward(&w.params, &mut w.buffers, &pixels[1..], 2, 0);
    assert!(matches!(e, Err(Error::Length { what: "pixels", .. })));
    plan.forward(&w.params, &mut w.buffers, &pixels, 2, 0).unwrap();
    assert!(plan.backward(&w.params, &[0.0; 11], &mut grads).is_err());
}

#[test]
fn drop_path_and_dropout_keep_the_mean_and_depend_on_the_seed_alone() {
    let mut b = GraphBuilder::new("drop", 4);
    let x = b.input([0.0; 3], [1.0; 3]);
    let x = b.conv("c", x, 8, ConvOptions::default()).unwrap();
    let y = b.conv("d", x, 8, ConvOptions::default()).unwrap();
    let map = b.add(y, x, 0.3).unwrap();
    let f: NodeId = b.global_pool(map);
    let out = b.dropout(f, 0.25);
    let graph = b.finish(map, f, out).unwrap();
    let mut w = random_weights(&graph, 3);
    let pixels = random_pixels(&graph, 16, 5);
    let params: Vec<f64> = w.params.iter().map(|&v| f64::from(v)).collect();
    let want = run(&graph, &params, &w.buffers, &pixels, 16, true).nodes[out.0].concat();
    let mut plan = TrainPlan::new(&graph, 16).unwrap();
    let mut mean = vec![0f64; want.len()];
    let rounds = 4000;
    for seed in 0..rounds {
        let z = plan.forward(&w.params, &mut w.buffers, &pixels, 16, seed).unwrap();
        mean.iter_mut().zip(z).for_each(|(m, z)| *m += f64::from(*z) / rounds as f64);
    }
    let size = want.iter().map(|v| v.abs()).sum::<f64>() / want.len() as f64;
    for (a, b) in mean.iter().zip(&want) {
        assert!((a - b).abs() < 0.15 * size, "{a}, expected about {b}");
    }
    let first = plan.forward(&w.params, &mut w.buffers, &pixels, 16, 9).unwrap().to_vec();
    assert_eq!(plan.forward(&w.params, &mut w.buffers, &pixels, 16, 9).unwrap(), first);
    assert_ne!(plan.forward(&w.params, &mut w.buffers, &pixels, 16, 10).unwrap(), first);

    // Backward drops what forward dropped: the output is linear in the second weight.
    let k = vec![1.0; first.len()];
    let mut grads = vec![0.0; w.params.len()];
    plan.forward(&w.params, &mut w.buffers, &pixels, 16, 9).unwrap();
    plan.backward(&w.params, &k, &mut grads).unwrap();
    let spec = &graph.params()[1];
    let moved: f32 = spec.range().map(|i| grads[i] * 0.5).sum();
    let mut shifted = w.params.clone();
    shifted[spec.range()].iter_mut().for_each(|v| *v += 0.5);
    let after = plan.forward(&shifted, &mut w.buffers, &pixels, 16, 9).unwrap();
    let change: f32 = after.iter().zip(&first).map(|(a, b)| a - b).sum();
    assert!((change - moved).abs() < 1e-3 * change.abs(), "{change} {moved}");
}
