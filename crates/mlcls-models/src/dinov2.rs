//! DINOv2 (Oquab et al. 2023, <https://arxiv.org/abs/2304.07193>), timm's `vit_small_patch14_dinov2` and
//! `vit_base_patch14_dinov2`: vision transformers that learnt without labels, run by candle-transformers.
//!
//! They stay frozen here: the engine trains convolutional networks, and what these features are known for is that a head alone does
//! well on them. The encoder is that of candle-transformers' `vit`, into whose layers LayerScale is folded: its `dinov2` has the tanh
//! form of GELU, another epsilon, nearest neighbours for positions, takes one image, and keeps the class token to itself.
//!
//! The map of an image has a place for each patch, with the class token and the patch's own token, normalised: its mean over the
//! places is what the paper's linear evaluation sees.

use std::collections::HashMap;

use candle_core::{DType, Device, Module, Result as CandleResult, Tensor};
use candle_nn::{Activation, LayerNorm, VarBuilder, layer_norm};
use candle_transformers::models::vit::{Config, Embeddings, Encoder};
use mlcls_engine::{BuildModule, Error, GraphBuilder, NodeId, ParamKind, Result, Shape};

use crate::positions::resample_positions;

/// Side of a patch in pixels.
const PATCH: usize = 14;
/// Patches along a side of the images of training, which positions were learnt for.
const GRID: usize = 37;
/// Added to the variance by every layer normalisation of DINOv2.
pub const DINOV2_EPS: f64 = 1e-6;
/// Numbers of an attention head in every size of DINOv2.
pub const DINOV2_HEAD: usize = 64;

/// Depth and width.
#[derive(Clone, Copy)]
struct Size {
    depth: usize,
    dim: usize,
}

const SMALL: Size = Size { depth: 12, dim: 384 };
const BASE: Size = Size { depth: 12, dim: 768 };

/// From the image to a map `[side / 14, side / 14, 768]`.
pub(crate) fn small(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    append(b, image, drop_path, SMALL, |tensors, image| Ok(Box::new(Dinov2::new(tensors, image, SMALL)?)))
}

/// From the image to a map `[side / 14, side / 14, 1536]`.
pub(crate) fn base(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    append(b, image, drop_path, BASE, |tensors, image| Ok(Box::new(Dinov2::new(tensors, image, BASE)?)))
}

fn append(
    b: &mut GraphBuilder,
    image: NodeId,
    drop_path: f32,
    size: Size,
    build: BuildModule,
) -> Result<NodeId> {
    let side = b.shape(image).h;
    let refuse = |reason| Err(Error::Graph { node: "patch_embed".to_owned(), reason });
    if !side.is_multiple_of(PATCH) {
        let below = side / PATCH * PATCH;
        let near = if below == 0 { PATCH.to_string() } else { format!("{below} or {}", below + PATCH) };
        return refuse(format!(
            "an image of {side} pixels is no whole number of patches of {PATCH}; take {near}"
        ));
    }
    if drop_path > 0.0 {
        return refuse(format!(
            "drop_path {drop_path} is for training, and this backbone is frozen; expected 0"
        ));
    }
    let Size { depth, dim } = size;
    let grid = side / PATCH;
    let (patches, tokens) = ((grid * grid) as u64, (grid * grid + 1) as u64);
    let width = dim as u64;
    let layer = 12 * tokens * width * width + 2 * tokens * tokens * width;
    let macs = patches * width * (3 * PATCH * PATCH) as u64 + depth as u64 * layer;
    Ok(b.candle("dinov2", image, Shape::new(grid, grid, 2 * dim), params(size), build, macs))
}

/// timm's tensors in timm's order.
fn params(size: Size) -> Vec<(String, Vec<usize>, ParamKind)> {
    use ParamKind::{Bias, NormBias, NormWeight, Weight};
    let d = size.dim;
    let mut all = vec![
        ("cls_token".to_owned(), vec![1, 1, d], Weight),
        ("pos_embed".to_owned(), vec![1, GRID * GRID + 1, d], Weight),
        ("patch_embed.proj.weight".to_owned(), vec![d, 3, PATCH, PATCH], Weight),
        ("patch_embed.proj.bias".to_owned(), vec![d], Bias),
    ];
    let norm = |name: String| {
        [(format!("{name}.weight"), vec![d], NormWeight), (format!("{name}.bias"), vec![d], NormBias)]
    };
    for layer in 0..size.depth {
        let name = |part: &str| format!("blocks.{layer}.{part}");
        let linear = |part: &str, out: usize, from: usize| {
            [
                (name(&format!("{part}.weight")), vec![out, from], Weight),
                (name(&format!("{part}.bias")), vec![out], Bias),
            ]
        };
        all.extend(norm(name("norm1")));
        all.extend(linear("attn.qkv", 3 * d, d));
        all.extend(linear("attn.proj", d, d));
        all.push((name("ls1.gamma"), vec![d], NormWeight));
        all.extend(norm(name("norm2")));
        all.extend(linear("mlp.fc1", 4 * d, d));
        all.extend(linear("mlp.fc2", d, 4 * d));
        all.push((name("ls2.gamma"), vec![d], NormWeight));
    }
    all.extend(norm("norm".to_owned()));
    all
}

