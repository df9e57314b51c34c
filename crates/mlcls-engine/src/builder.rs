//! Writing a network down, node by node.

use crate::error::{Error, Result};
use crate::graph::*;

/// How a convolution pads its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// `(kernel - 1) / 2` on every side, as PyTorch models do.
    Symmetric,
    /// TensorFlow's SAME: output `ceil(size / stride)`, with the odd row or column below and on the right.
    Same,
}

/// A convolution's choices; see [`GraphBuilder::conv`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvOptions {
    /// Side of the square kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// How the input is padded.
    pub padding: Padding,
    /// Whether there is a bias (starting at 0).
    pub bias: bool,
    /// How the weight starts; `None` is normal with variance 2 / (kernel² · out channels), timm's choice for these nets.
    pub init: Option<Init>,
}

impl Default for ConvOptions {
    /// A 1x1 convolution without bias.
    fn default() -> Self {
        Self { kernel: 1, stride: 1, padding: Padding::Symmetric, bias: false, init: None }
    }
}

/// Builds a [`Graph`] node by node. Names are timm's module names: a convolution `conv_stem` owns `conv_stem.weight`.
///
/// ```
/// use mlcls_engine::{Activation, ConvOptions, GraphBuilder, Padding};
///
/// # fn main() -> mlcls_engine::Result<()> {
/// let mut b = GraphBuilder::new("tiny", 32);
/// let x = b.input([0.5; 3], [0.5; 3]);
/// let x = b.conv("stem", x, 8, ConvOptions { kernel: 3, stride: 2, ..Default::default() })?;
/// let x = b.batch_norm("bn", x, 1e-5, 0.1)?;
/// let map = b.activation(x, Activation::Relu);
/// let features = b.global_pool(map);
/// let logits = b.cosine_linear("head", features, 4, 7.0)?;
/// let graph = b.finish(map, features, logits)?;
/// assert_eq!(graph.output_len(), 4);
/// assert_eq!(graph.param_len(), 8 * 3 * 9 + 8 + 8 + 4 * 8);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    name: String,
    size: usize,
    nodes: Vec<Node>,
    params: Vec<ParamSpec>,
    buffers: Vec<BufferSpec>,
}

impl GraphBuilder {
    /// An empty graph for square images of `size` pixels a side.
    pub fn new(name: &str, size: usize) -> Self {
        Self { name: name.to_owned(), size, nodes: vec![], params: vec![], buffers: vec![] }
    }

