//! Names, shapes and costs against timm (`xtask/reference/models.py`, which records its versions in the fixture).
#![allow(clippy::unwrap_used)] // helpers of tests may panic

mod common;

use std::collections::BTreeMap;

use mlcls_engine::{NodeId, Op};
use mlcls_models::{ModelOptions, Normalization, build, model_names, templates};
use serde::Deserialize;

#[derive(Deserialize)]
struct Structure {
    tensors: BTreeMap<String, Vec<usize>>,
    backbone_parameters: usize,
    macs_without_class_vectors: u64,
}

const MODELS: [&str; 4] =
    ["mobilenetv3_large_100", "efficientnet_b0", "tf_efficientnetv2_s", "tf_efficientnet_lite0"];

fn structure(model: &str) -> Structure {
    let text = std::fs::read_to_string(common::fixtures().join("structure.json")).unwrap();
    let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(all[model].take()).unwrap()
}

#[test]
fn every_tensor_has_timms_name_and_shape() {
    for name in MODELS {
        let model = common::model(name, 224);
        let weights = common::weights(&model.graph);
        let ours: BTreeMap<String, Vec<usize>> =
            weights.tensors(&model.graph).map(|(n, s, _)| (n.to_owned(), s.to_vec())).collect();
        assert_eq!(ours, structure(name).tensors, "{name}");
    }
}

#[test]
fn parameters_and_operations_are_counted_as_pytorch_does() {
    for name in MODELS {
        let reference = structure(name);
        let graph = common::model(name, 224).graph;
        let backbone: usize =
            graph.params().iter().filter(|p| !p.name.starts_with("head.")).map(|p| p.len()).sum();
        assert_eq!(backbone, reference.backbone_parameters, "{name}");
        let class_vectors: u64 = (0..graph.nodes().len())
            .map(NodeId)
            .filter(|id| matches!(graph.node(*id).op, Op::CosineLinear { .. }))
            .map(|id| graph.node_macs(id))
            .sum();
        assert_eq!(graph.macs() - class_vectors, reference.macs_without_class_vectors, "{name}");
    }
}

#[test]
fn features_have_the_width_and_place_that_heads_and_saliency_maps_expect() {
    for (name, width) in MODELS.into_iter().zip([960, 1280, 1280, 1280]) {
        let model = common::model(name, 224);
        assert_eq!(model.feature_width(), width);
        let map = model.graph.node(model.graph.feature_map()).shape;
        assert_eq!((map.h, map.w, map.c), (7, 7, width));
    }
}

#[test]
fn drop_path_grows_linearly_over_all_blocks() {
    // timm: drop_path_rate * block_idx / block_count; MobileNetV3 has 16 blocks, the shortcuts are at these.
    let options = mlcls_models::ModelOptions { drop_path: 0.2, ..Default::default() };
    let graph = build("mobilenetv3_large_100", &options).unwrap().graph;
    let rates: Vec<f32> = graph
        .nodes()
        .iter()
        .filter_map(|n| match n.op {
            Op::Add { drop_path } => Some(drop_path),
            _ => None,
        })
        .collect();
    let expected = [0, 2, 4, 5, 7, 8, 9, 11, 13, 14].map(|i| (0.2 * f64::from(i) / 16.0) as f32);
    assert_eq!(rates.len(), expected.len());
    for (rate, expected) in rates.iter().zip(expected) {
        assert!((rate - expected).abs() < 1e-7, "{rates:?}");
    }
}

#[test]
fn dropout_is_a_node_only_where_asked_for() {
    let dropouts = |dropout: f32| {
        let options = mlcls_models::ModelOptions { dropout, size: 32, ..Default::default() };
        let graph = build("mobilenet_v3_large", &options).unwrap().graph;
        graph.nodes().iter().filter(|n| matches!(n.op, Op::Dropout { .. })).count()
    };
    assert_eq!((dropouts(0.0), dropouts(0.2)), (0, 1));
}

