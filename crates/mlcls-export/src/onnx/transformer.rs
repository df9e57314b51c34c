//! DINOv2, which candle runs here, written out in ONNX operations.
//!
//! Values are `[n, tokens, d]` until the map is made of them. LayerScale is in the weights before it, the class token in the
//! positions. Layer normalisation and GELU are written in the parts of opset 14, as PyTorch's
//! exporter writes them and as runtimes know them.

use mlcls_engine::Node;
use mlcls_models::{DINOV2_EPS, DINOV2_HEAD as HEAD, resample_positions};

use super::builder::{Builder, int, ints};
use super::params::Params;
use crate::error::{Error, Result};

/// Writes the backbone behind the normalised image `x`; returns its map `[n, 2 d, h, w]`.
pub fn append(onnx: &mut Builder, params: Params<'_>, node: &Node, x: &str) -> Result<String> {
    let (d, patch) = (params.named("cls_token")?.len(), params.graph.input_shape().h / node.shape.h);
    if !d.is_multiple_of(HEAD) || node.shape.c != 2 * d {
        let reason = "candle runs this part of the network, and only DINOv2 is known in ONNX";
        return Err(Error::node(node, reason));
    }
    let mut writer = Writer { onnx, params, d, grid: node.shape.h };
    let mut tokens = writer.embed(patch, x)?;
    for layer in 0.. {
        let name = format!("blocks.{layer}");
        if !params.has(&format!("{name}.norm1.weight")) {
            break;
        }
        tokens = writer.layer(&name, &tokens)?;
    }
    tokens = writer.norm("norm", &tokens)?;
    Ok(writer.map(&node.name, &tokens))
}

/// Where operations go, the parameters that they take, and two sizes.
struct Writer<'a, 'b> {
    onnx: &'b mut Builder,
    params: Params<'a>,
    /// Numbers of a token.
    d: usize,
    /// Patches along a side.
    grid: usize,
}

impl Writer<'_, '_> {
    /// Patches with an empty place before them, and what is added: positions, and the class token in that place.
    fn embed(&mut self, patch: usize, x: &str) -> Result<String> {
        let (d, places) = (self.d, self.grid * self.grid);
        let weight = self.weight("patch_embed.proj.weight", &[d, 3, patch, patch])?;
        let bias = self.weight("patch_embed.proj.bias", &[d])?;
        let window = vec![ints("kernel_shape", [patch; 2]), ints("strides", [patch; 2])];
        let x = self.onnx.op("Conv", "patch_embed.proj", [x, &weight, &bias], window);
        let x = self.reshape("patch_embed/rows", &x, &[0, d, places]);
        let x = self.onnx.op("Transpose", "patch_embed/tokens", [&*x], vec![ints("perm", [0, 2, 1])]);
        let before = self.onnx.whole("one token before", &[0, 1, 0, 0, 0, 0]);
        let x = self.onnx.op("Pad", "patch_embed/with_class", [&*x, &before], vec![]);
        let class = self.params.named("cls_token")?;
        let (first, patches) = self.params.named("pos_embed")?.split_at(d);
        let from = (patches.len() / d).isqrt();
        let values = || {
            let class = class.iter().zip(first).map(|(class, position)| class + position);
            class.chain(resample_positions(patches, from, self.grid, d)).collect()
        };
        let positions = self.onnx.tensor("positions", &[1, places + 1, d], values);
        Ok(self.onnx.op("Add", "embeddings", [&*x, &positions], vec![]))
    }

    /// Attention, then the two linear layers, each beside a shortcut.
    fn layer(&mut self, name: &str, x: &str) -> Result<String> {
        let d = self.d;
        let part = |what: &str| format!("{name}.{what}");
        let y = self.norm(&part("norm1"), x)?;
        let y = self.attention(&part("attn"), &y)?;
        let y = self.linear(&part("attn.proj"), (d, d), 0, Some(&part("ls1.gamma")), &y)?;
        let x = self.onnx.op("Add", &part("attn/sum"), [x, &*y], vec![]);
        let y = self.norm(&part("norm2"), &x)?;
        let y = self.linear(&part("mlp.fc1"), (d, 4 * d), 0, None, &y)?;
        let y = self.gelu(&part("mlp.act"), &y);
        let y = self.linear(&part("mlp.fc2"), (4 * d, d), 0, Some(&part("ls2.gamma")), &y)?;
        Ok(self.onnx.op("Add", &part("mlp/sum"), [&*x, &*y], vec![]))
    }

    /// The class token at every place, then the patches.
    fn map(&mut self, name: &str, x: &str) -> String {
        let (d, grid) = (self.d, self.grid);
        let x = self.onnx.op("Transpose", "map/rows", [x], vec![ints("perm", [0, 2, 1])]);
        let class = self.slice("map/class", &x, 0, 1);
        let class = self.reshape("map/class_place", &class, &[0, d, 1, 1]);
        let shape = self.onnx.whole(&format!("[1,1,{grid},{grid}]"), &[1, 1, grid, grid]);
        let class = self.onnx.op("Expand", "map/class_everywhere", [&*class, &shape], vec![]);
        let patches = self.slice("map/patches", &x, 1, grid * grid + 1);
        let patches = self.reshape("map/patch_places", &patches, &[0, d, grid, grid]);
        self.onnx.op("Concat", name, [&*class, &patches], vec![int("axis", 1)])
    }

