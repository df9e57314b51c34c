//! From the nodes of a graph to ONNX operations.
//!
//! Maps are NCHW. What is pooled stays `[n, c, 1, 1]`: a linear layer is then a 1x1 convolution, as it is in our graphs, and
//! a head can also be run at every place of a map (see `saliency.rs`).

use std::ops::RangeInclusive;

use mlcls_engine::{Activation, Affine, Graph, Node, NodeId, Op, Pads, ParamId, Weights, unit_rows};

use super::builder::{Builder, float, int, ints};
use super::input::InputFormat;
use super::params::Params;
use super::transformer;
use crate::error::{Error, Result};

/// Name of the ONNX value of each node, where it has one.
pub type Values = Vec<Option<String>>;

/// A graph on its way to ONNX.
#[derive(Debug)]
pub struct Lowering<'a> {
    pub graph: &'a Graph,
    pub onnx: Builder,
    params: Params<'a>,
    input: InputFormat,
    /// Convolutions that live on only in the batch-norm behind them.
    folded: Vec<bool>,
}

impl<'a> Lowering<'a> {
    pub fn new(graph: &'a Graph, weights: &'a Weights, input: InputFormat) -> Self {
        let mut folded = vec![false; graph.nodes().len()];
        for node in graph.nodes().iter().filter(|node| matches!(node.op, Op::BatchNorm { .. })) {
            folded[node.inputs[0].0] = true;
        }
        Self { graph, onnx: Builder::default(), params: Params { graph, weights }, input, folded }
    }

    /// Writes these nodes in turn; their inputs must be among them, or in `values` already.
    pub fn nodes(&mut self, ids: RangeInclusive<usize>, values: &mut Values) -> Result<()> {
        for id in ids.filter(|&id| !self.folded[id]).collect::<Vec<_>>() {
            values[id] = Some(self.node(&self.graph.nodes()[id], values)?);
        }
        Ok(())
    }