#[test]
fn a_model_answers_to_all_its_names() {
    for (names, backbone) in [
        (["mobilenet_v3_large", "MobileNet-V3-large-1x"], "mobilenetv3_large_100"),
        (["efficientnet_b0", "Custom_Image_Classification_EfficinetNet-B0"], "efficientnet_b0"),
        (["EfficientNet_V2_S", "Custom_Image_Classification_EfficientNet-V2-S"], "tf_efficientnetv2_s"),
        (["efficientnet_lite0", "tf_efficientnet_lite0"], "tf_efficientnet_lite0"),
        (["dinov2_small", "DINOv2-S"], "vit_small_patch14_dinov2"),
        (["dinov2_base", "vit_base_patch14_dinov2"], "vit_base_patch14_dinov2"),
    ] {
        for name in names {
            assert_eq!(mlcls_models::find(name).unwrap().backbone, backbone);
        }
    }
    assert_eq!(model_names().count(), 11);
    let message = mlcls_models::find("mobilnetv3_large").unwrap_err().to_string();
    assert!(message.starts_with("unknown model `mobilnetv3_large`: did you mean `mobilenet"), "{message}");
    let message = mlcls_models::find("xyz").unwrap_err().to_string();
    assert!(message.starts_with("unknown model `xyz`: Known: mobilenet_v3_large, "), "{message}");
}

#[test]
fn options_out_of_range_name_the_field() {
    let bad = |change: fn(&mut mlcls_models::ModelOptions)| {
        let mut options = mlcls_models::ModelOptions::default();
        change(&mut options);
        build("efficientnet_b0", &options).unwrap_err().to_string()
    };
    assert_eq!(bad(|o| o.classes = 0), "classes: expected at least 1, found 0");
    assert_eq!(bad(|o| o.size = 8), "size: expected 16 to 2048 pixels, found 8");
    assert_eq!(bad(|o| o.scale = 0.0), "scale: expected a positive number, found 0");
    assert_eq!(bad(|o| o.scale = f32::NAN), "scale: expected a positive number, found NaN");
    assert_eq!(bad(|o| o.dropout = 1.0), "dropout: expected 0 to below 1, found 1");
    assert_eq!(bad(|o| o.drop_path = -0.1), "drop_path: expected 0 to below 1, found -0.1");
    let zero_std = |o: &mut mlcls_models::ModelOptions| {
        o.normalization = Some(Normalization { mean: [0.0; 3], std: [1.0, 0.0, 1.0] });
    };
    assert_eq!(bad(zero_std), "std: expected three positive numbers, found [1.0, 0.0, 1.0]");
}

#[test]
fn templates_carry_otx_ids_spelt_right_and_costs_near_those_it_declares() {
    // OTX's template.yaml declares GFLOPs 0.44, 0.81, 5.76 and 4.29, 4.09, 20.23 million parameters.
    let rows = templates().unwrap();
    let row = |id: &str| rows.iter().find(|t| t.id.ends_with(id)).unwrap();
    for (id, gflops, params) in [
        ("MobileNet-V3-large-1x", 0.44, 4.29),
        ("EfficientNet-B0", 0.81, 4.09),
        ("EfficientNet-V2-S", 5.76, 20.23),
    ] {
        let t = row(id);
        assert!((t.gflops / gflops - 1.0).abs() < 0.06, "{id}: {} GFLOPs", t.gflops);
        assert!((t.params_m / params - 1.0).abs() < 0.06, "{id}: {} M", t.params_m);
    }
    assert_eq!(rows.iter().filter(|t| t.default).count(), 1);
    let json = serde_json::to_value(row("EfficientNet-B0")).unwrap();
    assert_eq!(json["category"], "BALANCE");
    assert_eq!(json["task"], "MULTI_LABEL_CLS");
    assert_eq!(json["pretrained"], "efficientnet_b0.ra_in1k");
}

#[test]
fn stages_end_where_timm_s_blocks_end() {
    // timm 1.0.31: [stage[-1](x).shape[1] for each stage of model.blocks, x going through them].
    let expected: [(&str, &[usize]); 4] = [
        ("mobilenetv3_large_100", &[16, 24, 40, 80, 112, 160, 960]),
        ("efficientnet_b0", &[16, 24, 40, 80, 112, 192, 320]),
        ("tf_efficientnet_lite0", &[16, 24, 40, 80, 112, 192, 320]),
        ("tf_efficientnetv2_s", &[24, 48, 64, 128, 160, 256]),
    ];
    for (name, channels) in expected {
        let model = build(name, &ModelOptions { size: 32, ..Default::default() }).unwrap();
        let ends = model.stages();
        let found: Vec<usize> = ends.iter().map(|&end| model.graph.node(end).shape.c).collect();
        assert_eq!(found, channels, "{name}");
        for end in ends {
            mlcls_engine::TrainPlan::behind(&model.graph, 2, end).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
