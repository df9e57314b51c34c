//! ReciproCAM: which places of an image speak for each label.

use super::builder::{int, ints};
use super::lower::{Lowering, Values};
use super::proto::TypeProto;
use crate::error::Result;
use crate::saliency::places_stay_apart;

/// Adds the output `saliency_map`, uint8 `[n, classes, h, w]` over the places of the backbone's last map.
///
/// As OTX computes it ([ReciproCAM](https://arxiv.org/abs/2209.14074)): the score of a label for a map that is zero
/// everywhere but at one place, for each place; then per label `255 * (s - min) / (max - min + 1e-12)`, rounded down.
/// Such a map pools to the place's features divided by the number of places, so the head runs once, over all places.
pub fn append(lowering: &mut Lowering<'_>, values: &Values) -> Result<()> {
    let graph = lowering.graph;
    let (features, output) = (graph.features().0, graph.output().0);
    places_stay_apart(graph)?;
    let shape = graph.node(graph.feature_map()).shape;
    let map = lowering.value(values, graph.feature_map())?;
    let places = lowering.onnx.scalar(shape.pixels() as f32);
    let alone = lowering.onnx.op("Div", "saliency_map/alone", [map, &*places], vec![]);
    let mut of_places: Values = vec![None; values.len()];
    of_places[features] = Some(alone);
    lowering.nodes(features + 1..=output, &mut of_places)?;
    let logits = lowering.value(&of_places, graph.output())?;

    let onnx = &mut lowering.onnx;
    let score = onnx.op("Sigmoid", "saliency_map/score", [logits], vec![]);
    let over_places = || vec![ints("axes", [2, 3]), int("keepdims", 1)];
    let low = onnx.op("ReduceMin", "saliency_map/min", [&*score], over_places());
    let high = onnx.op("ReduceMax", "saliency_map/max", [&*score], over_places());
    let (most, tiny) = (onnx.scalar(255.0), onnx.scalar(1e-12));
    let mut range = onnx.op("Sub", "saliency_map/range", [&*high, &low], vec![]);
    range = onnx.op("Add", "saliency_map/divisor", [&*range, &tiny], vec![]);
    let mut x = onnx.op("Sub", "saliency_map/above_min", [&*score, &low], vec![]);
    x = onnx.op("Mul", "saliency_map/scaled", [&*x, &most], vec![]);
    x = onnx.op("Div", "saliency_map/float", [&*x, &range], vec![]);
    x = onnx.op("Cast", "saliency_map", [&*x], vec![int("to", TypeProto::UINT8.into())]);
    onnx.output(&x, TypeProto::UINT8, &[graph.output_len(), shape.h, shape.w]);
    Ok(())
}
