//! DINOv2 against timm (`xtask/reference/dinov2.py`, which records its versions in the fixtures).
#![allow(clippy::unwrap_used)] // helpers of tests may panic

mod common;

use std::collections::BTreeMap;

use common::{Fixture, K, distance, relative, sketch};
use mlcls_engine::{Graph, InferPlan, NodeId, Op, TrainPlan, Weights};
use mlcls_models::{ModelOptions, build};
use serde::Deserialize;

const SMALL: &str = "vit_small_patch14_dinov2";
const BASE: &str = "vit_base_patch14_dinov2";
const TOLERANCE: f64 = 1e-5;

#[derive(Deserialize)]
struct Structure {
    tensors: BTreeMap<String, Vec<usize>>,
    parameters: usize,
    macs: u64,
}

#[test]
fn tensors_and_operations_are_timms() {
    let text = std::fs::read_to_string(common::fixtures().join("dinov2.json")).unwrap();
    let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in [SMALL, BASE] {
        let expected: Structure = serde_json::from_value(all[name].take()).unwrap();
        let graph = common::model(name, 224).graph;
        let backbone = graph.params().iter().filter(|p| p.name != "head.weight");
        let found: BTreeMap<String, Vec<usize>> =
            backbone.clone().map(|p| (p.name.clone(), p.shape.clone())).collect();
        assert_eq!(found, expected.tensors, "{name}");
        assert_eq!(backbone.map(|p| p.len()).sum::<usize>(), expected.parameters, "{name}");
        let own = |id: &NodeId| matches!(graph.node(*id).op, Op::Candle(_));
        let macs: u64 = (0..graph.nodes().len()).map(NodeId).filter(own).map(|id| graph.node_macs(id)).sum();
        assert_eq!(macs, expected.macs, "{name}");
        assert!(graph.buffers().is_empty());
    }
}

/// Sketches of rows against those of the fixture.
fn near(what: &str, name: &str, values: &[f32], n: usize, expected: &[f64]) {
    for (row, expected) in values.chunks_exact(values.len() / n).zip(expected.chunks_exact(1 + K)) {
        let error = distance(&sketch(name, row)[1..], &expected[1..]) / expected[0];
        assert!(error <= TOLERANCE, "{what}: {name}, relative error {error:.1e}");
    }
}

fn parity(name: &str, size: usize) {
    let fixture = Fixture::open(&format!("{name}_{size}.safetensors"));
    let n: usize = fixture.text("batch").parse().unwrap();
    let pixels = common::pixels(n, size, &fixture.text("salt"));
    let graph = common::model(name, size).graph;
    let weights = common::weights(&graph);
    let mut plan = InferPlan::with_feature_map(&graph, &weights, n).unwrap();
    let logits = plan.run(&pixels, n).unwrap().to_vec();
    let what = format!("{name} at {size}");
    let error = relative(&logits, &fixture.tensor("logits"));
    assert!(error <= TOLERANCE, "{what}: logits, relative error {error:.1e}");
    near(&what, "map", plan.feature_map().unwrap(), n, &fixture.tensor("map"));
    near(&what, "features", plan.features().unwrap(), n, &fixture.tensor("features"));
}

#[test]
fn small_at_56() {
    parity(SMALL, 56);
}

#[test]
fn small_at_224() {
    parity(SMALL, 224);
}

#[test]
fn base_at_56() {
    parity(BASE, 56);
}

fn small_graph(size: usize) -> (Graph, Weights) {
    let graph =
        build("dinov2_small", &ModelOptions { classes: 3, size, ..Default::default() }).unwrap().graph;
    let weights = Weights::init(&graph, 1);
    (graph, weights)
}

#[test]
fn an_image_gives_the_same_bits_alone_in_a_batch_and_on_any_number_of_threads() {
    let (graph, weights) = small_graph(28);
    let pixels = common::pixels(3, 28, "threads");
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut plan = InferPlan::new(&graph, &weights, 3).unwrap();
        pool.install(|| {
            let together = plan.run(&pixels, 3).unwrap().to_vec();
            let one = pixels.len() / 3;
            let alone = pixels.chunks_exact(one).flat_map(|image| plan.run(image, 1).unwrap().to_vec());
            assert_eq!(alone.collect::<Vec<_>>(), together, "{threads} threads");
            together
        })
    };
    let one = run(1);
    assert!(one.iter().all(|v| v.is_finite()));
    assert_eq!(run(2), one);
    assert_eq!(run(3), one);
}

#[test]
fn what_is_behind_the_backbone_trains_and_the_backbone_is_refused() {
    let (graph, mut weights) = small_graph(28);
    let message = TrainPlan::new(&graph, 2).unwrap_err().to_string();
    assert!(message.contains("runs forward only; freeze it"), "{message}");
    assert_eq!(TrainPlan::bytes_needed(&graph, 2).unwrap_err().to_string(), message);

    let pixels = common::pixels(2, 28, "train");
    let logits = InferPlan::new(&graph, &weights, 2).unwrap().run(&pixels, 2).unwrap().to_vec();
    let mut front = InferPlan::up_to(&graph, &weights, 2, graph.features()).unwrap();
    let features = front.run(&pixels, 2).unwrap();
    let mut tail = TrainPlan::behind(&graph, 2, graph.features()).unwrap();
    let found = tail.forward_behind(&weights.params, &mut weights.buffers, features, 2, 1).unwrap();
    for (found, expected) in found.iter().zip(&logits) {
        assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
    }
    let map =
        InferPlan::up_to(&graph, &weights, 2, graph.feature_map()).unwrap().run(&pixels, 2).unwrap().len();
    assert_eq!(map, 2 * 2 * 2 * 768);
}

#[test]
fn sizes_that_are_no_patches_and_dropped_paths_are_refused() {
    let refused = |options: ModelOptions| build("dinov2_small", &options).unwrap_err().to_string();
    let message = refused(ModelOptions { size: 200, ..Default::default() });
    assert!(message.contains("200 pixels") && message.ends_with("take 196 or 210"), "{message}");
    let message = refused(ModelOptions { drop_path: 0.1, ..Default::default() });
    assert!(message.contains("expected 0"), "{message}");
}
