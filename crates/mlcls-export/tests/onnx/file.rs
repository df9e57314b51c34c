//! What stands in a file: its inputs and outputs, operators, padding, entries; and what is refused.

use mlcls_engine::{Activation, ConvOptions, GraphBuilder, Op, Padding, Weights};
use mlcls_export::onnx::{Card, InputFormat, Options, Output, export, save};
use mlcls_models::{Head, Model, ModelOptions, Normalization, build};
use prost::Message;

use crate::nets::{CLASSES, Net, card, net, weights};
use crate::wire::{self, Value};

const SMALL: Net = Net {
    size: 16,
    padding: Padding::Same,
    act: Activation::Relu,
    gate: Activation::Sigmoid,
    head: Head::Cosine,
};

fn exported(model: &Model, card: &Card, options: &Options) -> wire::Model {
    let file = export(model, &Weights::init(&model.graph, 0), card, options).unwrap();
    wire::Model::parse(&file.encode_to_vec())
}

#[test]
fn inputs_and_outputs_are_those_that_were_chosen() {
    let model = net(SMALL);
    let value = |name: &str, element: i64, sizes: &[i64]| Value(name.to_owned(), element, sizes.to_vec());
    let (float, byte) = (1, 2);
    for (input, expected) in [
        (InputFormat::FloatNchw, value("image", float, &[0, 3, 16, 16])),
        (InputFormat::ByteNchw, value("image", byte, &[0, 3, 16, 16])),
        (InputFormat::ByteNhwc, value("image", byte, &[0, 16, 16, 3])),
    ] {
        let file = exported(&model, &card(CLASSES), &Options { input, ..Options::default() });
        assert_eq!((file.input, file.outputs), (expected, vec![value("logits", float, &[0, 5])]));
        assert_eq!((file.opset, file.ir_version), (14, 7));
    }
    let options = Options { output: Output::Probabilities, features: true, ..Options::default() };
    let outputs = exported(&model, &card(CLASSES), &options).outputs;
    let expected = [
        value("probabilities", float, &[0, 5]),
        value("feature_vector", float, &[0, 9]),
        value("saliency_map", byte, &[0, 5, 4, 4]),
    ];
    assert_eq!(outputs, expected);
}

#[test]
fn every_batch_norm_is_folded_and_every_value_comes_before_its_readers() {
    for name in ["mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s", "efficientnet_lite0"] {
        let model = build(name, &ModelOptions { classes: 3, size: 32, ..Default::default() }).unwrap();
        let file = exported(&model, &card(3), &Options { features: true, ..Options::default() });
        file.assert_in_order(name);
        assert!(file.nodes.iter().all(|node| node.op != "BatchNormalization"));
        // A bias per channel is all that is left of a batch-norm, and it takes in the bias in front of it.
        let graph = &model.graph;
        let mut expected = graph.param_len();
        for node in graph.nodes() {
            if let Op::BatchNorm { .. } = node.op {
                let behind_bias = matches!(graph.node(node.inputs[0]).op, Op::Conv { bias: Some(_), .. });
                expected -= node.shape.c * if behind_bias { 2 } else { 1 };
            }
        }
        let scalars = |name: &&String| name.starts_with("scalar(") || name.starts_with("image.");
        let weights = file.tensors.iter().filter(|(name, _)| !scalars(name));
        assert_eq!(weights.map(|(_, t)| t.values.len()).sum::<usize>(), expected, "{name}: no weight twice");
    }
}

#[test]
fn same_padding_is_tensorflows_for_odd_and_even_sizes() {
    // TensorFlow pads max((ceil(in / stride) - 1) * stride + kernel - in, 0), the smaller half in front.
    for (size, stem, fifth) in [
        (32, [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 2.0, 2.0]), // 32 -> 16 -> 8: 5x5 with stride 2 on 8
        (33, [1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0]), // 33 -> 17 -> 9: on 9
    ] {
        let model = build("efficientnet_lite0", &ModelOptions { size, ..Default::default() }).unwrap();
        let file = exported(&model, &card(1), &Options::default());
        let pads =
            |name: &str| file.nodes.iter().find(|node| node.name == name).unwrap().attributes["pads"].clone();
        assert_eq!((pads("conv_stem"), pads("blocks.2.0.conv_dw")), (stem.into(), fifth.into()), "{size}");
    }
}