    /// The name of a node's value.
    pub fn value<'v>(&self, values: &'v Values, id: NodeId) -> Result<&'v str> {
        let reason = match self.folded[id.0] {
            true => {
                "it is read in front of the batch-norm behind it; expected the batch-norm to be its only reader"
            }
            false => {
                "the head reads it beside the pooled features, so there is no saliency map; export without it"
            }
        };
        values[id.0].as_deref().ok_or_else(|| Error::node(self.graph.node(id), reason))
    }

    fn node(&mut self, node: &'a Node, values: &Values) -> Result<String> {
        let x = match (&node.op, node.inputs.first()) {
            // The convolution is written here, with the batch-norm in its weights.
            (Op::BatchNorm { .. }, Some(conv)) => self.value(values, self.graph.node(*conv).inputs[0])?,
            (_, Some(input)) => self.value(values, *input)?,
            (_, None) => "",
        };
        Ok(match &node.op {
            Op::Input { mean, std } => self.input.append(&mut self.onnx, node.shape, *mean, *std),
            Op::Conv { .. } | Op::Depthwise { .. } => self.conv(node, None, x)?,
            Op::BatchNorm { eps, weight, bias, running_mean, running_var, .. } => {
                let buffer = |id| &self.params.weights.buffers[self.graph.buffer(id).range()];
                let (mean, variance) = (buffer(*running_mean), buffer(*running_var));
                let norm = Affine::batch_norm(*eps, self.param(*weight), self.param(*bias), mean, variance);
                self.conv(self.graph.node(node.inputs[0]), Some(norm), x)?
            }
            Op::Activation(act) => self.activation(*act, x),
            Op::PRelu { slope } => {
                let slope = self.tensor(*slope, [1, 1, 1]);
                self.onnx.op("PRelu", &node.name, [x, &slope], vec![])
            }
            Op::SqueezeExcite { act, gate, reduce_weight, reduce_bias, expand_weight, expand_bias } => {
                let mut y = self.onnx.op("GlobalAveragePool", &format!("{}.pool", node.name), [x], vec![]);
                for (layer, weight, bias, act) in [
                    ("conv_reduce", reduce_weight, reduce_bias, act),
                    ("conv_expand", expand_weight, expand_bias, gate),
                ] {
                    let out = self.param(*bias).len();
                    let weight = self.tensor(*weight, [out, self.graph.param(*weight).len() / out, 1, 1]);
                    let bias = self.tensor(*bias, [out]);
                    y = self.onnx.op(
                        "Conv",
                        &format!("{}.{layer}", node.name),
                        [&*y, &weight, &bias],
                        vec![],
                    );
                    y = self.activation(*act, &y);
                }
                self.onnx.op("Mul", &node.name, [x, &*y], vec![])
            }
            Op::Add { .. } => {
                let shortcut = self.value(values, node.inputs[1])?;
                self.onnx.op("Add", &format!("{x}/Add"), [x, shortcut], vec![])
            }
            Op::GlobalAvgPool => self.onnx.op("GlobalAveragePool", &format!("{x}/pool"), [x], vec![]),
            Op::Dropout { .. } => x.to_owned(),
            Op::CosineLinear { scale, weight } => self.cosine(node, *scale, *weight, x),
            Op::Candle(_) => transformer::append(&mut self.onnx, self.params, node, x)?,
        })
    }

    /// A convolution or linear layer, and the batch-norm behind it.
    fn conv(&mut self, node: &Node, norm: Option<Affine>, x: &str) -> Result<String> {
        let channels = node.shape.c;
        let (window, weight, bias, groups) = match node.op {
            Op::Conv { window, weight, bias } => (window, weight, bias, 1),
            Op::Depthwise { window, weight } => (window, weight, None, channels),
            _ => {
                return Err(Error::node(
                    node,
                    "a batch-norm stands behind it; expected a convolution or linear layer",
                ));
            }
        };
        let with_bias = norm.is_some() || bias.is_some();
        let mut affine = norm.unwrap_or_else(|| Affine::identity(channels));
        if let Some(bias) = bias {
            affine = affine.behind_bias(self.param(bias));
        }
        let values = self.param(weight);
        let (k, row) = (window.kernel, values.len() / channels);
        let folded = || {
            let rows = values.chunks_exact(row).zip(&affine.scale);
            rows.flat_map(|(row, scale)| row.iter().map(move |v| v * scale)).collect()
        };
        let shape = [channels, row / (k * k), k, k];
        let mut inputs =
            vec![x.to_owned(), self.onnx.tensor(&format!("{}.weight", node.name), &shape, folded)];
        if with_bias {
            inputs.push(self.onnx.tensor(&format!("{}.bias", node.name), &[channels], || affine.shift));
        }
        let Pads { top, bottom, left, right } = window.pads;
        let attributes = vec![
            ints("kernel_shape", [k, k]),
            ints("strides", [window.stride; 2]),
            ints("pads", [top, left, bottom, right]),
            int("group", groups as i64),
        ];
        Ok(self.onnx.op("Conv", &node.name, inputs.iter().map(String::as_str), attributes))
    }

    fn activation(&mut self, act: Activation, x: &str) -> String {
        let named = |op: &str| format!("{x}/{op}");
        match act {
            Activation::Identity => x.to_owned(),
            Activation::Relu => self.onnx.op("Relu", &named("Relu"), [x], vec![]),
            Activation::Relu6 => self.clip(&named("Relu6"), x, 0.0, 6.0),
            Activation::HardSwish => self.onnx.op("HardSwish", &named("HardSwish"), [x], vec![]),
            Activation::Silu => {
                let gate = self.onnx.op("Sigmoid", &named("Sigmoid"), [x], vec![]);
                self.onnx.op("Mul", &named("Silu"), [x, &gate], vec![])
            }
            Activation::Sigmoid => self.onnx.op("Sigmoid", &named("Sigmoid"), [x], vec![]),
            Activation::HardSigmoid => {
                let line = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                self.onnx.op("HardSigmoid", &named("HardSigmoid"), [x], line)
            }
        }
    }

    /// `scale * cos`, the scale being in the class vectors.
    fn cosine(&mut self, node: &Node, scale: f32, weight: ParamId, x: &str) -> String {
        let part = |s: &str| format!("{}/{s}", node.name);
        let over_channels = vec![ints("axes", [1]), int("keepdims", 1)];
        let floor = self.onnx.scalar(1e-12);
        let mut norm = self.onnx.op("ReduceL2", &part("norm"), [x], over_channels);
        norm = self.onnx.op("Max", &part("floor"), [&*norm, &floor], vec![]);
        let unit = self.onnx.op("Div", &part("unit"), [x, &*norm], vec![]);
        let classes = node.shape.c;
        let values = self.param(weight);
        let d = values.len() / classes;
        let scaled = || unit_rows(values, d).iter().map(|v| v * scale).collect();
        let weight = self.onnx.tensor(&self.graph.param(weight).name, &[classes, d, 1, 1], scaled);
        let logits = self.onnx.op("Conv", &node.name, [&*unit, &weight], vec![]);
        self.clip(&part("clip"), &logits, -scale, scale)
    }

    fn clip(&mut self, name: &str, x: &str, low: f32, high: f32) -> String {
        let (low, high) = (self.onnx.scalar(low), self.onnx.scalar(high));
        self.onnx.op("Clip", name, [x, &*low, &*high], vec![])
    }

    fn param(&self, id: ParamId) -> &'a [f32] {
        self.params.get(id)
    }

    /// A parameter as it is, under its own name.
    fn tensor<const N: usize>(&mut self, id: ParamId, shape: [usize; N]) -> String {
        let values = self.param(id);
        self.onnx.tensor(&self.graph.param(id).name, &shape, || values.to_vec())
    }
}
