//! Every kind of node, input and output gives the engine's numbers.

use mlcls_engine::{Activation, InferPlan, Padding};
use mlcls_export::onnx::{Card, InputFormat, Options, Output, export};
use mlcls_models::{Head, Model};
use prost::Message;

use crate::interpreter;
use crate::nets::{CLASSES, Net, card, net, pixels, weights};
use crate::wire::{self, Tensor};

/// Difference that float32 in the engine may make.
const TOLERANCE: f64 = 2e-5;

/// uint8 NHWC pixels in the layout of an input.
pub fn as_input(model: &Model, pixels: &[u8], format: InputFormat) -> Tensor {
    let side = model.size();
    let n = pixels.len() / (side * side * 3);
    if format == InputFormat::ByteNhwc {
        let values = pixels.iter().map(|&v| f64::from(v)).collect();
        return Tensor { dims: vec![n, side, side, 3], values };
    }
    let mut values = vec![];
    for image in pixels.chunks_exact(side * side * 3) {
        for channel in 0..3 {
            values.extend(image.iter().skip(channel).step_by(3).map(|&v| f64::from(v)));
        }
    }
    Tensor { dims: vec![n, 3, side, side], values }
}

#[track_caller]
fn assert_near(found: &Tensor, expected: &[f32], dims: &[usize], context: &str) {
    assert_eq!(found.dims, dims, "{context}");
    for (i, (a, b)) in found.values.iter().zip(expected).enumerate() {
        assert!((a - f64::from(*b)).abs() < TOLERANCE, "{context}, element {i}: {a}, the engine has {b}");
    }
}

#[test]
fn every_node_at_odd_and_even_sizes_gives_the_engines_logits() {
    let acts = [
        Activation::Identity,
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSwish,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::HardSigmoid,
    ];
    let formats = [InputFormat::FloatNchw, InputFormat::ByteNchw, InputFormat::ByteNhwc];
    for (case, act) in acts.into_iter().enumerate() {
        for (size, padding) in [
            (13 + case, Padding::Same),
            (14 + case, Padding::Same),
            (15 + case, Padding::Symmetric),
            (16 + case, Padding::Symmetric),
        ] {
            let gate = if case % 2 == 0 { Activation::Sigmoid } else { Activation::HardSigmoid };
            let choice = Net { size, padding, act, gate, head: Head::ALL[case % 3] };
            let model = net(choice);
            let (weights, pixels) = (weights(&model), pixels(&model, 3));
            let mut plan = InferPlan::new(&model.graph, &weights, 3).unwrap();
            let input = formats[case % 3];
            let options = Options { input, features: true, ..Options::default() };
            let bytes = export(&model, &weights, &card(CLASSES), &options).unwrap().encode_to_vec();
            let file = wire::Model::parse(&bytes);
            for n in [1, 3] {
                let pixels = &pixels[..pixels.len() / 3 * n];
                let logits = plan.run(pixels, n).unwrap().to_vec();
                let values = interpreter::run(&file, as_input(&model, pixels, input));
                assert_near(&values["logits"], &logits, &[n, CLASSES], &format!("{choice:?}"));
                let features = plan.features().unwrap();
                assert_near(&values["feature_vector"], features, &[n, 9], &format!("{choice:?}"));
            }
        }
    }
}

#[test]
fn probabilities_are_the_scores_of_the_logits() {
    let model = net(Net {
        size: 17,
        padding: Padding::Same,
        act: Activation::Silu,
        gate: Activation::Sigmoid,
        head: Head::Cosine,
    });
    let (weights, pixels) = (weights(&model), pixels(&model, 2));
    let mut plan = InferPlan::new(&model.graph, &weights, 2).unwrap();
    let logits = plan.run(&pixels, 2).unwrap();
    assert!(logits.iter().any(|l| l.abs() > 1.0), "the head's scale must show: {logits:?}");
    let options = Options { output: Output::Probabilities, ..Options::default() };
    let lines: Vec<[f32; 2]> = (0..CLASSES).map(|c| [0.5 + c as f32 / 4.0, 0.3 - c as f32 / 8.0]).collect();
    for calibration in [None, Some(lines)] {
        let score = |(i, logit): (usize, &f32)| {
            let [slope, offset] = calibration.as_ref().map_or([1.0, 0.0], |lines| lines[i % CLASSES]);
            1.0 / (1.0 + (-(slope * logit + offset)).exp())
        };
        let scores: Vec<f32> = logits.iter().enumerate().map(score).collect();
        let card = Card { calibration: calibration.clone(), ..card(CLASSES) };
        let file = wire::Model::parse(&export(&model, &weights, &card, &options).unwrap().encode_to_vec());
        let values = interpreter::run(&file, as_input(&model, &pixels, InputFormat::FloatNchw));
        assert_near(&values["probabilities"], &scores, &[2, CLASSES], &format!("{calibration:?}"));
    }
}

/// What candle runs has a description of its own in ONNX, and so a test of its own: every weight is away from its start.
#[test]
fn dinov2_gives_the_logits_features_and_map_of_candle() {
    let options = mlcls_models::ModelOptions { classes: CLASSES, size: 28, ..Default::default() };
    let model = mlcls_models::build("dinov2_small", &options).unwrap();
    let (weights, pixels) = (weights(&model), pixels(&model, 2));
    let mut plan = InferPlan::with_feature_map(&model.graph, &weights, 2).unwrap();
    let logits = plan.run(&pixels, 2).unwrap().to_vec();
    let options = Options { input: InputFormat::ByteNhwc, features: true, ..Options::default() };
    let bytes = export(&model, &weights, &card(CLASSES), &options).unwrap().encode_to_vec();
    let file = wire::Model::parse(&bytes);
    file.assert_in_order("dinov2");
    let values = interpreter::run(&file, as_input(&model, &pixels, InputFormat::ByteNhwc));
    assert_near(&values["logits"], &logits, &[2, CLASSES], "logits");
    assert_near(&values["feature_vector"], plan.features().unwrap(), &[2, 768], "features");
    let rows = plan.feature_map().unwrap().chunks_exact(4 * 768);
    let channels_first = |map: &[f32]| (0..4 * 768).map(|i| map[i % 4 * 768 + i / 4]).collect::<Vec<f32>>();
    let map: Vec<f32> = rows.flat_map(channels_first).collect();
    assert_near(&values["dinov2"], &map, &[2, 768, 2, 2], "map");
}

#[test]
fn the_registered_models_give_the_engines_logits() {
    for (name, size) in [
        ("mobilenet_v3_large", 33),
        ("efficientnet_b0", 32),
        ("efficientnet_v2_s", 33),
        ("efficientnet_lite0", 35),
        ("efficientnet_lite0", 34),
    ] {
        for head in [Head::Cosine, Head::NonLinear] {
            let options =
                mlcls_models::ModelOptions { classes: 3, size, head: Some(head), ..Default::default() };
            let model = mlcls_models::build(name, &options).unwrap();
            let (weights, pixels) = (mlcls_engine::Weights::init(&model.graph, 5), pixels(&model, 1));
            let mut plan = InferPlan::new(&model.graph, &weights, 1).unwrap();
            let logits = plan.run(&pixels, 1).unwrap();
            let model_proto = export(&model, &weights, &card(3), &Options::default()).unwrap();
            let file = wire::Model::parse(&model_proto.encode_to_vec());
            let values = interpreter::run(&file, as_input(&model, &pixels, InputFormat::FloatNchw));
            assert_near(&values["logits"], logits, &[1, 3], &format!("{name} {size} {head}"));
        }
    }
}
