//! The slow truth: every node of a graph by its formula, in double precision, one image after the other. Tests only.

use crate::graph::*;
use crate::weights::Weights;

/// Values of every node: `[image][element]`.
pub struct Run {
    pub nodes: Vec<Vec<Vec<f64>>>,
    /// Running statistics after the pass.
    pub buffers: Vec<f64>,
}

/// Every activation.
pub const ACTIVATIONS: [Activation; 7] = [
    Activation::Identity,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::Silu,
    Activation::Sigmoid,
    Activation::HardSigmoid,
];

/// An activation by its formula.
pub fn act(a: Activation, x: f64) -> f64 {
    match a {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::HardSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
}

/// Runs `graph`; `train` uses and updates batch statistics. Dropout and drop-path are left out.
pub fn run(graph: &Graph, params: &[f64], buffers: &[f32], pixels: &[u8], n: usize, train: bool) -> Run {
    let mut out: Vec<Vec<Vec<f64>>> = vec![];
    let mut buffers: Vec<f64> = buffers.iter().map(|&v| f64::from(v)).collect();
    let p = |id: ParamId| &params[graph.param(id).range()];
    for node in graph.nodes() {
        let s = node.shape;
        let input = |i: usize| &out[node.inputs[i].0];
        let in_shape = node.inputs.first().map(|i| graph.node(*i).shape);
        let value: Vec<Vec<f64>> = match &node.op {
            Op::Input { mean, std } => pixels
                .chunks_exact(s.len())
                .take(n)
                .map(|image| {
                    let v = |(i, &x): (usize, &u8)| {
                        (f64::from(x) / 255.0 - f64::from(mean[i % 3])) / f64::from(std[i % 3])
                    };
                    image.iter().enumerate().map(v).collect()
                })
                .collect(),
            Op::Conv { window, weight, bias } => {
                let is = in_shape.unwrap();
                convolve(
                    input(0),
                    is,
                    s,
                    window,
                    |o, i, t| p(*weight)[(o * is.c + i) * window.kernel * window.kernel + t],
                    is.c,
                    |o| bias.map_or(0.0, |b| p(b)[o]),
                )
            }
            Op::Depthwise { window, weight } => {
                let is = in_shape.unwrap();
                let w = p(*weight);
                let taps = window.kernel * window.kernel;
                convolve(input(0), is, s, window, |o, _, t| w[o * taps + t], 1, |_| 0.0)
            }
            Op::BatchNorm { eps, momentum, weight, bias, running_mean, running_var } => {
                let x = input(0);
                let (rm, rv) = (graph.buffer(*running_mean).range(), graph.buffer(*running_var).range());
                let count = (n * s.pixels()) as f64;
                let mut y = x.clone();
                for c in 0..s.c {
                    let all = || x.iter().flat_map(|im| im.iter().skip(c).step_by(s.c));
                    let (mean, var) = if train {
                        let mean = all().sum::<f64>() / count;
                        let m2 = all().map(|v| (v - mean).powi(2)).sum::<f64>();
                        let m = f64::from(*momentum);
                        let unbiased = if count > 1.0 { m2 / (count - 1.0) } else { m2 / count };
                        buffers[rm.start + c] = buffers[rm.start + c] * (1.0 - m) + mean * m;
                        buffers[rv.start + c] = buffers[rv.start + c] * (1.0 - m) + unbiased * m;
                        (mean, m2 / count)
                    } else {
                        (buffers[rm.start + c], buffers[rv.start + c])
                    };
                    for im in &mut y {
                        for v in im.iter_mut().skip(c).step_by(s.c) {
                            *v = (*v - mean) / (var + f64::from(*eps)).sqrt() * p(*weight)[c] + p(*bias)[c];
                        }
                    }
                }
                y
            }
            Op::Activation(a) => map(input(0), |v| act(*a, v)),
            Op::PRelu { slope } => map(input(0), |v| if v > 0.0 { v } else { p(*slope)[0] * v }),
            Op::SqueezeExcite { act: a, gate, reduce_weight, reduce_bias, expand_weight, expand_bias } => {
                let linear = |w: &[f64], b: &[f64], x: &[f64]| -> Vec<f64> {
                    let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
                    w.chunks_exact(x.len()).zip(b).map(|(row, b)| dot(row) + b).collect()
                };
                let one = |im: &Vec<f64>| -> Vec<f64> {
                    let pooled = mean_pool(im, s);
                    let h: Vec<f64> = linear(p(*reduce_weight), p(*reduce_bias), &pooled)
                        .iter()
                        .map(|v| act(*a, *v))
                        .collect();
                    let g: Vec<f64> = linear(p(*expand_weight), p(*expand_bias), &h)
                        .iter()
                        .map(|v| act(*gate, *v))
                        .collect();
                    im.iter().enumerate().map(|(i, v)| v * g[i % s.c]).collect()
                };
                input(0).iter().map(one).collect()
            }
            Op::Add { .. } => input(0)
                .iter()
                .zip(input(1))
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect())
                .collect(),
            Op::Candle(_) => panic!("candle runs it"),
            Op::GlobalAvgPool => input(0).iter().map(|im| mean_pool(im, in_shape.unwrap())).collect(),
            Op::Dropout { .. } => input(0).clone(),
            Op::CosineLinear { scale, weight } => {
                let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                let one = |x: &Vec<f64>| -> Vec<f64> {
                    let cosine =
                        |w: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() / norm(w) / norm(x);
                    let classes = p(*weight).chunks_exact(x.len());
                    classes.map(|w| f64::from(*scale) * cosine(w).clamp(-1.0, 1.0)).collect()
                };
                input(0).iter().map(one).collect()
            }
        };
        out.push(value);
    }
    Run { nodes: out, buffers }
}

