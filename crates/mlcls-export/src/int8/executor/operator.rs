//! One operation on the maps of one image.

use std::collections::HashMap;

use multiversion::multiversion;

use super::conv::Conv;
use super::{Constant, Map};
use crate::error::{Error, Result};
use crate::int8::grid::Grid;
use crate::onnx::proto::NodeProto;

/// Tensors that are part of the model, and what is computed from them alone.
pub type Constants = HashMap<String, Constant>;

/// An operation with everything that the model decides.
#[derive(Debug)]
pub enum Operator {
    Conv(Conv),
    Each(Each),
    Both(Both, Option<Vec<f32>>),
    /// Mean over rows and columns.
    Pool,
    /// Euclidean length over channels.
    Length,
    Flatten,
}

/// A function of one number.
#[derive(Debug)]
pub enum Each {
    Relu,
    Sigmoid,
    HardSwish,
    HardSigmoid { alpha: f32, beta: f32 },
    Clip { low: f32, high: f32 },
    PRelu { slope: f32 },
    Quantise(Grid),
    Dequantise(Grid),
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug)]
pub enum Both {
    Add,
    Sub,
    Mul,
    Div,
    Max,
}

/// Computes a node whose inputs are constants; `false` where they are not.
pub fn fold(node: &NodeProto, constants: &mut Constants) -> Result<bool> {
    if node.op_type != "DequantizeLinear" || !constants.contains_key(&node.input[0]) {
        return Ok(false);
    }
    let (quantised, scale) = (constant(node, constants, 0)?, constant(node, constants, 1)?);
    let row = quantised.values.len() / scale.values.len().max(1);
    let rows = quantised.values.chunks(row.max(1)).zip(&scale.values);
    let values = rows.flat_map(|(row, scale)| row.iter().map(move |v| v * scale)).collect();
    let folded = Constant { dims: quantised.dims.clone(), values };
    constants.insert(node.output[0].clone(), folded);
    Ok(true)
}

fn constant<'c>(node: &NodeProto, constants: &'c Constants, input: usize) -> Result<&'c Constant> {
    let found = node.input.get(input).and_then(|name| constants.get(name));
    found.ok_or_else(|| Error::operation(&node.name, &format!("its input {input} must be part of the model")))
}

impl Operator {
    pub fn new(node: &NodeProto, constants: &Constants) -> Result<Self> {
        let number = |input| -> Result<f32> {
            let found = &constant(node, constants, input)?.values;
            found.first().copied().ok_or_else(|| Error::operation(&node.name, "a constant of it is empty"))
        };
        let attribute = |name: &str, default| {
            node.attribute.iter().find(|a| a.name == name).and_then(|a| a.f).unwrap_or(default)
        };
        let both = |both| {
            Self::Both(both, node.input.get(1).and_then(|name| Some(constants.get(name)?.values.clone())))
        };
        let grid = || -> Result<Grid> { Ok(Grid { scale: number(1)?, zero: number(2)? as u8 }) };
        Ok(match node.op_type.as_str() {
            "Conv" => {
                let bias = node.input.get(2).map(|_| constant(node, constants, 2)).transpose()?;
                Self::Conv(Conv::new(node, constant(node, constants, 1)?, bias)?)
            }
            "Relu" => Self::Each(Each::Relu),
            "Sigmoid" => Self::Each(Each::Sigmoid),
            "HardSwish" => Self::Each(Each::HardSwish),
            "HardSigmoid" => {
                Self::Each(Each::HardSigmoid { alpha: attribute("alpha", 0.2), beta: attribute("beta", 0.5) })
            }
            "Clip" => Self::Each(Each::Clip { low: number(1)?, high: number(2)? }),
            "PRelu" => Self::Each(Each::PRelu { slope: number(1)? }),
            "QuantizeLinear" => Self::Each(Each::Quantise(grid()?)),
            "DequantizeLinear" => Self::Each(Each::Dequantise(grid()?)),
            "Add" => both(Both::Add),
            "Sub" => both(Both::Sub),
            "Mul" => both(Both::Mul),
            "Div" => both(Both::Div),
            "Max" => both(Both::Max),
            "GlobalAveragePool" => Self::Pool,
            "ReduceL2" => Self::Length,
            "Flatten" => Self::Flatten,
            other => {
                return Err(Error::operation(&node.name, &format!("the operator {other} is not known here")));
            }
        })
    }