    /// Shape of a node's output for one image.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], shape: Shape) -> NodeId {
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), shape });
        NodeId(self.nodes.len() - 1)
    }

    fn param(&mut self, name: String, shape: &[usize], kind: ParamKind, init: Init) -> ParamId {
        let offset = self.params.last().map_or(0, |p| p.range().end);
        self.params.push(ParamSpec { name, shape: shape.to_vec(), offset, kind, init });
        ParamId(self.params.len() - 1)
    }

    fn buffer(&mut self, name: String, len: usize, start: f32) -> BufferId {
        let offset = self.buffers.last().map_or(0, |b| b.range().end);
        self.buffers.push(BufferSpec { name, shape: vec![len], offset, start });
        BufferId(self.buffers.len() - 1)
    }

    /// The image: uint8 RGB, normalised to `(x / 255 - mean) / std`. Must come first, and once.
    pub fn input(&mut self, mean: [f32; 3], std: [f32; 3]) -> NodeId {
        let shape = Shape::new(self.size, self.size, 3);
        self.push("", Op::Input { mean, std }, &[], shape)
    }

    fn window(&self, name: &str, x: NodeId, o: &ConvOptions) -> Result<(Window, usize, usize)> {
        let s = self.shape(x);
        let fail = |reason: String| Error::Graph { node: name.to_owned(), reason };
        if o.kernel == 0 || o.stride == 0 {
            return Err(fail(format!("kernel {} and stride {} must be positive", o.kernel, o.stride)));
        }
        let axis = |size: usize| -> Result<(usize, usize, usize)> {
            let (lo, hi) = match o.padding {
                Padding::Symmetric => ((o.kernel - 1) / 2, (o.kernel - 1) / 2),
                Padding::Same => {
                    let total = ((size.div_ceil(o.stride) - 1) * o.stride + o.kernel).saturating_sub(size);
                    (total / 2, total - total / 2)
                }
            };
            let span = (size + lo + hi)
                .checked_sub(o.kernel)
                .ok_or_else(|| fail(format!("a kernel of {} does not fit {size} pixels", o.kernel)))?;
            Ok((lo, hi, span / o.stride + 1))
        };
        let (top, bottom, h) = axis(s.h)?;
        let (left, right, w) = axis(s.w)?;
        let pads = Pads { top, bottom, left, right };
        Ok((Window { kernel: o.kernel, stride: o.stride, pads }, h, w))
    }

    /// A convolution over all input channels to `out` channels.
    pub fn conv(&mut self, name: &str, x: NodeId, out: usize, o: ConvOptions) -> Result<NodeId> {
        let (window, h, w) = self.window(name, x, &o)?;
        let cin = self.shape(x).c;
        let fan_out = (o.kernel * o.kernel * out) as f32;
        let init = o.init.unwrap_or(Init::Normal((2.0 / fan_out).sqrt()));
        let shape = [out, cin, o.kernel, o.kernel];
        let weight = self.param(format!("{name}.weight"), &shape, ParamKind::Weight, init);
        let bias =
            o.bias.then(|| self.param(format!("{name}.bias"), &[out], ParamKind::Bias, Init::Constant(0.0)));
        Ok(self.push(name, Op::Conv { window, weight, bias }, &[x], Shape::new(h, w, out)))
    }

    /// A convolution with one kernel per channel, without bias.
    pub fn depthwise(&mut self, name: &str, x: NodeId, o: ConvOptions) -> Result<NodeId> {
        let (window, h, w) = self.window(name, x, &o)?;
        if o.bias {
            let reason = "a depthwise convolution has no bias here".to_owned();
            return Err(Error::Graph { node: name.to_owned(), reason });
        }
        let c = self.shape(x).c;
        let init = o.init.unwrap_or(Init::Normal((2.0 / (o.kernel * o.kernel) as f32).sqrt()));
        let shape = [c, 1, o.kernel, o.kernel];
        let weight = self.param(format!("{name}.weight"), &shape, ParamKind::Weight, init);
        Ok(self.push(name, Op::Depthwise { window, weight }, &[x], Shape::new(h, w, c)))
    }

    /// A linear layer on a pooled (1x1) map; its weight has shape `[out, in]` as in PyTorch.
    pub fn linear(&mut self, name: &str, x: NodeId, out: usize, init: Init) -> Result<NodeId> {
        let s = self.shape(x);
        if s.pixels() != 1 {
            let reason = format!("a linear layer needs a pooled map, found {}x{}", s.h, s.w);
            return Err(Error::Graph { node: name.to_owned(), reason });
        }
        let weight = self.param(format!("{name}.weight"), &[out, s.c], ParamKind::Weight, init);
        let bias = Some(self.param(format!("{name}.bias"), &[out], ParamKind::Bias, Init::Constant(0.0)));
        let op = Op::Conv { window: Window::POINT, weight, bias };
        Ok(self.push(name, op, &[x], Shape::new(1, 1, out)))
    }

    /// Batch normalisation, starting at scale 1, shift 0, running mean 0 and running variance 1.
    ///
    /// `momentum` is the share of the new batch in the running statistics (PyTorch's meaning of the word).
    pub fn batch_norm(&mut self, name: &str, x: NodeId, eps: f32, momentum: f32) -> Result<NodeId> {
        let shape = self.shape(x);
        if !matches!(self.nodes[x.0].op, Op::Conv { .. } | Op::Depthwise { .. }) {
            let reason = "batch-norm must follow a convolution or a linear layer".to_owned();
            return Err(Error::Graph { node: name.to_owned(), reason });
        }
        let c = [shape.c];
        let one = Init::Constant(1.0);
        let weight = self.param(format!("{name}.weight"), &c, ParamKind::NormWeight, one);
        let bias = self.param(format!("{name}.bias"), &c, ParamKind::NormBias, Init::Constant(0.0));
        let running_mean = self.buffer(format!("{name}.running_mean"), shape.c, 0.0);
        let running_var = self.buffer(format!("{name}.running_var"), shape.c, 1.0);
        let op = Op::BatchNorm { eps, momentum, weight, bias, running_mean, running_var };
        Ok(self.push(name, op, &[x], shape))
    }

    /// An activation without parameters.
    pub fn activation(&mut self, x: NodeId, act: Activation) -> NodeId {
        self.push("", Op::Activation(act), &[x], self.shape(x))
    }

    /// A PReLU with one slope for all channels, starting at 0.25.
    pub fn prelu(&mut self, name: &str, x: NodeId) -> NodeId {
        let slope = self.param(format!("{name}.weight"), &[1], ParamKind::Slope, Init::Constant(0.25));
        self.push(name, Op::PRelu { slope }, &[x], self.shape(x))
    }

    /// Squeeze-and-excite with timm's parameter names `conv_reduce` and `conv_expand`.
    pub fn squeeze_excite(
        &mut self,
        name: &str,
        x: NodeId,
        reduced: usize,
        act: Activation,
        gate: Activation,
    ) -> NodeId {
        let shape = self.shape(x);
        let normal = |fan_out: usize| Init::Normal((2.0 / fan_out as f32).sqrt());
        let zero = Init::Constant(0.0);
        let part = |s: &str| format!("{name}.{s}");
        let reduce = [reduced, shape.c, 1, 1];
        let expand = [shape.c, reduced, 1, 1];
        let reduce_weight =
            self.param(part("conv_reduce.weight"), &reduce, ParamKind::Weight, normal(reduced));
        let reduce_bias = self.param(part("conv_reduce.bias"), &[reduced], ParamKind::Bias, zero);
        let expand_weight =
            self.param(part("conv_expand.weight"), &expand, ParamKind::Weight, normal(shape.c));
        let expand_bias = self.param(part("conv_expand.bias"), &[shape.c], ParamKind::Bias, zero);
        let op = Op::SqueezeExcite { act, gate, reduce_weight, reduce_bias, expand_weight, expand_bias };
        self.push(name, op, &[x], shape)
    }

    /// `branch + shortcut`, with stochastic depth on the branch while training.
    pub fn add(&mut self, branch: NodeId, shortcut: NodeId, drop_path: f32) -> Result<NodeId> {
        let (a, b) = (self.shape(branch), self.shape(shortcut));
        if a != b {
            let node = self.nodes[branch.0].name.clone();
            return Err(Error::Graph { node, reason: format!("cannot add {a:?} and {b:?}") });
        }
        Ok(self.push("", Op::Add { drop_path }, &[branch, shortcut], a))
    }

    /// Mean over rows and columns.
    pub fn global_pool(&mut self, x: NodeId) -> NodeId {
        let c = self.shape(x).c;
        self.push("", Op::GlobalAvgPool, &[x], Shape::new(1, 1, c))
    }

    /// Dropout on a pooled map.
    pub fn dropout(&mut self, x: NodeId, p: f32) -> NodeId {
        self.push("", Op::Dropout { p }, &[x], self.shape(x))
    }

    /// The cosine classifier: `scale` times the cosine between the features and each class vector.
    pub fn cosine_linear(&mut self, name: &str, x: NodeId, classes: usize, scale: f32) -> Result<NodeId> {
        let s = self.shape(x);
        if s.pixels() != 1 {
            let reason = format!("the cosine head needs pooled features, found {}x{}", s.h, s.w);
            return Err(Error::Graph { node: name.to_owned(), reason });
        }
        let shape = [classes, s.c];
        let weight = self.param(format!("{name}.weight"), &shape, ParamKind::Weight, Init::UnitRows);
        Ok(self.push(name, Op::CosineLinear { scale, weight }, &[x], Shape::new(1, 1, classes)))
    }

    /// A part that candle runs, from the image to a map of `shape`; `params` are its own (name, shape, what it is), and
    /// start at random as transformers do.
    ///
    /// ```
    /// use candle_core::{Module, Result, Tensor};
    /// use mlcls_engine::{GraphBuilder, Init, InferPlan, Shape, Weights};
    ///
    /// /// The image itself, channels last.
    /// struct Image;
    /// impl Module for Image {
    ///     fn forward(&self, x: &Tensor) -> Result<Tensor> {
    ///         x.permute((0, 2, 3, 1))
    ///     }
    /// }
    ///
    /// let mut b = GraphBuilder::new("example", 2);
    /// let image = b.input([0.5; 3], [0.5; 3]);
    /// let map = b.candle("image", image, Shape::new(2, 2, 3), vec![], |_, _| Ok(Box::new(Image)), 0);
    /// let features = b.global_pool(map);
    /// let logits = b.linear("head", features, 4, Init::Normal(0.1))?;
    /// let graph = b.finish(map, features, logits)?;
    ///
    /// let mut plan = InferPlan::new(&graph, &Weights::init(&graph, 0), 1)?;
    /// plan.run(&[255, 0, 0, 255, 0, 255, 255, 0, 0, 255, 0, 255], 1)?;
    /// assert_eq!(plan.features().unwrap(), [1.0, -1.0, 0.0]);
    /// # Ok::<(), mlcls_engine::Error>(())
    /// ```
    pub fn candle(
        &mut self,
        name: &str,
        image: NodeId,
        shape: Shape,
        params: Vec<(String, Vec<usize>, ParamKind)>,
        build: BuildModule,
        macs: u64,
    ) -> NodeId {
        let start = |kind| match kind {
            ParamKind::NormWeight => Init::Constant(1.0),
            ParamKind::Bias | ParamKind::NormBias => Init::Constant(0.0),
            ParamKind::Weight | ParamKind::Slope => Init::Normal(0.02),
        };
        let params = params
            .into_iter()
            .map(|(name, shape, kind)| self.param(name, &shape, kind, start(kind)))
            .collect();
        self.push(name, Op::Candle(CandlePart { build, params, macs }), &[image], shape)
    }

    /// The finished graph. `feature_map` is the backbone's last map, `features` its pooled form, `output` what a plan
    /// returns (logits, or the features again where there is no head).
    pub fn finish(self, feature_map: NodeId, features: NodeId, output: NodeId) -> Result<Graph> {
        let Self { name, nodes, params, buffers, .. } = self;
        let first_is_input = matches!(nodes.first().map(|n| &n.op), Some(Op::Input { .. }));
        let inputs = nodes.iter().filter(|n| matches!(n.op, Op::Input { .. })).count();
        if !first_is_input || inputs != 1 {
            let reason = format!("the first node, and only it, must be the input; found {inputs} inputs");
            return Err(Error::Graph { node: name, reason });
        }
        Ok(Graph { name, nodes, params, buffers, feature_map, features, output })
    }
}