fn map(x: &[Vec<f64>], f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    x.iter().map(|im| im.iter().map(|&v| f(v)).collect()).collect()
}

fn mean_pool(im: &[f64], s: Shape) -> Vec<f64> {
    (0..s.c).map(|c| im.iter().skip(c).step_by(s.c).sum::<f64>() / s.pixels() as f64).collect()
}

fn convolve(
    x: &[Vec<f64>],
    is: Shape,
    os: Shape,
    w: &Window,
    weight: impl Fn(usize, usize, usize) -> f64,
    depth: usize,
    bias: impl Fn(usize) -> f64,
) -> Vec<Vec<f64>> {
    let one = |im: &Vec<f64>| -> Vec<f64> {
        let mut y = vec![0.0; os.len()];
        for oy in 0..os.h {
            for ox in 0..os.w {
                for o in 0..os.c {
                    let mut sum = bias(o);
                    for t in 0..w.kernel * w.kernel {
                        let iy = (oy * w.stride + t / w.kernel).wrapping_sub(w.pads.top);
                        let ix = (ox * w.stride + t % w.kernel).wrapping_sub(w.pads.left);
                        if iy < is.h && ix < is.w {
                            for i in 0..depth {
                                let c = if depth == 1 && is.c == os.c && is.c > 1 { o } else { i };
                                sum += weight(o, i, t) * im[(iy * is.w + ix) * is.c + c];
                            }
                        }
                    }
                    y[(oy * os.w + ox) * os.c + o] = sum;
                }
            }
        }
        y
    };
    x.iter().map(one).collect()
}

/// Weights with every kind of value away from its start.
pub fn random_weights(graph: &Graph, seed: u64) -> Weights {
    let mut w = Weights::init(graph, seed);
    let mut s = crate::rng::Stream::new(seed, 99);
    for spec in graph.params() {
        for v in &mut w.params[spec.range()] {
            match spec.kind {
                ParamKind::NormWeight => *v = 1.0 + 0.3 * s.normal(),
                ParamKind::NormBias | ParamKind::Bias => *v = 0.3 * s.normal(),
                ParamKind::Weight | ParamKind::Slope => {}
            }
        }
    }
    for spec in graph.buffers() {
        for v in &mut w.buffers[spec.range()] {
            *v = if spec.start == 1.0 { 0.5 + s.uniform() } else { 0.5 * s.normal() };
        }
    }
    w
}

/// Random pixels.
pub fn random_pixels(graph: &Graph, n: usize, seed: u64) -> Vec<u8> {
    let mut s = crate::rng::Stream::new(seed, 7);
    (0..n * graph.input_shape().len()).map(|_| s.next() as u8).collect()
}