    pub fn run(&self, inputs: &[&Map]) -> Result<Map> {
        let x = inputs[0];
        let [c, h, w] = x.shape;
        Ok(match self {
            Self::Conv(conv) => conv.run(x)?,
            Self::Each(each) => Map { shape: x.shape, values: each.run(&x.values) },
            Self::Both(both, constant) => {
                let other = constant.as_deref().unwrap_or_else(|| &inputs[1].values);
                Map { shape: x.shape, values: both.run(&x.values, other, c) }
            }
            Self::Pool => {
                let mean = |map: &[f32]| map.iter().sum::<f32>() / (h * w) as f32;
                Map { shape: [c, 1, 1], values: x.values.chunks_exact(h * w).map(mean).collect() }
            }
            Self::Length => {
                let squares = |at: usize| x.values.iter().skip(at).step_by(h * w).map(|v| v * v).sum::<f32>();
                Map { shape: [1, h, w], values: (0..h * w).map(|at| squares(at).sqrt()).collect() }
            }
            Self::Flatten => Map { shape: [x.values.len(), 1, 1], values: x.values.clone() },
        })
    }
}

impl Each {
    fn run(&self, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        each(self, &mut y);
        y
    }
}

// Rounding is one instruction where the processor has it, and else a call.
#[multiversion(targets = "simd")]
fn each(function: &Each, x: &mut [f32]) {
    #[inline(always)]
    fn map(x: &mut [f32], f: impl Fn(f32) -> f32) {
        x.iter_mut().for_each(|v| *v = f(*v));
    }
    match *function {
        // Written so that NaN stays NaN.
        Each::Relu => map(x, |v| if v < 0.0 { 0.0 } else { v }),
        Each::Sigmoid => map(x, |v| 1.0 / (1.0 + (-v).exp())),
        Each::HardSwish => map(x, |v| v * (v / 6.0 + 0.5).clamp(0.0, 1.0)),
        Each::HardSigmoid { alpha, beta } => map(x, |v| (alpha * v + beta).clamp(0.0, 1.0)),
        Each::Clip { low, high } => map(x, |v| v.clamp(low, high)),
        Each::PRelu { slope } => map(x, |v| if v < 0.0 { slope * v } else { v }),
        Each::Quantise(grid) => map(x, |v| grid.quantise(v)),
        Each::Dequantise(grid) => map(x, |v| grid.dequantise(v)),
    }
}

impl Both {
    /// `b` has a number for each of `a`, for each channel, or one for all.
    fn run(self, a: &[f32], b: &[f32], channels: usize) -> Vec<f32> {
        fn zip(a: &[f32], b: &[f32], channels: usize, f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
            if b.len() == a.len() {
                return a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
            }
            let part = if b.len() == 1 { a.len() } else { a.len() / channels };
            a.chunks_exact(part)
                .zip(b)
                .flat_map(|(part, &b)| part.iter().map(move |&a| (a, b)))
                .map(|(a, b)| f(a, b))
                .collect()
        }
        match self {
            Self::Add => zip(a, b, channels, |a, b| a + b),
            Self::Sub => zip(a, b, channels, |a, b| a - b),
            Self::Mul => zip(a, b, channels, |a, b| a * b),
            Self::Div => zip(a, b, channels, |a, b| a / b),
            Self::Max => zip(a, b, channels, f32::max),
        }
    }
}
