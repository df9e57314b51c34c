//! ONNX operators by their definition, in plain loops and double precision.

use std::collections::HashMap;

use crate::wire::{Model, Node, Tensor};

/// Runs a model; returns every value by its name.
pub fn run(model: &Model, input: Tensor) -> HashMap<String, Tensor> {
    let mut values = model.tensors.clone();
    values.insert(model.input.0.clone(), input);
    for node in &model.nodes {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|name| &values[name]).collect();
        let output = compute(node, &inputs);
        assert!(values.insert(node.output.clone(), output).is_none(), "{} is written twice", node.output);
    }
    values
}

fn compute(node: &Node, x: &[&Tensor]) -> Tensor {
    let attribute = |name: &str| node.attributes.get(name).map(Vec::as_slice);
    let map = |f: &dyn Fn(f64) -> f64| Tensor {
        dims: x[0].dims.clone(),
        values: x[0].values.iter().map(|&v| f(v)).collect(),
    };
    let hard_sigmoid = |alpha: f64, beta: f64, v: f64| (alpha * v + beta).clamp(0.0, 1.0);
    match node.op.as_str() {
        "Add" => broadcast(x[0], x[1], |a, b| a + b),
        "Sub" => broadcast(x[0], x[1], |a, b| a - b),
        "Mul" => broadcast(x[0], x[1], |a, b| a * b),
        "Div" => broadcast(x[0], x[1], |a, b| a / b),
        "Max" => broadcast(x[0], x[1], f64::max),
        "PRelu" => broadcast(x[0], x[1], |v, slope| if v < 0.0 { slope * v } else { v }),
        "Relu" => map(&|v| v.max(0.0)),
        "Sigmoid" => map(&|v| 1.0 / (1.0 + (-v).exp())),
        "HardSwish" => map(&|v| v * hard_sigmoid(1.0 / 6.0, 0.5, v)),
        "HardSigmoid" => {
            let (alpha, beta) = (attribute("alpha").unwrap()[0], attribute("beta").unwrap()[0]);
            map(&|v| hard_sigmoid(alpha, beta, v))
        }
        "Clip" => map(&|v| v.clamp(x[1].values[0], x[2].values[0])),
        "Cast" => match attribute("to").unwrap() {
            [1.0] => x[0].clone(),
            [2.0] => map(&|v| f64::from(v as u8)),
            other => panic!("cast to type {other:?}"),
        },
        "QuantizeLinear" => {
            let (scale, zero) = (x[1].values[0], x[2].values[0]);
            map(&|v| ((v / scale).round_ties_even() + zero).clamp(0.0, 255.0))
        }
        "DequantizeLinear" => {
            assert_eq!(attribute("axis").unwrap_or(&[0.0]), [0.0], "{}", node.name);
            let row = x[0].values.len() / x[1].values.len();
            let value = |(i, v): (usize, &f64)| (v - x[2].values[i / row]) * x[1].values[i / row];
            Tensor { dims: x[0].dims.clone(), values: x[0].values.iter().enumerate().map(value).collect() }
        }
        "Conv" => convolve(node, x),
        "GlobalAveragePool" => reduce(x[0], &[2, 3], |all| all.iter().sum::<f64>() / all.len() as f64),
        "ReduceL2" => reduce(x[0], &axes(node), |all| all.iter().map(|v| v * v).sum::<f64>().sqrt()),
        "ReduceMin" => reduce(x[0], &axes(node), |all| all.iter().copied().fold(f64::INFINITY, f64::min)),
        "ReduceMax" => reduce(x[0], &axes(node), |all| all.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        "Flatten" => {
            assert_eq!(attribute("axis"), Some(&[1.0][..]));
            let n = x[0].dims[0];
            Tensor { dims: vec![n, x[0].values.len() / n], values: x[0].values.clone() }
        }
        "Transpose" => {
            let perm: Vec<usize> = attribute("perm").unwrap().iter().map(|&axis| axis as usize).collect();
            gather(x[0], perm.iter().map(|&axis| x[0].dims[axis]).collect(), |place| {
                let mut from = vec![0; perm.len()];
                perm.iter().zip(place).for_each(|(&axis, &at)| from[axis] = at);
                Some(from)
            })
        }
        "Reshape" => {
            let kept =
                |(axis, &size): (usize, &f64)| if size == 0.0 { x[0].dims[axis] } else { size as usize };
            let dims: Vec<usize> = x[1].values.iter().enumerate().map(kept).collect();
            assert_eq!(dims.iter().product::<usize>(), x[0].values.len(), "{}", node.name);
            Tensor { dims, values: x[0].values.clone() }
        }
        "Pad" => {
            let (before, after) = x[1].values.split_at(x[0].dims.len());
            let sizes = x[0].dims.iter().zip(before.iter().zip(after));
            let dims =
                sizes.map(|(size, (before, after))| size + *before as usize + *after as usize).collect();
            gather(x[0], dims, |place| {
                place.iter().zip(before).map(|(at, before)| at.checked_sub(*before as usize)).collect()
            })
        }
        "Slice" => {
            let [from, to, axis] = [1, 2, 3].map(|i: usize| x[i].values[0] as usize);
            let mut dims = x[0].dims.clone();
            dims[axis] = to - from;
            gather(x[0], dims, |place| {
                Some(
                    place.iter().enumerate().map(|(a, at)| if a == axis { at + from } else { *at }).collect(),
                )
            })
        }
        "Expand" => {
            let sizes = x[0].dims.iter().zip(&x[1].values);
            let dims = sizes.map(|(&own, &size)| own.max(size as usize)).collect();
            let within = |(&at, &size): (&usize, &usize)| if size == 1 { 0 } else { at };
            gather(x[0], dims, |place| Some(place.iter().zip(&x[0].dims).map(within).collect()))
        }
        "Concat" => {
            assert_eq!(attribute("axis"), Some(&[1.0][..]));
            let rows = |x: &Tensor| x.values.len() / x.dims[0];
            let image =
                |i: usize| x.iter().flat_map(move |x| x.values[i * rows(x)..][..rows(x)].iter().copied());
            let mut dims = x[0].dims.clone();
            dims[1] = x.iter().map(|x| x.dims[1]).sum();
            Tensor { values: (0..dims[0]).flat_map(image).collect(), dims }
        }
        "MatMul" => {
            let (depth, columns) = (x[0].dims[x[0].dims.len() - 1], x[1].dims[x[1].dims.len() - 1]);
            let rows = x[0].dims[x[0].dims.len() - 2];
            let shared = x[1].dims.len() == 2;
            let mut values = vec![];
            for (i, row) in x[0].values.chunks_exact(depth).enumerate() {
                let matrix = &x[1].values[if shared { 0 } else { i / rows * depth * columns }..];
                let at =
                    |column: usize| (0..depth).map(|k| row[k] * matrix[k * columns + column]).sum::<f64>();
                values.extend((0..columns).map(at));
            }
            let mut dims = x[0].dims.clone();
            *dims.last_mut().unwrap() = columns;
            Tensor { dims, values }
        }
        "Softmax" => {
            let last = x[0].dims.len() - 1;
            assert_eq!(attribute("axis"), Some(&[last as f64][..]));
            let row = |row: &[f64]| {
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                row.iter().map(|v| v.exp() / sum).collect::<Vec<f64>>()
            };
            let values = x[0].values.chunks_exact(x[0].dims[last]).flat_map(row).collect();
            Tensor { dims: x[0].dims.clone(), values }
        }
        "ReduceMean" => {
            let mut dims = x[0].dims.clone();
            assert_eq!(axes(node), [dims.len() - 1]);
            let d = std::mem::replace(dims.last_mut().unwrap(), 1);
            let values = x[0].values.chunks_exact(d).map(|row| row.iter().sum::<f64>() / d as f64).collect();
            Tensor { dims, values }
        }
        "Sqrt" => map(&f64::sqrt),
        "Pow" => broadcast(x[0], x[1], f64::powf),
        "Erf" => map(&erf),
        other => panic!("{}: unknown operator {other}", node.name),
    }
}

/// A tensor whose every place is read from a place of `x`, or is 0.
fn gather(x: &Tensor, dims: Vec<usize>, from: impl Fn(&[usize]) -> Option<Vec<usize>>) -> Tensor {
    let value = |mut i: usize| {
        let mut place = vec![0; dims.len()];
        for axis in (0..dims.len()).rev() {
            place[axis] = i % dims[axis];
            i /= dims[axis];
        }
        let Some(from) = from(&place) else { return 0.0 };
        x.values[from.iter().zip(&x.dims).fold(0, |at, (place, size)| at * size + place)]
    };
    let values = (0..dims.iter().product()).map(value).collect();
    Tensor { dims, values }
}

/// By its Taylor series where that is exact enough, and by its limit beyond.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..150 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

fn four(x: &Tensor) -> [usize; 4] {
    x.dims.clone().try_into().expect("four axes")
}

fn axes(node: &Node) -> Vec<usize> {
    assert_eq!(node.attributes["keepdims"], [1.0]);
    node.attributes["axes"].iter().map(|&a| a as usize).collect()
}

/// `f` of each element of `a` and its partner in `b`, whose axes are aligned at the end and may have size 1.
fn broadcast(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let skipped = a.dims.len().checked_sub(b.dims.len()).expect("the first operand has more axes");
    let partner = |mut i: usize| {
        let (mut at, mut stride) = (0, 1);
        for axis in (skipped..a.dims.len()).rev() {
            let (size, own) = (a.dims[axis], b.dims[axis - skipped]);
            assert!(own == size || own == 1, "{:?} and {:?}", a.dims, b.dims);
            at += if own == 1 { 0 } else { i % size * stride };
            stride *= own;
            i /= size;
        }
        b.values[at]
    };
    let values = a.values.iter().enumerate().map(|(i, &v)| f(v, partner(i))).collect();
    Tensor { dims: a.dims.clone(), values }
}

/// `f` of the elements along some axes, which stay with size 1.
fn reduce(x: &Tensor, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Tensor {
    let kept: Vec<usize> = (0..4).map(|a| if axes.contains(&a) { 1 } else { x.dims[a] }).collect();
    let [n, c, h, w] = four(x);
    let mut groups = vec![vec![]; kept.iter().product()];
    for i in 0..n * c * h * w {
        let place = [i / (c * h * w), i / (h * w) % c, i / w % h, i % w];
        let group = (0..4).fold(0, |at, a| at * kept[a] + if axes.contains(&a) { 0 } else { place[a] });
        groups[group].push(x.values[i]);
    }
    Tensor { dims: kept, values: groups.iter().map(|group| f(group)).collect() }
}

fn convolve(node: &Node, inputs: &[&Tensor]) -> Tensor {
    let list = |name: &str, default: usize, length: usize| -> Vec<usize> {
        let given = node.attributes.get(name);
        given.map_or(vec![default; length], |v| v.iter().map(|&v| v as usize).collect())
    };
    let (x, weight) = (inputs[0], inputs[1]);
    let ([n, c, h, w], [out, depth, kh, kw]) = (four(x), four(weight));
    let (strides, pads) = (list("strides", 1, 2), list("pads", 0, 4));
    let groups = list("group", 1, 1)[0];
    assert_eq!((depth * groups, out % groups), (c, 0), "{}", node.name);
    assert!(node.attributes.get("kernel_shape").is_none_or(|k| *k == [kh as f64, kw as f64]));
    let oh = (h + pads[0] + pads[2] - kh) / strides[0] + 1;
    let ow = (w + pads[1] + pads[3] - kw) / strides[1] + 1;
    let mut values = vec![];
    for i in 0..n * out * oh * ow {
        let (image, o, oy, ox) = (i / (out * oh * ow), i / (oh * ow) % out, i / ow % oh, i % ow);
        let mut sum = inputs.get(2).map_or(0.0, |bias| bias.values[o]);
        for tap in 0..depth * kh * kw {
            let (channel, ky, kx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
            let (y, x_) = (oy * strides[0] + ky, ox * strides[1] + kx);
            if (pads[0]..h + pads[0]).contains(&y) && (pads[1]..w + pads[1]).contains(&x_) {
                let from = image * c + o / (out / groups) * depth + channel;
                let at = (from * h + y - pads[0]) * w + x_ - pads[1];
                sum += weight.values[o * depth * kh * kw + tap] * x.values[at];
            }
        }
        values.push(sum);
    }
    Tensor { dims: vec![n, out, oh, ow], values }
}
