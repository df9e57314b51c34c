//! Logits, running statistics and the gradient of every parameter against timm in double precision.
//!
//! The references come from `xtask/reference/models.py`, which records its versions in the fixtures. Gradients are
//! compared through sketches: the mean square of the differences of `K` dot products with vectors of +-1 is an unbiased
//! estimate of the squared L2 norm of the difference of the tensors.
#![allow(clippy::unwrap_used)] // helpers of tests may panic

mod common;

use common::{CLASSES, Fixture, K, distance, relative, sketch, uniform};
use mlcls_engine::{Graph, InferPlan, TrainPlan, Weights};
use mlcls_models::{Head, ModelOptions, build};

const TOLERANCE: f64 = 1e-4;

/// Compares tensors with the rows of a table of sketches; returns the worst relative error of those that are not zero.
///
/// A shift that a later batch-norm takes away again has no gradient: there the reference is rounding of float64 and ours
/// is rounding of float32, which must stay below `TOLERANCE` of a hundredth of the whole gradient.
fn compare(what: &str, tensors: Vec<(&str, &[f32])>, table: &[f64]) {
    let mut tensors = tensors;
    tensors.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(tensors.len() * (1 + K), table.len(), "{what}: number of tensors");
    let rows: Vec<&[f64]> = table.chunks_exact(1 + K).collect();
    let total = rows.iter().map(|r| r[0] * r[0]).sum::<f64>().sqrt();
    let mut bad = vec![];
    for ((name, values), row) in tensors.into_iter().zip(rows) {
        let ours = sketch(name, values);
        if row[0] <= 1e-9 * total {
            if ours[0] > 0.01 * TOLERANCE * total {
                bad.push(format!("{name}: expected zero, found {:.1e} of the whole", ours[0] / total));
            }
            continue;
        }
        let error = (distance(&ours[1..], &row[1..]) / row[0]).max((ours[0] / row[0] - 1.0).abs());
        if error > TOLERANCE {
            bad.push(format!("{name}: relative error {error:.1e}"));
        }
    }
    assert!(bad.is_empty(), "{what}: {} tensors differ\n{}", bad.len(), bad.join("\n"));
}

struct Case {
    graph: Graph,
    weights: Weights,
    fixture: Fixture,
    batch: usize,
    pixels: Vec<u8>,
}

fn case(name: &str, size: usize) -> Case {
    let graph = common::model(name, size).graph;
    let fixture = Fixture::open(&format!("{name}_{size}.safetensors"));
    let batch = fixture.text("batch").parse().unwrap();
    let pixels = common::pixels(batch, size, &fixture.text("salt"));
    Case { weights: common::weights(&graph), graph, fixture, batch, pixels }
}

fn train(name: &str, size: usize) {
    let Case { graph, mut weights, fixture, batch, pixels } = case(name, size);
    let mut plan = TrainPlan::new(&graph, batch).unwrap();
    let logits = plan.forward(&weights.params, &mut weights.buffers, &pixels, batch, 1).unwrap();
    let error = relative(logits, &fixture.tensor("train_logits"));
    assert!(error <= TOLERANCE, "{name} at {size}: training-mode logits, relative error {error:.1e}");

    let named = |b: &'_ mlcls_engine::BufferSpec| (b.name.clone(), b.range());
    let ranges: Vec<_> = graph.buffers().iter().map(named).collect();
    let buffers = ranges.iter().map(|(n, r)| (n.as_str(), &weights.buffers[r.clone()])).collect();
    compare(&format!("{name} at {size}: running statistics"), buffers, &fixture.tensor("buffers"));

    if fixture.has("grads") {
        let loss = uniform("loss");
        let dlogits: Vec<f32> = (0..batch * CLASSES).map(|i| loss(i) as f32).collect();
        let mut grads = vec![f32::NAN; graph.param_len()];
        plan.backward(&weights.params, &dlogits, &mut grads).unwrap();
        let tensors = graph.params().iter().map(|p| (p.name.as_str(), &grads[p.range()])).collect();
        compare(&format!("{name} at {size}: gradients"), tensors, &fixture.tensor("grads"));
    }
}

fn infer(name: &str, size: usize) {
    let Case { graph, weights, fixture, batch, pixels } = case(name, size);
    let mut plan = InferPlan::new(&graph, &weights, batch).unwrap();
    let error = relative(plan.run(&pixels, batch).unwrap(), &fixture.tensor("eval_logits"));
    assert!(error <= TOLERANCE, "{name} at {size}: logits, relative error {error:.1e}");

    // The pooled features, seen through a linear head whose rows are vectors of +-1.
    let options = ModelOptions { classes: K, size, head: Some(Head::Linear), ..Default::default() };
    let model = build(name, &options).unwrap();
    let mut weights = common::weights(&model.graph);
    common::sketch_head(&model, &mut weights);
    let mut plan = InferPlan::new(&model.graph, &weights, batch).unwrap();
    let dots = plan.run(&pixels, batch).unwrap();
    for (dots, row) in dots.chunks_exact(K).zip(fixture.tensor("eval_features").chunks_exact(1 + K)) {
        let dots: Vec<f64> = dots.iter().map(|v| f64::from(*v)).collect();
        let error = distance(&dots, &row[1..]) / row[0];
        assert!(error <= TOLERANCE, "{name} at {size}: features, relative error {error:.1e}");
    }
}

macro_rules! parity {
    ($($test:ident: $run:ident $name:literal $size:literal;)*) => {
        $(#[test] fn $test() { $run($name, $size) })*
    };
}

parity! {
    mobilenet_v3_large_trains_small: train "mobilenetv3_large_100" 40;
    mobilenet_v3_large_trains_224: train "mobilenetv3_large_100" 224;
    mobilenet_v3_large_infers_small: infer "mobilenetv3_large_100" 40;
    mobilenet_v3_large_infers_224: infer "mobilenetv3_large_100" 224;
    efficientnet_b0_trains_small: train "efficientnet_b0" 80;
    efficientnet_b0_trains_224: train "efficientnet_b0" 224;
    efficientnet_b0_infers_small: infer "efficientnet_b0" 80;
    efficientnet_b0_infers_224: infer "efficientnet_b0" 224;
    efficientnet_v2_s_trains_small: train "tf_efficientnetv2_s" 80;
    efficientnet_v2_s_trains_224: train "tf_efficientnetv2_s" 224;
    efficientnet_v2_s_infers_small: infer "tf_efficientnetv2_s" 80;
    efficientnet_v2_s_infers_224: infer "tf_efficientnetv2_s" 224;
    efficientnet_lite0_trains_small: train "tf_efficientnet_lite0" 40;
    efficientnet_lite0_trains_224: train "tf_efficientnet_lite0" 224;
    efficientnet_lite0_infers_small: infer "tf_efficientnet_lite0" 40;
    efficientnet_lite0_infers_224: infer "tf_efficientnet_lite0" 224;
}
