//! Runs the ONNX models that this crate writes, one image at a time, and shows every value on its way.
//!
//! It is not fast, but it can look inside: ranges of activations are taken here, and a quantised model is tried out here
//! before it is written. It knows the operators of [`export`](crate::onnx::export) and what [`rewrite`](super::rewrite) adds to
//! them; with one image a value is a map `[c, h, w]`.

mod conv;
mod operator;

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::onnx::proto::{GraphProto, ModelProto, NodeProto, TensorProto, TypeProto};
use operator::{Constants, Operator};

/// The value of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Row-major.
    pub values: Vec<f32>,
}

/// A model made ready to run.
#[derive(Debug)]
pub struct Executor {
    steps: Vec<Step>,
    /// Names of all values; the first is the image.
    names: Vec<String>,
    output: usize,
    size: [usize; 2],
}

#[derive(Debug)]
struct Step {
    operator: Operator,
    inputs: Vec<usize>,
    output: usize,
    /// Values that no later step reads.
    last_reads: Vec<usize>,
}

impl Executor {
    /// A model that takes float32 `[n, 3, h, w]`; of its outputs only the first is computed.
    pub fn new(model: &ModelProto) -> Result<Self> {
        let missing = || Error::operation("the graph", "it has no input or no output");
        let graph = model.graph.as_ref().ok_or_else(missing)?;
        let input = graph.input.first().ok_or_else(missing)?;
        let output = graph.output.first().ok_or_else(missing)?;
        let needed = needed(graph, &output.name);
        let mut constants: Constants = graph
            .initializer
            .iter()
            .map(|tensor| Ok((tensor.name.clone(), tensor.try_into()?)))
            .collect::<Result<_>>()?;
        let mut names = vec![input.name.clone()];
        let mut numbers = HashMap::from([(input.name.clone(), 0)]);
        let mut steps: Vec<Step> = vec![];
        for node in graph.node.iter().filter(|node| needed.contains(node.output[0].as_str())) {
            if operator::fold(node, &mut constants)? {
                continue;
            }
            let operator = Operator::new(node, &constants)?;
            let inputs = node.input.iter().filter(|name| !constants.contains_key(*name));
            let inputs = inputs.map(|name| {
                let missing =
                    || Error::operation(&node.name, &format!("nothing comes before it that writes {name}"));
                numbers.get(name).copied().ok_or_else(missing)
            });
            let inputs = inputs.collect::<Result<_>>()?;
            numbers.insert(node.output[0].clone(), names.len());
            steps.push(Step { operator, inputs, output: names.len(), last_reads: vec![] });
            names.push(node.output[0].clone());
        }
        let Some(&output) = numbers.get(&output.name) else {
            return Err(Error::operation(&output.name, "no node writes it"));
        };
        let mut seen = HashSet::from([output]);
        for step in steps.iter_mut().rev() {
            step.last_reads = step.inputs.iter().copied().filter(|&input| seen.insert(input)).collect();
        }
        Ok(Self { steps, names, output, size: image_size(graph)? })
    }

    /// The output `[n, classes]` for uint8 images `[n, h, w, 3]`, on all cores.
    pub fn run(&self, pixels: &[u8]) -> Result<Vec<f32>> {
        let images = pixels.par_chunks_exact(self.size[0] * self.size[1] * 3);
        let rows = images.map(|image| self.watch(image, |_, _| ())).collect::<Result<Vec<_>>>()?;
        Ok(rows.concat())
    }

    /// The output for one uint8 image `[h, w, 3]`; `watch` is shown every value and its name.
    pub fn watch(&self, image: &[u8], mut watch: impl FnMut(&str, &Map)) -> Result<Vec<f32>> {
        let [h, w] = self.size;
        let channel = |c: usize| image.iter().skip(c).step_by(3).map(|&v| f32::from(v));
        let mut values: Vec<Option<Map>> = vec![None; self.names.len()];
        values[0] = Some(Map { shape: [3, h, w], values: (0..3).flat_map(channel).collect() });
        for step in &self.steps {
            let inputs: Vec<&Map> = step.inputs.iter().filter_map(|&input| values[input].as_ref()).collect();
            let map = step.operator.run(&inputs)?;
            watch(&self.names[step.output], &map);
            values[step.output] = Some(map);
            step.last_reads.iter().for_each(|&value| values[value] = None);
        }
        Ok(values[self.output].take().map(|map| map.values).unwrap_or_default())
    }
}

/// Names of the values that an output depends on.
fn needed<'a>(graph: &'a GraphProto, output: &'a str) -> HashSet<&'a str> {
    let mut needed = HashSet::from([output]);
    for NodeProto { input, output, .. } in graph.node.iter().rev() {
        if needed.contains(output[0].as_str()) {
            needed.extend(input.iter().map(String::as_str));
        }
    }
    needed
}

/// Rows and columns of the image.
fn image_size(graph: &GraphProto) -> Result<[usize; 2]> {
    use crate::onnx::proto::Size::DimValue;
    let tensor =
        graph.input.first().and_then(|input| input.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref());
    let sizes = tensor.into_iter().flat_map(|shape| &shape.dim).filter_map(|d| match d.size {
        Some(DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    });
    match sizes.collect::<Vec<_>>()[..] {
        [3, h, w] => Ok([h, w]),
        _ => Err(Error::operation("the input", "expected float32 [batch, 3, h, w]")),
    }
}

/// A tensor that is part of a model, as numbers.
#[derive(Clone, Debug)]
pub struct Constant {
    pub dims: Vec<usize>,
    pub values: Vec<f32>,
}

impl TryFrom<&TensorProto> for Constant {
    type Error = Error;

    fn try_from(tensor: &TensorProto) -> Result<Self> {
        let raw = &tensor.raw_data;
        let four = || raw.as_chunks::<4>().0.iter().copied();
        let values = match tensor.data_type {
            TypeProto::FLOAT => four().map(f32::from_le_bytes).collect(),
            TypeProto::INT32 => four().map(|b| i32::from_le_bytes(b) as f32).collect(),
            TypeProto::INT8 => raw.iter().map(|&b| f32::from(b as i8)).collect(),
            TypeProto::UINT8 => raw.iter().map(|&b| f32::from(b)).collect(),
            other => {
                return Err(Error::operation(&tensor.name, &format!("its elements are of type {other}")));
            }
        };
        Ok(Self { dims: tensor.dims.iter().map(|&d| d as usize).collect(), values })
    }
}
