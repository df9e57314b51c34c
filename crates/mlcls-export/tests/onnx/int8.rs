//! Quantised files: what stands in them, and what they compute by ONNX's definition.

use mlcls_engine::{Activation, InferPlan, Op, Padding, Weights};
use mlcls_export::int8::{Quantiser, RangeMethod, Runtime};
use mlcls_export::onnx::{InputFormat, Options, Output, export};
use mlcls_models::{Head, Model, ModelOptions, build};
use prost::Message;

use crate::interpreter;
use crate::nets::{CLASSES, Net, card, net, pixels, weights};
use crate::parity::as_input;
use crate::wire;

fn small(act: Activation, head: Head) -> Model {
    net(Net { size: 17, padding: Padding::Same, act, gate: Activation::HardSigmoid, head })
}

fn mean_square(a: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = a.collect();
    values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64
}

#[test]
fn with_every_layer_in_float_it_is_the_engine() {
    for name in ["mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0"] {
        for head in [Head::Cosine, Head::NonLinear, Head::Linear] {
            let options = ModelOptions { classes: 3, size: 35, head: Some(head), ..Default::default() };
            let model = build(name, &options).unwrap();
            let (weights, pixels) = (Weights::init(&model.graph, 5), pixels(&model, 2));
            let quantiser = Quantiser::new(&model, &weights, &pixels, Runtime::OpenVino).unwrap();
            let float = vec![true; quantiser.layers().len()];
            let found = quantiser
                .simulator(&quantiser.grids(RangeMethod::Mse), &float)
                .unwrap()
                .run(&pixels)
                .unwrap();
            let mut plan = InferPlan::new(&model.graph, &weights, 2).unwrap();
            let expected = plan.run(&pixels, 2).unwrap();
            // A linear head on random features makes logits of any size.
            let greatest = expected.iter().fold(1.0f32, |most, v| most.max(v.abs()));
            for (a, b) in found.iter().zip(expected) {
                assert!((a - b).abs() < 2e-5 * greatest, "{name} {head}: {a}, the engine has {b}");
            }
        }
    }
}

#[test]
fn a_file_computes_what_was_simulated() {
    for (act, head) in [
        (Activation::Relu6, Head::Cosine),
        (Activation::HardSwish, Head::NonLinear),
        (Activation::Silu, Head::Linear),
        (Activation::Identity, Head::Cosine),
    ] {
        let model = small(act, head);
        let (weights, pixels) = (weights(&model), pixels(&model, 6));
        let logits = InferPlan::new(&model.graph, &weights, 6).unwrap().run(&pixels, 6).unwrap().to_vec();
        let spread = mean_square(logits.iter().map(|v| f64::from(*v)));
        for (runtime, method, kept) in [
            (Runtime::OpenVino, RangeMethod::MinMax, 0),
            (Runtime::OpenVino, RangeMethod::Percentile, 0),
            (Runtime::OpenVino, RangeMethod::Mse, 2),
            (Runtime::OnnxRuntime, RangeMethod::MinMax, 0),
            (Runtime::OnnxRuntime, RangeMethod::Mse, 2),
        ] {
            let quantiser = Quantiser::new(&model, &weights, &pixels, runtime).unwrap();
            let grids = quantiser.grids(method);
            let float: Vec<bool> = (0..quantiser.layers().len()).map(|layer| layer < kept).collect();
            let simulated = quantiser.simulator(&grids, &float).unwrap().run(&pixels).unwrap();
            let mut file = export(&model, &weights, &card(CLASSES), &Options::default()).unwrap();
            quantiser.rewrite(&mut file, &grids, &float).unwrap();
            let file = wire::Model::parse(&file.encode_to_vec());
            let values = interpreter::run(&file, as_input(&model, &pixels, InputFormat::FloatNchw));
            let found = &values["logits"].values;
            // In double precision a number between two steps may fall to the other side, so a few differ by a step.
            let off = mean_square(found.iter().zip(&simulated).map(|(a, b)| a - f64::from(*b)));
            let error = mean_square(logits.iter().zip(&simulated).map(|(a, b)| f64::from(a - b)));
            let case =
                format!("{act:?} {runtime:?} {method:?}: off {off:e}, error {error:e}, spread {spread:e}");
            assert!(off < 1e-5 * spread, "{case}");
            assert!(error > 20.0 * off, "nothing was rounded: {case}");
            assert!(error < 2e-3 * spread, "{case}");
        }
    }
}

