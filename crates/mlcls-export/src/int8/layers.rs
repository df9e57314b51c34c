//! What of a model is computed in eight bits, and how the file says so.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::executor::Constant;
use super::grid::{Grid, Rows};
use crate::error::{Error, Result};
use crate::onnx::builder::int;
use crate::onnx::proto::{GraphProto, NodeProto, TensorProto, TypeProto};

/// The grid of each activation that is rounded, by the name of its value in the file.
pub type Grids = BTreeMap<String, Grid>;

/// The program that a file is written for: each is fast only where activations are rounded in the places that its kernels
/// expect. Both run either file, and compute the same numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Convolutions, linear layers and sums of two maps: activation functions and gates are computed in float as a part of the
    /// layer in front. The most precise.
    #[default]
    OpenVino,
    /// Also activation functions, gates and pooling: a convolution is fast only where its own result is rounded.
    OnnxRuntime,
}

/// An operation that can be computed in eight bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its name in the file, for example `blocks.2.0.conv_dw`.
    pub name: String,
    /// The activations that it reads.
    pub(super) reads: Vec<String>,
    /// Its weight and bias, where it has them.
    weight: Option<String>,
    bias: Option<String>,
}

/// What is computed in eight bits where a runtime is to be fast, in the order of the graph.
///
/// The classifier stays in float: it is small, and its result goes out as it is.
pub fn layers(graph: &GraphProto, classifier: &str, runtime: Runtime) -> Vec<Layer> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let is_constant = |name: &&String| constants.contains(name.as_str());
    let layer = |node: &NodeProto| {
        let (parts, reads): (Vec<_>, Vec<_>) = node.input.iter().partition(is_constant);
        let mut parts = parts.into_iter().cloned();
        let reads: Vec<String> = reads.into_iter().cloned().collect();
        let wanted = match node.op_type.as_str() {
            "Conv" => node.name != classifier && reads.len() == 1,
            "Add" => reads.len() == 2,
            "Mul" => runtime == Runtime::OnnxRuntime && reads.len() == 2,
            "GlobalAveragePool" | "HardSigmoid" | "HardSwish" | "PRelu" | "Sigmoid" => {
                runtime == Runtime::OnnxRuntime && reads.len() == 1
            }
            _ => false,
        };
        wanted.then(|| Layer { name: node.name.clone(), reads, weight: parts.next(), bias: parts.next() })
    };
    graph.node.iter().filter_map(layer).collect()
}

/// Writes `QuantizeLinear` and `DequantizeLinear` around these layers, and their weights in eight bits, as runtimes expect them:
/// an activation once for all of its readers, weights in int8 with a scale per output channel, biases in int32 with the
/// scale of the products.
pub fn rewrite<'l>(
    graph: &mut GraphProto,
    layers: impl Iterator<Item = &'l Layer>,
    grids: &Grids,
) -> Result<()> {
    let layers: HashMap<&str, &Layer> = layers.map(|layer| (layer.name.as_str(), layer)).collect();
    let names: HashSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    if let Some(name) = layers.keys().find(|name| !names.contains(*name)) {
        return Err(Error::operation(
            name,
            "the file has no such layer; expected a file of the model that was calibrated",
        ));
    }
    let rounded: HashSet<&str> = layers.values().flat_map(|layer| &layer.reads).map(String::as_str).collect();
    let places: HashMap<String, usize> =
        graph.initializer.iter().enumerate().map(|(i, tensor)| (tensor.name.clone(), i)).collect();
    let mut writer =
        Writer { grids, initializer: &mut graph.initializer, nodes: vec![], places, zeros: HashSet::new() };
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        if let Some(layer) = layers.get(node.name.as_str()) {
            writer.weights(layer)?;
            for name in node.input.iter_mut().filter(|name| rounded.contains(name.as_str())) {
                *name = dequantised(name);
            }
        }
        let output = node.output[0].clone();
        writer.nodes.push(node);
        if rounded.contains(output.as_str()) {
            writer.activation(&output)?;
        }
    }
    graph.node = writer.nodes;
    Ok(())
}

fn dequantised(name: &str) -> String {
    format!("{name}/dequantised")
}

