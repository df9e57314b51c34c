//! Convolutions: depthwise ones row by row, the others as a product of matrices, which candle computes.

use candle_core::{Device, Tensor};

use super::{Constant, Map};
use crate::error::{Error, Result};
use crate::onnx::proto::NodeProto;

/// A convolution over all channels, or over each channel alone.
#[derive(Debug)]
pub struct Conv {
    kernel: [usize; 2],
    strides: [usize; 2],
    /// Above, left, below, right.
    pads: [usize; 4],
    weights: Weights,
    bias: Vec<f32>,
}

#[derive(Debug)]
enum Weights {
    /// `[out, in * kh * kw]`.
    Dense(Tensor),
    /// `[c, kh * kw]`.
    Depthwise(Vec<f32>),
}

impl Conv {
    pub fn new(node: &NodeProto, weight: &Constant, bias: Option<&Constant>) -> Result<Self> {
        let refuse = |reason: &str| Err(Error::operation(&node.name, reason));
        let &[out, depth, kh, kw] = &weight.dims[..] else {
            return refuse("its weight has not four axes");
        };
        fn list<const N: usize>(node: &NodeProto, name: &str, default: usize) -> [usize; N] {
            let found = node.attribute.iter().find(|a| a.name == name);
            let sizes = found.map(|a| a.ints.iter().map(|&v| v as usize).collect::<Vec<_>>());
            sizes.and_then(|sizes| sizes.try_into().ok()).unwrap_or([default; N])
        }
        let groups = node.attribute.iter().find(|a| a.name == "group").and_then(|a| a.i).unwrap_or(1);
        let weights = match (groups as usize, depth) {
            (1, _) => {
                Weights::Dense(Tensor::from_slice(&weight.values, (out, depth * kh * kw), &Device::Cpu)?)
            }
            (groups, 1) if groups == out => Weights::Depthwise(weight.values.clone()),
            _ => return refuse("it is neither dense nor depthwise"),
        };
        let bias = bias.map_or_else(|| vec![0.0; out], |bias| bias.values.clone());
        let (strides, pads) = (list(node, "strides", 1), list(node, "pads", 0));
        Ok(Self { kernel: [kh, kw], strides, pads, weights, bias })
    }

    pub fn run(&self, x: &Map) -> Result<Map> {
        let ([kh, kw], [_, h, w]) = (self.kernel, x.shape);
        let [top, left, bottom, right] = self.pads;
        let oh = (h + top + bottom - kh) / self.strides[0] + 1;
        let ow = (w + left + right - kw) / self.strides[1] + 1;
        let mut values = vec![0.0; self.bias.len() * oh * ow];
        let planes = values.chunks_exact_mut(oh * ow);
        match &self.weights {
            Weights::Depthwise(weights) => {
                let inputs = x.values.chunks_exact(h * w).zip(weights.chunks_exact(kh * kw)).zip(&self.bias);
                for (out, ((input, weights), &bias)) in planes.zip(inputs) {
                    out.fill(bias);
                    for (tap, weight) in weights.iter().enumerate() {
                        self.tap(tap, input, [h, w], ow, |out_row, at, source, step| {
                            let row = &mut out[out_row * ow..][..ow];
                            let pairs = row[at..].iter_mut().zip(source.iter().step_by(step));
                            pairs.for_each(|(out, v)| *out += weight * v);
                        });
                    }
                }
            }
            Weights::Dense(weights) => {
                let columns = if [kh, kw] == [1, 1] && self.strides == [1, 1] {
                    x.values.clone()
                } else {
                    self.columns(x, oh, ow)
                };
                let columns = Tensor::from_vec(columns, (weights.dim(1)?, oh * ow), &Device::Cpu)?;
                let product = weights.matmul(&columns)?.flatten_all()?.to_vec1::<f32>()?;
                for ((out, product), bias) in planes.zip(product.chunks_exact(oh * ow)).zip(&self.bias) {
                    out.iter_mut().zip(product).for_each(|(out, v)| *out = v + bias);
                }
            }
        }
        Ok(Map { shape: [self.bias.len(), oh, ow], values })
    }

    /// What each output reads, `[in * kh * kw, oh * ow]`.
    fn columns(&self, x: &Map, oh: usize, ow: usize) -> Vec<f32> {
        let ([kh, kw], [c, h, w]) = (self.kernel, x.shape);
        let mut columns = vec![0.0; c * kh * kw * oh * ow];
        for (i, column) in columns.chunks_exact_mut(oh * ow).enumerate() {
            let input = &x.values[i / (kh * kw) * h * w..][..h * w];
            self.tap(i % (kh * kw), input, [h, w], ow, |out_row, at, source, step| {
                let row = &mut column[out_row * ow..][..ow];
                row[at..].iter_mut().zip(source.iter().step_by(step)).for_each(|(out, v)| *out = *v);
            });
        }
        columns
    }

    /// For each output row that reads the image through this tap: the row, its first column that does, and where in the image
    /// these columns read, with the step between them.
    fn tap(
        &self,
        tap: usize,
        input: &[f32],
        [h, w]: [usize; 2],
        ow: usize,
        mut each: impl FnMut(usize, usize, &[f32], usize),
    ) {
        let ([_, kw], [sy, sx], [top, left, bottom, _]) = (self.kernel, self.strides, self.pads);
        let (ky, kx) = (tap / kw, tap % kw);
        let oh = (h + top + bottom - self.kernel[0]) / sy + 1;
        // The first column whose place `at * sx + kx` is not left of the image.
        let at = left.saturating_sub(kx).div_ceil(sx);
        let x = at * sx + kx;
        if at >= ow || x < left || x - left >= w {
            return;
        }
        for oy in 0..oh {
            let y = oy * sy + ky;
            if (top..h + top).contains(&y) {
                each(oy, at, &input[(y - top) * w..][x - left..w], sx);
            }
        }
    }
}