#[test]
fn what_stands_in_a_file() {
    for name in ["mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0"] {
        let model = build(name, &ModelOptions { classes: 3, size: 32, ..Default::default() }).unwrap();
        let weights = Weights::init(&model.graph, 5);
        let quantiser = Quantiser::new(&model, &weights, &pixels(&model, 1), Runtime::OpenVino).unwrap();
        let grids = quantiser.grids(RangeMethod::MinMax);
        let mut float = vec![false; quantiser.layers().len()];
        float[1] = true;
        let options = Options { input: InputFormat::ByteNhwc, output: Output::Probabilities, features: true };
        let mut file = export(&model, &weights, &card(3), &options).unwrap();
        let before = file.encoded_len();
        quantiser.rewrite(&mut file, &grids, &float).unwrap();
        let bytes = file.encode_to_vec();
        assert!(bytes.len() * 10 < before * 3, "{name}: {} of {before} bytes", bytes.len());
        let file = wire::Model::parse(&bytes);

        file.assert_in_order(name);
        // All layers with many weights but the one that was kept and the classifier.
        let convs =
            model.graph.nodes().iter().filter(|n| matches!(n.op, Op::Conv { .. } | Op::Depthwise { .. }));
        let squeezes = model.graph.nodes().iter().filter(|n| matches!(n.op, Op::SqueezeExcite { .. }));
        let int8 = file.tensors.keys().filter(|tensor| tensor.ends_with(".weight/int8")).count();
        assert_eq!(int8, convs.count() + 2 * squeezes.count() - 1, "{name}");
        let kept = &quantiser.layers()[1].name;
        assert!(file.tensors.contains_key(&format!("{kept}.weight")), "{kept}");
        let entry: serde_json::Value = serde_json::from_str(&file.metadata["mlcls_int8"]).unwrap();
        assert_eq!(entry["float"], serde_json::json!([kept]));
        for (name, tensor) in &file.tensors {
            if name.ends_with("/int8") {
                assert!(tensor.values.iter().all(|v| (-127.0..=127.0).contains(v)), "{name}");
            }
        }
    }
}

/// A channel that is a thousand times as large, and weighs a thousandth, leaves the network as it is but nothing of the grid
/// for the others.
#[test]
fn the_layers_that_read_a_wild_channel_are_the_most_sensitive() {
    let model = small(Activation::Relu, Head::Cosine);
    let (mut weights, pixels) = (weights(&model), pixels(&model, 4));
    let find = |name: &str| model.graph.params().iter().find(|p| p.name == name).unwrap().clone();
    let (expand, norm, depthwise) = (find("expand.weight"), find("bn2.weight"), find("dw.weight"));
    let taps = depthwise.len() / depthwise.shape[0];
    assert_eq!(expand.shape[0], norm.len());
    weights.params[norm.offset] *= 1000.0;
    weights.params[find("bn2.bias").offset] *= 1000.0;
    weights.params[depthwise.range()][..taps].iter_mut().for_each(|w| *w /= 1000.0);
    let quantiser = Quantiser::new(&model, &weights, &pixels, Runtime::OpenVino).unwrap();
    let sensitivities = quantiser.sensitivities(&quantiser.grids(RangeMethod::MinMax), &pixels).unwrap();
    let pairs = quantiser.layers().iter().zip(&sensitivities);
    let worst = pairs.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    assert_eq!(worst.name, "dw", "{sensitivities:?}");
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let model = small(Activation::Relu, Head::Cosine);
    let mut weights = weights(&model);
    let error = Quantiser::new(&model, &weights, &[], Runtime::OpenVino).unwrap_err().to_string();
    assert!(error.contains("no image"), "{error}");
    let pixels = pixels(&model, 1);
    let quantiser = Quantiser::new(&model, &weights, &pixels, Runtime::OpenVino).unwrap();
    let (grids, float) = (quantiser.grids(RangeMethod::Mse), vec![false; quantiser.layers().len()]);
    let other =
        build("efficientnet_lite0", &ModelOptions { classes: 3, size: 32, ..Default::default() }).unwrap();
    let other_weights = Weights::init(&other.graph, 5);
    let mut file = export(&other, &other_weights, &card(3), &Options::default()).unwrap();
    let error = quantiser.rewrite(&mut file, &grids, &float).unwrap_err().to_string();
    assert!(error.contains("the file has no such layer"), "{error}");
    let mut file = export(&model, &weights, &card(CLASSES), &Options::default()).unwrap();
    quantiser.rewrite(&mut file, &grids, &float).unwrap();
    assert!(quantiser.rewrite(&mut file, &grids, &float).is_err(), "it is quantised already");
    weights.params[3] = f32::NAN;
    let error = Quantiser::new(&model, &weights, &pixels, Runtime::OpenVino).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
    weights.params.pop();
    assert!(Quantiser::new(&model, &weights, &pixels, Runtime::OpenVino).is_err());
}
