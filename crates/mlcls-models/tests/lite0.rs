//! Real ImageNet weights of EfficientNet-Lite0 on photographs, against timm's own activations.
//!
//! The files are too big for the repository; without them the test says so and passes.
#![allow(clippy::unwrap_used)] // helpers of tests may panic

mod common;

use std::path::Path;

use common::{Fixture, K, distance, sketch};
use mlcls_engine::{InferPlan, Weights};
use mlcls_models::{Head, ModelOptions, WeightFile, build};
use safetensors::SafeTensors;

fn tensor(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    match view.dtype() {
        safetensors::Dtype::F16 => {
            let values = view.data().as_chunks::<2>().0;
            values.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
        _ => view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    }
}

#[test]
fn imagenet_logits_are_timms() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/weights");
    let path = folder.join("tf_efficientnet_lite0.fp16.safetensors");
    if !path.is_file() {
        println!("skipped: ../shared/weights is not here");
        return;
    }
    let reference = std::fs::read(folder.join("tf_efficientnet_lite0.reference.safetensors")).unwrap();
    let reference = SafeTensors::deserialize(&reference).unwrap();

    // The file's own classifier in place of our head.
    let options = ModelOptions { classes: 1000, head: Some(Head::Linear), ..Default::default() };
    let model = build("efficientnet_lite0", &options).unwrap();
    let mut weights = Weights::init(&model.graph, 0);
    let report = WeightFile::open(&path).unwrap().backbone(&model, &mut weights).unwrap();
    assert_eq!(report.skipped, ["classifier.bias", "classifier.weight"]);
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (from, to) in [("classifier.weight", "head.weight"), ("classifier.bias", "head.bias")] {
        weights.tensor_mut(&model.graph, to).unwrap().1.copy_from_slice(&tensor(&file, from));
    }

    // The reference's input is normalised and NCHW; the photographs were uint8, so this loses nothing.
    let input = tensor(&reference, "input");
    let (batch, side) = (4, model.size());
    let pixels: Vec<u8> = (0..input.len())
        .map(|i| {
            let (n, p, c) = (i / (3 * side * side), i / 3 % (side * side), i % 3);
            let v = input[(n * 3 + c) * side * side + p];
            ((v * 0.5 + 0.5) * 255.0).round() as u8
        })
        .collect();
    let mut plan = InferPlan::new(&model.graph, &weights, batch).unwrap();
    let logits = plan.run(&pixels, batch).unwrap();

    // timm with the same float16 weights, in double precision (xtask/reference/weights.py).
    let fixture = Fixture::open("lite0_photos.safetensors");
    for (ours, row) in logits.chunks_exact(1000).zip(fixture.tensor("logits").chunks_exact(1 + K)) {
        let error = distance(&sketch("logits", ours)[1..], &row[1..]) / row[0];
        assert!(error <= 1e-4, "relative error {error:.1e}");
    }
    // timm with the published float32 weights: float16 moves a logit by up to 0.021.
    let expected = tensor(&reference, "logits");
    let worst = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 0.022, "a logit is off by {worst}");

    // The pooled features, through a head whose rows are vectors of +-1.
    let model = build("efficientnet_lite0", &ModelOptions { classes: K, ..options }).unwrap();
    let mut weights = Weights::init(&model.graph, 0);
    WeightFile::open(&path).unwrap().backbone(&model, &mut weights).unwrap();
    common::sketch_head(&model, &mut weights);
    let mut plan = InferPlan::new(&model.graph, &weights, batch).unwrap();
    let dots = plan.run(&pixels, batch).unwrap();
    for (dots, row) in dots.chunks_exact(K).zip(fixture.tensor("features").chunks_exact(1 + K)) {
        let dots: Vec<f64> = dots.iter().map(|v| f64::from(*v)).collect();
        let error = distance(&dots, &row[1..]) / row[0];
        assert!(error <= 1e-4, "features: relative error {error:.1e}");
    }
}