#[test]
fn the_entries_tell_model_api_and_everybody_else() {
    let model = net(Net { head: Head::NonLinear, ..SMALL });
    let full = Card {
        threshold: 0.4,
        thresholds: Some(vec![0.1, 0.2, 0.3, 0.4, 0.5]),
        checkpoint: Some("abc".to_owned()),
        ..card(CLASSES)
    };
    let entries = exported(&model, &full, &Options::default()).metadata;
    let expected = [
        ("mlcls_checkpoint", "abc"),
        ("mlcls_format_version", "1"),
        ("mlcls_head", "nonlinear"),
        ("mlcls_head_scale", "7"),
        ("mlcls_labels", r#"["label0","traffic light","label2","label3","label4"]"#),
        ("mlcls_model", "small"),
        (
            "mlcls_preprocessing",
            r#"{"color":"RGB","range":[0,255],"size":[16,16],"resize":"bilinear","mean":[0.4,0.5,0.6],"std":[0.2,0.25,0.3]}"#,
        ),
        ("mlcls_threshold", "0.4"),
        ("mlcls_thresholds", "[0.1,0.2,0.3,0.4,0.5]"),
        ("model_info confidence_threshold", "0.4"),
        ("model_info hierarchical", "False"),
        ("model_info labels", "label0 traffic_light label2 label3 label4"),
        ("model_info model_type", "Classification"),
        ("model_info multilabel", "True"),
        ("model_info output_raw_scores", "True"),
        ("model_info task_type", "classification"),
    ];
    assert_eq!(entries.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    // Model API would apply the sigmoid a second time.
    let options = Options { output: Output::Probabilities, ..Options::default() };
    let entries = exported(&model, &full, &options).metadata;
    assert!(entries.keys().all(|key| key.starts_with("mlcls_")) && entries.len() == 9);
}

#[test]
fn the_same_model_gives_the_same_bytes_and_a_bad_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let model = net(SMALL);
    let file = export(&model, &weights(&model), &card(CLASSES), &Options::default()).unwrap();
    let (a, b) = (dir.path().join("a.onnx"), dir.path().join("b.onnx"));
    let bytes = save(&a, &file).unwrap();
    let again = export(&model, &weights(&model), &card(CLASSES), &Options::default()).unwrap();
    save(&b, &again).unwrap();
    let written = std::fs::read(&a).unwrap();
    assert!(written == std::fs::read(&b).unwrap() && written.len() == bytes);
    let message = save(&dir.path().join("absent/c.onnx"), &file).unwrap_err().to_string();
    assert!(message.contains("absent/c.onnx"), "{message}");
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    let model = net(SMALL);
    let good = weights(&model);
    let refused = |weights: &Weights, card: &Card| {
        export(&model, weights, card, &Options::default()).unwrap_err().to_string()
    };
    assert!(refused(&good, &card(4)).contains("4 label names for a model of 5 labels"));
    let thresholds = Card { thresholds: Some(vec![0.5]), ..card(CLASSES) };
    assert!(refused(&good, &thresholds).contains("1 thresholds for a model of 5 labels"));
    let mut short = good.clone();
    short.buffers.pop();
    let message = refused(&short, &card(CLASSES));
    assert!(message.contains("running statistics: small has 80, found 79"), "{message}");
}

#[test]
fn graphs_that_have_no_such_file_are_refused_by_node() {
    let model = |build: &dyn Fn(&mut GraphBuilder, mlcls_engine::NodeId) -> [mlcls_engine::NodeId; 3]| {
        let mut b = GraphBuilder::new("odd", 8);
        let image = b.input([0.5; 3], [0.5; 3]);
        let stem = b.conv("stem", image, 4, ConvOptions::default()).unwrap();
        let [map, features, output] = build(&mut b, stem);
        let graph = b.finish(map, features, output).unwrap();
        Model { name: "odd", graph, preprocessing: Normalization::HALF, head: Head::Linear, scale: 1.0 }
    };
    let refused = |model: &Model, options: &Options| {
        let weights = Weights::init(&model.graph, 0);
        export(model, &weights, &card(4), options).unwrap_err().to_string()
    };
    let with_features = Options { features: true, ..Options::default() };

    let around_norm = model(&|b, stem| {
        let norm = b.batch_norm("bn", stem, 1e-5, 0.1).unwrap();
        let map = b.add(norm, stem, 0.0).unwrap();
        let pooled = b.global_pool(map);
        [map, pooled, pooled]
    });
    let message = refused(&around_norm, &Options::default());
    assert!(message.starts_with("stem: it is read in front of the batch-norm"), "{message}");

    let mixing = model(&|b, stem| {
        let pooled = b.global_pool(stem);
        let logits = b.squeeze_excite("gate", pooled, 2, Activation::Relu, Activation::Sigmoid);
        [stem, pooled, logits]
    });
    export(&mixing, &Weights::init(&mixing.graph, 0), &card(4), &Options::default()).unwrap();
    let message = refused(&mixing, &with_features);
    assert!(message.starts_with("gate: a head that mixes the places"), "{message}");

    let aside = model(&|b, stem| {
        let (pooled, second) = (b.global_pool(stem), b.global_pool(stem));
        let features = b.linear("hidden", pooled, 4, mlcls_engine::Init::Normal(1.0)).unwrap();
        let logits = b.add(features, second, 0.0).unwrap();
        [stem, features, logits]
    });
    let message = refused(&aside, &with_features);
    assert!(message.contains("the head reads it beside the pooled features"), "{message}");
}
