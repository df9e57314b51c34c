//! DINOv2, which candle runs here, written out in ONNX operations.
//!
//! Values are `[n, tokens, d]` until the map is made of them. LayerScale is in the weights before it, the scale of attention in the
//! queries, the class token in the positions. Layer normalisation and GELU are written in the parts of opset 14, as PyTorch's
//! exporter writes them and as runtimes know them.

use mlcls_engine::Node;
use mlcls_models::resample_positions;

use super::builder::{int, ints};
use super::lower::Lowering;
use crate::error::{Error, Result};

/// Width of a head in every size of DINOv2.
const HEAD: usize = 64;
const EPS: f32 = 1e-6;

/// Writes the backbone behind the normalised image `x`; returns its map `[n, 2 d, h, w]`.
pub fn append(lowering: &mut Lowering<'_>, node: &Node, side: usize, x: &str) -> Result<String> {
    let positions = lowering.named("pos_embed")?;
    let class = lowering.named("cls_token")?.to_vec();
    let (d, grid) = (class.len(), node.shape.h);
    let from = (positions.len() / d).isqrt();
    if from * from + 1 != positions.len() / d || !d.is_multiple_of(HEAD) || node.shape.c != 2 * d {
        return Err(Error::node(
            node,
            "candle runs this part of the network, and only DINOv2 is known in ONNX",
        ));
    }
    let places = grid * grid;

    // Patches, an empty place before them, and what is added: positions, and the class token in that place.
    let patch = side / grid;
    let weight = lowering.weight("patch_embed.proj.weight", &[d, 3, patch, patch])?;
    let bias = lowering.weight("patch_embed.proj.bias", &[d])?;
    let window = vec![ints("kernel_shape", [patch; 2]), ints("strides", [patch; 2])];
    let mut x = lowering.onnx.op("Conv", "patch_embed.proj", [x, &weight, &bias], window);
    x = reshape(lowering, "patch_embed/rows", &x, &[0, d, places]);
    x = lowering.onnx.op("Transpose", "patch_embed/tokens", [&*x], vec![ints("perm", [0, 2, 1])]);
    let before = lowering.onnx.whole("one token before", &[0, 1, 0, 0, 0, 0]);
    x = lowering.onnx.op("Pad", "patch_embed/with_class", [&*x, &before], vec![]);
    let (first, patches) = positions.split_at(d);
    let values = || {
        let class = class.iter().zip(first).map(|(class, position)| class + position);
        class.chain(resample_positions(patches, from, grid, d)).collect()
    };
    let positions = lowering.onnx.tensor("positions", &[1, places + 1, d], values);
    x = lowering.onnx.op("Add", "embeddings", [&*x, &positions], vec![]);

    for layer in 0.. {
        let name = |part: &str| format!("blocks.{layer}.{part}");
        if !lowering.has(&name("norm1.weight")) {
            break;
        }
        let y = norm(lowering, &name("norm1"), d, &x)?;
        let y = attention(lowering, &name("attn"), d, &y)?;
        let y = linear(lowering, &name("attn.proj"), (d, d), 0, Some(&name("ls1.gamma")), &y)?;
        x = lowering.onnx.op("Add", &name("attn/sum"), [&*x, &y], vec![]);
        let y = norm(lowering, &name("norm2"), d, &x)?;
        let y = linear(lowering, &name("mlp.fc1"), (d, 4 * d), 0, None, &y)?;
        let y = gelu(lowering, &name("mlp.act"), &y);
        let y = linear(lowering, &name("mlp.fc2"), (4 * d, d), 0, Some(&name("ls2.gamma")), &y)?;
        x = lowering.onnx.op("Add", &name("mlp/sum"), [&*x, &y], vec![]);
    }
    x = norm(lowering, "norm", d, &x)?;

    // The class token at every place, then the patches.
    x = lowering.onnx.op("Transpose", "map/rows", [&*x], vec![ints("perm", [0, 2, 1])]);
    let class = slice(lowering, "map/class", &x, 0, 1);
    let class = reshape(lowering, "map/class_place", &class, &[0, d, 1, 1]);
    let shape = lowering.onnx.whole(&format!("[1,1,{grid},{grid}]"), &[1, 1, grid, grid]);
    let class = lowering.onnx.op("Expand", "map/class_everywhere", [&*class, &shape], vec![]);
    let patches = slice(lowering, "map/patches", &x, 1, places + 1);
    let patches = reshape(lowering, "map/patch_places", &patches, &[0, d, grid, grid]);
    Ok(lowering.onnx.op("Concat", &node.name, [&*class, &patches], vec![int("axis", 1)]))
}

