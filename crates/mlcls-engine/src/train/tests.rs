//! Training plans against the slow truth, and their other promises: threads, errors, random depth.

use std::sync::{Barrier, Mutex};

use super::truth::Truth;
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

#[test]
fn values_statistics_and_gradients_equal_the_slow_truth() {
    // Not two images: their difference, which is all that the head's batch-norm then sees, has lost half its digits.
    for (size, act, kernel, padding, n) in [
        (19, Activation::HardSwish, 5, Padding::Symmetric, 3),
        (16, Activation::Silu, 3, Padding::Same, 3),
        (17, Activation::Silu, 5, Padding::Same, 9),
        (9, Activation::HardSwish, 7, Padding::Symmetric, 4),
    ] {
        Truth::new(&zoo(size, act, kernel, padding), n).check();
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

/// Length of the difference beside that of what is expected.
pub fn distance(got: &[f32], want: &[f32]) -> f64 {
    let length = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    length(&mut got.iter().zip(want).map(|(a, b)| a - b)) / length(&mut want.iter().copied()).max(1e-30)
}

/// Sums over threads that call it together.
fn summing(all: &Barrier, sums: &Mutex<Vec<f64>>, here: &mut [f64]) {
    let sums = || sums.lock().unwrap();
    sums().resize(here.len(), 0.0);
    all.wait();
    sums().iter_mut().zip(&*here).for_each(|(sum, value)| *sum += value);
    all.wait();
    here.copy_from_slice(&sums());
    if all.wait().is_leader() {
        sums().clear();
    }
    all.wait();
}

#[test]
fn synchronised_plans_are_the_plan_of_the_whole_batch() {
    let graph = zoo(19, Activation::HardSwish, 5, Padding::Symmetric);
    let weights = random_weights(&graph, 3);
    let (pixels, n) = (random_pixels(&graph, 9, 5), 9);
    let step = |images: std::ops::Range<usize>, sum: Option<SumOver>| {
        let (mut w, count) = (weights.clone(), images.len());
        let pixels = &pixels[images.start * 19 * 19 * 3..images.end * 19 * 19 * 3];
        let mut plan = TrainPlan::new(&graph, n).unwrap();
        let mut grads = vec![0.0; w.params.len()];
        let mut sum = sum;
        let logits = match &mut sum {
            Some(sum) => plan.synced(Some(sum)).forward(&w.params, &mut w.buffers, pixels, count, 0),
            None => plan.forward(&w.params, &mut w.buffers, pixels, count, 0),
        };
        // A gradient that is not the same for all images.
        let logits = logits.unwrap().to_vec();
        match &mut sum {
            Some(sum) => plan.synced(Some(sum)).backward(&w.params, &logits, &mut grads).unwrap(),
            None => plan.backward(&w.params, &logits, &mut grads).unwrap(),
        }
        (logits, w.buffers, grads)
    };
    let whole = step(0..n, None);
    let (all, sums) = (Barrier::new(2), Mutex::new(vec![]));
    let part = |images| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| step(images, Some(&mut |values: &mut [f64]| summing(&all, &sums, values))))
    };
    let [first, second] = std::thread::scope(|scope| {
        [0..4, 4..n].map(|images| scope.spawn(|| part(images))).map(|thread| thread.join().unwrap())
    });
    assert!(first.1 == second.1, "both have the same statistics");
    let grads: Vec<f32> = first.2.iter().zip(&second.2).map(|(a, b)| a + b).collect();
    for (what, got, want) in [
        ("logits", &[first.0, second.0].concat(), &whole.0),
        ("statistics", &first.1, &whole.1),
        ("gradients", &grads, &whole.2),
    ] {
        let d = distance(got, want);
        assert!(d < 1e-5, "{what}: {d:e}");
    }
    // And each by itself is something else.
    assert!(step(0..4, None).1 != whole.1);
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

#[test]
fn an_activation_behind_a_sum_is_refused() {
    let mut b = GraphBuilder::new("sum", 4);
    let x = b.input([0.5; 3], [0.5; 3]);
    let x = b.conv("a", x, 8, ConvOptions::default()).unwrap();
    let y = b.conv("b", x, 8, ConvOptions::default()).unwrap();
    let sum = b.add(y, x, 0.0).unwrap();
    let map = b.activation(sum, Activation::Relu);
    let features = b.global_pool(map);
    let graph = b.finish(map, features, features).unwrap();
    let e = TrainPlan::new(&graph, 1).unwrap_err().to_string();
    assert!(e.contains("must directly follow a convolution"), "{e}");
}

#[test]
fn a_node_without_a_reader_and_an_output_with_one_are_refused() {
    let mut b = GraphBuilder::new("loose", 4);
    let x = b.input([0.5; 3], [0.5; 3]);
    let map = b.conv("a", x, 8, ConvOptions::default()).unwrap();
    let features = b.global_pool(map);
    b.cosine_linear("head", features, 3, 1.0).unwrap();
    let graph = b.finish(map, features, features).unwrap();
    let e = TrainPlan::new(&graph, 1).unwrap_err().to_string();
    assert!(e.contains("read by another node") || e.contains("no node reads it"), "{e}");

    let mut b = GraphBuilder::new("unread", 4);
    let x = b.input([0.5; 3], [0.5; 3]);
    let map = b.conv("a", x, 8, ConvOptions::default()).unwrap();
    b.conv("unread", map, 8, ConvOptions::default()).unwrap();
    let features = b.global_pool(map);
    let graph = b.finish(map, features, features).unwrap();
    let e = TrainPlan::new(&graph, 1).unwrap_err().to_string();
    assert!(e.contains("unread") && e.contains("no node reads it"), "{e}");
}