/// The nodes and tensors of a graph that is being rewritten.
struct Writer<'a> {
    grids: &'a Grids,
    initializer: &'a mut Vec<TensorProto>,
    nodes: Vec<NodeProto>,
    /// Where each tensor of the float model lies.
    places: HashMap<String, usize>,
    /// Names of the tensors of zeros, which layers share.
    zeros: HashSet<String>,
}

impl Writer<'_> {
    fn grid(&self, name: &str) -> Result<Grid> {
        self.grids.get(name).copied().ok_or_else(|| Error::operation(name, "its range is not known"))
    }

    fn activation(&mut self, name: &str) -> Result<()> {
        let grid = self.grid(name)?;
        let scale =
            self.tensor(format!("{name}/scale"), &[], TypeProto::FLOAT, grid.scale.to_le_bytes().into());
        let zero = self.tensor(format!("{name}/zero"), &[], TypeProto::UINT8, vec![grid.zero]);
        let quantised = format!("{name}/uint8");
        self.node("QuantizeLinear", [name, &scale, &zero], &quantised, false);
        self.node("DequantizeLinear", [&quantised, &scale, &zero], &dequantised(name), false);
        Ok(())
    }

    /// Puts `DequantizeLinear` in the place of the layer's weight and bias.
    fn weights(&mut self, layer: &Layer) -> Result<()> {
        let Some(name) = &layer.weight else { return Ok(()) };
        let weight = self.take(name)?;
        let out = weight.dims[0];
        let rows = Rows::of(&weight.values, out);
        let bytes = rows.quantised.iter().map(|&q| q as u8).collect();
        self.dequantise(name, &weight.dims, TypeProto::INT8, bytes, &rows.scales);
        if let Some(name) = &layer.bias {
            let bias = self.take(name)?;
            let input = self.grid(&layer.reads[0])?.scale;
            let scales: Vec<f32> = rows.scales.iter().map(|scale| scale * input).collect();
            // Beyond 32 bits it is cut off: the sum in front of it has no more bits either.
            let quantised = bias.values.iter().zip(&scales).map(|(b, s)| (b / s).round_ties_even() as i32);
            let bytes = quantised.flat_map(i32::to_le_bytes).collect();
            self.dequantise(name, &[out], TypeProto::INT32, bytes, &scales);
        }
        Ok(())
    }

    fn dequantise(&mut self, name: &str, dims: &[usize], data_type: i32, bytes: Vec<u8>, scales: &[f32]) {
        let rows = scales.len();
        let (kind, width) = if data_type == TypeProto::INT8 { ("int8", 1) } else { ("int32", 4) };
        let quantised = self.tensor(format!("{name}/{kind}"), dims, data_type, bytes);
        let scale = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
        let scale = self.tensor(format!("{name}/scale"), &[rows], TypeProto::FLOAT, scale);
        let zeros = format!("zeros({kind}[{rows}])");
        if self.zeros.insert(zeros.clone()) {
            self.tensor(zeros.clone(), &[rows], data_type, vec![0; width * rows]);
        }
        self.node("DequantizeLinear", [&quantised, &scale, &zeros], name, true);
    }

    fn node(&mut self, op_type: &str, inputs: [&str; 3], output: &str, per_row: bool) {
        self.nodes.push(NodeProto {
            input: inputs.map(str::to_owned).into(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op_type.to_owned(),
            attribute: if per_row { vec![int("axis", 0)] } else { vec![] },
        });
    }

    fn tensor(&mut self, name: String, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let dims = dims.iter().map(|&d| d as i64).collect();
        self.initializer.push(TensorProto { dims, data_type, name: name.clone(), raw_data });
        name
    }

    /// Takes a tensor of the float model out.
    fn take(&mut self, name: &str) -> Result<Constant> {
        let missing = || Error::operation(name, "it is not in the file, or shared by two layers");
        let place = self.places.remove(name).ok_or_else(missing)?;
        let last = self.initializer.len() - 1;
        self.places.iter_mut().filter(|(_, at)| **at == last).for_each(|(_, at)| *at = place);
        Constant::try_from(&self.initializer.swap_remove(place))
    }
}