/// `softmax(q k / 8) v` in heads; queries carry the scale.
fn attention(lowering: &mut Lowering<'_>, name: &str, d: usize, x: &str) -> Result<String> {
    let part = |what: &str| format!("{name}/{what}");
    let mut heads = |number: usize, what: &str, perm: [usize; 4]| {
        let qkv = format!("{name}.qkv");
        let y = linear(lowering, &qkv, (d, d), number, None, x)?;
        let y = reshape(lowering, &part(&format!("{what}/split")), &y, &[0, 0, d / HEAD, HEAD]);
        Ok::<_, Error>(lowering.onnx.op("Transpose", &part(what), [&*y], vec![ints("perm", perm)]))
    };
    let q = heads(0, "query", [0, 2, 1, 3])?;
    let k = heads(1, "key", [0, 2, 3, 1])?;
    let v = heads(2, "value", [0, 2, 1, 3])?;
    let scale = lowering.onnx.scalar(1.0 / (HEAD as f32).sqrt());
    let q = lowering.onnx.op("Mul", &part("query/scaled"), [&*q, &scale], vec![]);
    let y = lowering.onnx.op("MatMul", &part("scores"), [&*q, &k], vec![]);
    let y = lowering.onnx.op("Softmax", &part("shares"), [&*y], vec![int("axis", 3)]);
    let y = lowering.onnx.op("MatMul", &part("mixed"), [&*y, &v], vec![]);
    let y = lowering.onnx.op("Transpose", &part("tokens"), [&*y], vec![ints("perm", [0, 2, 1, 3])]);
    Ok(reshape(lowering, &part("joined"), &y, &[0, 0, d]))
}

/// A linear layer of `(from, to)` numbers: the `number`-th of those that lie one after another in its weight; `gamma` scales what
/// comes out.
fn linear(
    lowering: &mut Lowering<'_>,
    name: &str,
    (from, to): (usize, usize),
    number: usize,
    gamma: Option<&str>,
    x: &str,
) -> Result<String> {
    let gamma = gamma.map(|gamma| lowering.named(gamma)).transpose()?;
    let scale = |row: usize| gamma.map_or(1.0, |gamma| gamma[row]);
    let rows = &lowering.named(&format!("{name}.weight"))?[number * to * from..][..to * from];
    let bias = &lowering.named(&format!("{name}.bias"))?[number * to..][..to];
    let part = |what: &str| format!("{name}.{number}.{what}");
    let turned = || (0..from * to).map(|i| rows[i % to * from + i / to] * scale(i % to)).collect();
    let weight = lowering.onnx.tensor(&part("weight"), &[from, to], turned);
    let shift = || bias.iter().enumerate().map(|(row, b)| b * scale(row)).collect();
    let bias = lowering.onnx.tensor(&part("bias"), &[to], shift);
    let y = lowering.onnx.op("MatMul", &part("product"), [x, &weight], vec![]);
    Ok(lowering.onnx.op("Add", &part("sum"), [&*y, &bias], vec![]))
}

/// Layer normalisation over the last axis.
fn norm(lowering: &mut Lowering<'_>, name: &str, d: usize, x: &str) -> Result<String> {
    let weight = lowering.weight(&format!("{name}.weight"), &[d])?;
    let bias = lowering.weight(&format!("{name}.bias"), &[d])?;
    let part = |what: &str| format!("{name}/{what}");
    let onnx = &mut lowering.onnx;
    let (two, eps) = (onnx.scalar(2.0), onnx.scalar(EPS));
    let last = || vec![ints("axes", [2]), int("keepdims", 1)];
    let mean = onnx.op("ReduceMean", &part("mean"), [x], last());
    let centred = onnx.op("Sub", &part("centred"), [x, &*mean], vec![]);
    let square = onnx.op("Pow", &part("square"), [&*centred, &two], vec![]);
    let variance = onnx.op("ReduceMean", &part("variance"), [&*square], last());
    let above = onnx.op("Add", &part("above_zero"), [&*variance, &eps], vec![]);
    let deviation = onnx.op("Sqrt", &part("deviation"), [&*above], vec![]);
    let unit = onnx.op("Div", &part("unit"), [&*centred, &*deviation], vec![]);
    let scaled = onnx.op("Mul", &part("scaled"), [&*unit, &weight], vec![]);
    Ok(onnx.op("Add", name, [&*scaled, &bias], vec![]))
}

/// `x (1 + erf(x / sqrt 2)) / 2`.
fn gelu(lowering: &mut Lowering<'_>, name: &str, x: &str) -> String {
    let part = |what: &str| format!("{name}/{what}");
    let onnx = &mut lowering.onnx;
    let (root, one, half) = (onnx.scalar(std::f32::consts::SQRT_2), onnx.scalar(1.0), onnx.scalar(0.5));
    let y = onnx.op("Div", &part("narrow"), [x, &*root], vec![]);
    let y = onnx.op("Erf", &part("erf"), [&*y], vec![]);
    let y = onnx.op("Add", &part("above"), [&*y, &one], vec![]);
    let y = onnx.op("Mul", &part("gated"), [x, &*y], vec![]);
    onnx.op("Mul", name, [&*y, &half], vec![])
}

/// Another shape of the same numbers; a 0 keeps the axis as it is.
fn reshape(lowering: &mut Lowering<'_>, name: &str, x: &str, shape: &[usize]) -> String {
    let shape = lowering.onnx.whole(&format!("{shape:?}"), shape);
    lowering.onnx.op("Reshape", name, [x, &*shape], vec![])
}

/// Some of the last of three axes.
fn slice(lowering: &mut Lowering<'_>, name: &str, x: &str, from: usize, to: usize) -> String {
    let [from, to, axis] = [from, to, 2].map(|n| lowering.onnx.whole(&format!("[{n}]"), &[n]));
    lowering.onnx.op("Slice", name, [x, &*from, &*to, &*axis], vec![])
}