struct Dinov2 {
    embeddings: Embeddings,
    encoder: Encoder,
    norm: LayerNorm,
    grid: usize,
}

impl Dinov2 {
    fn new(tensors: &HashMap<String, Tensor>, image: Shape, size: Size) -> CandleResult<Self> {
        let grid = image.h / PATCH;
        let config = Config {
            hidden_size: size.dim,
            num_hidden_layers: size.depth,
            num_attention_heads: size.dim / DINOV2_HEAD,
            intermediate_size: 4 * size.dim,
            hidden_act: Activation::Gelu, // by the error function
            layer_norm_eps: DINOV2_EPS,
            image_size: image.h,
            patch_size: PATCH,
            num_channels: 3,
            qkv_bias: true,
        };
        let vb = VarBuilder::from_tensors(renamed(tensors, size, grid)?, DType::F32, &Device::Cpu);
        Ok(Self {
            embeddings: Embeddings::new(&config, false, vb.pp("embeddings"))?,
            encoder: Encoder::new(&config, vb.pp("encoder"))?,
            norm: layer_norm(size.dim, DINOV2_EPS, vb.pp("norm"))?,
            grid,
        })
    }
}

impl Module for Dinov2 {
    fn forward(&self, image: &Tensor) -> CandleResult<Tensor> {
        let tokens = self.embeddings.forward(image, None, false)?;
        let tokens = self.norm.forward(&self.encoder.forward(&tokens)?)?;
        let (n, count, d) = tokens.dims3()?;
        let class = tokens.narrow(1, 0, 1)?.broadcast_as((n, count - 1, d))?;
        let map = Tensor::cat(&[&class, &tokens.narrow(1, 1, count - 1)?], 2)?;
        map.reshape((n, self.grid, self.grid, 2 * d))
    }
}

/// timm's tensors under the names of candle-transformers: queries, keys and values apart, LayerScale in the weights before it,
/// positions for a grid of this side.
fn renamed(
    tensors: &HashMap<String, Tensor>,
    size: Size,
    grid: usize,
) -> CandleResult<HashMap<String, Tensor>> {
    let get = |name: &str| {
        tensors.get(name).ok_or_else(|| candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt())
    };
    let mut out = HashMap::new();
    let mut put = |name: String, tensor: Tensor| out.insert(name, tensor);
    let positions = get("pos_embed")?.flatten_all()?.to_vec1::<f32>()?;
    let (class, patches) = positions.split_at(size.dim);
    let resampled = [class, &resample_positions(patches, GRID, grid, size.dim)].concat();
    let shape = (1, grid * grid + 1, size.dim);
    put("embeddings.position_embeddings".to_owned(), Tensor::from_vec(resampled, shape, &Device::Cpu)?);
    put("embeddings.cls_token".to_owned(), get("cls_token")?.clone());
    for end in ["weight", "bias"] {
        let patch = get(&format!("patch_embed.proj.{end}"))?;
        put(format!("embeddings.patch_embeddings.projection.{end}"), patch.clone());
        put(format!("norm.{end}"), get(&format!("norm.{end}"))?.clone());
        for layer in 0..size.depth {
            let from = |part: &str| get(&format!("blocks.{layer}.{part}"));
            let to = |part: &str| format!("encoder.layer.{layer}.{part}.{end}");
            let qkv = from(&format!("attn.qkv.{end}"))?.chunk(3, 0)?;
            for (name, tensor) in ["query", "key", "value"].into_iter().zip(qkv) {
                put(to(&format!("attention.attention.{name}")), tensor.contiguous()?);
            }
            put(to("layernorm_before"), from(&format!("norm1.{end}"))?.clone());
            put(to("layernorm_after"), from(&format!("norm2.{end}"))?.clone());
            put(to("intermediate.dense"), from(&format!("mlp.fc1.{end}"))?.clone());
            let scaled = [("attention.output.dense", "attn.proj", "ls1"), ("output.dense", "mlp.fc2", "ls2")];
            for (name, linear, scale) in scaled {
                let (linear, gamma) = (from(&format!("{linear}.{end}"))?, from(&format!("{scale}.gamma"))?);
                let gamma = if end == "weight" { gamma.unsqueeze(1)? } else { gamma.clone() };
                put(to(name), linear.broadcast_mul(&gamma)?);
            }
        }
    }
    Ok(out)
}