    /// A parameter as it is, by its name.
    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let values = self.params.named(name)?;
        Ok(self.onnx.tensor(name, shape, || values.to_vec()))
    }

    /// `softmax(q k / 8) v` in heads.
    fn attention(&mut self, name: &str, x: &str) -> Result<String> {
        let d = self.d;
        let part = |what: &str| format!("{name}/{what}");
        let mut heads = |number: usize, what: &str, perm: [usize; 4]| {
            let qkv = format!("{name}.qkv");
            let y = self.linear(&qkv, (d, d), number, None, x)?;
            let y = self.reshape(&part(&format!("{what}/split")), &y, &[0, 0, d / HEAD, HEAD]);
            Ok::<_, Error>(self.onnx.op("Transpose", &part(what), [&*y], vec![ints("perm", perm)]))
        };
        let q = heads(0, "query", [0, 2, 1, 3])?;
        let k = heads(1, "key", [0, 2, 3, 1])?;
        let v = heads(2, "value", [0, 2, 1, 3])?;
        let scale = self.onnx.scalar(1.0 / (HEAD as f32).sqrt());
        let q = self.onnx.op("Mul", &part("query/scaled"), [&*q, &scale], vec![]);
        let y = self.onnx.op("MatMul", &part("scores"), [&*q, &k], vec![]);
        let y = self.onnx.op("Softmax", &part("shares"), [&*y], vec![int("axis", 3)]);
        let y = self.onnx.op("MatMul", &part("mixed"), [&*y, &v], vec![]);
        let y = self.onnx.op("Transpose", &part("tokens"), [&*y], vec![ints("perm", [0, 2, 1, 3])]);
        Ok(self.reshape(&part("joined"), &y, &[0, 0, d]))
    }

    /// A linear layer of `(from, to)` numbers: the `number`-th of those that lie one after another in its weight; `gamma` scales what
    /// comes out.
    fn linear(
        &mut self,
        name: &str,
        (from, to): (usize, usize),
        number: usize,
        gamma: Option<&str>,
        x: &str,
    ) -> Result<String> {
        let gamma = gamma.map(|gamma| self.params.named(gamma)).transpose()?;
        let scale = |row: usize| gamma.map_or(1.0, |gamma| gamma[row]);
        let rows = &self.params.named(&format!("{name}.weight"))?[number * to * from..][..to * from];
        let bias = &self.params.named(&format!("{name}.bias"))?[number * to..][..to];
        let part = |what: &str| format!("{name}.{number}.{what}");
        let turned = || (0..from * to).map(|i| rows[i % to * from + i / to] * scale(i % to)).collect();
        let weight = self.onnx.tensor(&part("weight"), &[from, to], turned);
        let shift = || bias.iter().enumerate().map(|(row, b)| b * scale(row)).collect();
        let bias = self.onnx.tensor(&part("bias"), &[to], shift);
        let y = self.onnx.op("MatMul", &part("product"), [x, &weight], vec![]);
        Ok(self.onnx.op("Add", &part("sum"), [&*y, &bias], vec![]))
    }

    /// Layer normalisation over the last axis.
    fn norm(&mut self, name: &str, x: &str) -> Result<String> {
        let d = self.d;
        let weight = self.weight(&format!("{name}.weight"), &[d])?;
        let bias = self.weight(&format!("{name}.bias"), &[d])?;
        let part = |what: &str| format!("{name}/{what}");
        let onnx = &mut *self.onnx;
        let (two, eps) = (onnx.scalar(2.0), onnx.scalar(DINOV2_EPS as f32));
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
    fn gelu(&mut self, name: &str, x: &str) -> String {
        let part = |what: &str| format!("{name}/{what}");
        let onnx = &mut *self.onnx;
        let (root, one, half) = (onnx.scalar(std::f32::consts::SQRT_2), onnx.scalar(1.0), onnx.scalar(0.5));
        let y = onnx.op("Div", &part("narrow"), [x, &*root], vec![]);
        let y = onnx.op("Erf", &part("erf"), [&*y], vec![]);
        let y = onnx.op("Add", &part("above"), [&*y, &one], vec![]);
        let y = onnx.op("Mul", &part("gated"), [x, &*y], vec![]);
        onnx.op("Mul", name, [&*y, &half], vec![])
    }

    /// Another shape of the same numbers; a 0 keeps the axis as it is.
    fn reshape(&mut self, name: &str, x: &str, shape: &[usize]) -> String {
        let shape = self.onnx.whole(&format!("{shape:?}"), shape);
        self.onnx.op("Reshape", name, [x, &*shape], vec![])
    }

    /// Some of the last of three axes.
    fn slice(&mut self, name: &str, x: &str, from: usize, to: usize) -> String {
        let [from, to, axis] = [from, to, 2].map(|n| self.onnx.whole(&format!("[{n}]"), &[n]));
        self.onnx.op("Slice", name, [x, &*from, &*to, &*axis], vec![])
    }
}
