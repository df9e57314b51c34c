//! A convolutional network as data: a list of nodes with known shapes.
//!
//! One [`Graph`] serves the training plan, the inference plan, the model summary and every exporter; a model is written
//! once, with [`GraphBuilder`](crate::GraphBuilder). Nodes are stored in an order in which every node comes after its
//! inputs. Parameters and running statistics live in two flat vectors (see [`Weights`](crate::Weights)); a node refers to
//! its share of them by a [`ParamId`] or [`BufferId`].

use std::collections::HashMap;

use candle_core::{Module, Tensor};

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Index of a trainable tensor in [`Graph::params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub usize);

/// Index of a tensor of running statistics in [`Graph::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// Height, width and channels of one image's feature map; stored as `[h, w, c]` (NHWC without the N).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// A shape of `h` rows, `w` columns and `c` channels.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// Rows times columns.
    pub const fn pixels(self) -> usize {
        self.h * self.w
    }

    /// Elements of one image.
    pub const fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether the map holds no element.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Element-wise activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x / (1 + exp(-x))`, also called swish.
    Silu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`.
    HardSigmoid,
}

/// Rows and columns of zeros around the input of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pads {
    /// Above.
    pub top: usize,
    /// Below.
    pub bottom: usize,
    /// Left.
    pub left: usize,
    /// Right.
    pub right: usize,
}

/// How a convolution slides over its input; square kernels, dilation 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Side of the kernel.
    pub kernel: usize,
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the input.
    pub pads: Pads,
}

impl Window {
    /// The window of a 1x1 convolution.
    pub const POINT: Self =
        Self { kernel: 1, stride: 1, pads: Pads { top: 0, bottom: 0, left: 0, right: 0 } };

    /// Whether every output pixel reads just its own input pixel, so that rows are used in place.
    pub fn is_point(&self) -> bool {
        *self == Self::POINT
    }
}

/// A module of candle that is ready to run.
pub type BoxedModule = Box<dyn Module + Send + Sync>;

/// Makes a module of candle from its parameters by name, and the shape of an image.
///
/// The module takes one normalised image `[1, 3, h, w]` at a time, on several threads at once, to a map `[1, h', w', c]`.
pub type BuildModule = fn(&HashMap<String, Tensor>, Shape) -> candle_core::Result<BoxedModule>;

/// A module of candle at the beginning of a network, written with [`GraphBuilder::candle`](crate::GraphBuilder::candle).
///
/// It runs forward only, so a network that has one can be trained [behind](crate::TrainPlan::behind) it alone. Its parameters are
/// parameters of the graph, so that they are loaded, saved and counted like all others.
#[derive(Clone, Debug)]
pub struct CandlePart {
    /// What makes it.
    pub build: BuildModule,
    /// Its parameters.
    pub params: Vec<ParamId>,
    /// Multiply-accumulate operations for one image.
    pub macs: u64,
}

/// By parameters and cost: what two functions build cannot be compared.
impl PartialEq for CandlePart {
    fn eq(&self, other: &Self) -> bool {
        (&self.params, self.macs) == (&other.params, other.macs)
    }
}

/// What a node computes. Every node has one input, except [`Op::Input`] (none) and [`Op::Add`] (branch, shortcut).
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// uint8 RGB pixels `[h, w, 3]` to `(x / 255 - mean) / std`.
    Input {
        /// Mean per channel, in units of 0 to 1.
        mean: [f32; 3],
        /// Standard deviation per channel, in units of 0 to 1.
        std: [f32; 3],
    },
    /// Convolution over all input channels; weight `[out, in, k, k]`. A linear layer is one of these on a 1x1 map.
    Conv {
        /// Kernel, stride and padding.
        window: Window,
        /// Weight.
        weight: ParamId,
        /// Bias `[out]`.
        bias: Option<ParamId>,
    },
    /// One kernel per channel; weight `[c, 1, k, k]`.
    Depthwise {
        /// Kernel, stride and padding.
        window: Window,
        /// Weight.
        weight: ParamId,
    },
    /// Batch normalisation over images, rows and columns.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
        /// Share of the new batch in the running statistics.
        momentum: f32,
        /// Scale `[c]`.
        weight: ParamId,
        /// Shift `[c]`.
        bias: ParamId,
        /// Running mean `[c]`.
        running_mean: BufferId,
        /// Running variance `[c]`, unbiased as in PyTorch.
        running_var: BufferId,
    },
    /// Element-wise activation without parameters.
    Activation(Activation),
    /// `x` where positive, else `slope * x`, with one slope for all channels.
    PRelu {
        /// The slope `[1]`.
        slope: ParamId,
    },
    /// `x * gate(W2 act(W1 mean(x) + b1) + b2)` per image and channel.
    SqueezeExcite {
        /// Activation between the two layers.
        act: Activation,
        /// Activation of the gate.
        gate: Activation,
        /// W1 `[reduced, c, 1, 1]`.
        reduce_weight: ParamId,
        /// b1 `[reduced]`.
        reduce_bias: ParamId,
        /// W2 `[c, reduced, 1, 1]`.
        expand_weight: ParamId,
        /// b2 `[c]`.
        expand_bias: ParamId,
    },
    /// `branch + shortcut`; while training, an image's branch is dropped with this probability and else divided by
    /// one minus it (stochastic depth).
    Add {
        /// Probability of dropping the branch.
        drop_path: f32,
    },
    /// Mean over rows and columns.
    GlobalAvgPool,
    /// While training, zero with this probability, else divide by one minus it.
    Dropout {
        /// Probability of dropping an element.
        p: f32,
    },
    /// `scale * clamp(x/|x| . w/|w|, -1, 1)` per class; the norms are floored at 1e-12.
    CosineLinear {
        /// Factor on the cosine.
        scale: f32,
        /// Class vectors `[classes, d]`.
        weight: ParamId,
    },
    /// A part that candle runs, forward only: the image to a map.
    Candle(CandlePart),
}

impl Op {
    /// The trainable tensors that it uses.
    pub fn params(&self) -> Vec<ParamId> {
        match self {
            Self::Input { .. }
            | Self::Activation(_)
            | Self::Add { .. }
            | Self::GlobalAvgPool
            | Self::Dropout { .. } => vec![],
            Self::Conv { weight, bias, .. } => [Some(*weight), *bias].into_iter().flatten().collect(),
            Self::Depthwise { weight, .. } | Self::CosineLinear { weight, .. } => vec![*weight],
            Self::BatchNorm { weight, bias, .. } => vec![*weight, *bias],
            Self::PRelu { slope } => vec![*slope],
            Self::SqueezeExcite { reduce_weight, reduce_bias, expand_weight, expand_bias, .. } => {
                vec![*reduce_weight, *reduce_bias, *expand_weight, *expand_bias]
            }
            Self::Candle(part) => part.params.clone(),
        }
    }
}

/// One operation of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name of the module that it stands for in timm, for example `blocks.0.0.conv_dw`; `""` where timm has none.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Where its inputs come from.
    pub inputs: Vec<NodeId>,
    /// Shape of its output for one image.
    pub shape: Shape,
}

/// What a parameter is, for weight decay and for the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// A convolution or linear weight.
    Weight,
    /// A bias of a convolution or linear layer.
    Bias,
    /// Scale of a normalisation or of a layer's output.
    NormWeight,
    /// Shift of a normalisation.
    NormBias,
    /// Slope of a PReLU.
    Slope,
}

/// How a parameter starts when no pretrained value is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Normal, then each row (first axis) scaled to length 1.
    UnitRows,
}

/// A trainable tensor: its name in timm and its place in the flat parameter vector.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// timm's name, for example `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// timm's shape; elements lie in row-major order.
    pub shape: Vec<usize>,
    /// First element in the flat vector.
    pub offset: usize,
    /// What it is.
    pub kind: ParamKind,
    /// How it starts.
    pub init: Init,
}

/// A tensor of running statistics and its place in the flat buffer vector.
#[derive(Clone, Debug, PartialEq)]
pub struct BufferSpec {
    /// timm's name, for example `bn1.running_mean`.
    pub name: String,
    /// Shape; elements lie in row-major order.
    pub shape: Vec<usize>,
    /// First element in the flat vector.
    pub offset: usize,
    /// Value that every element starts with.
    pub start: f32,
}

impl ParamSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

impl BufferSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// A network: nodes, parameters and the two nodes that people ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) buffers: Vec<BufferSpec>,
    pub(crate) feature_map: NodeId,
    pub(crate) features: NodeId,
    pub(crate) output: NodeId,
}

impl Graph {
    /// The model's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All nodes; each comes after its inputs.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Trainable tensors in the order of the flat parameter vector.
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// Running statistics in the order of the flat buffer vector.
    pub fn buffers(&self) -> &[BufferSpec] {
        &self.buffers
    }

    /// One trainable tensor.
    pub fn param(&self, id: ParamId) -> &ParamSpec {
        &self.params[id.0]
    }

    /// One tensor of running statistics.
    pub fn buffer(&self, id: BufferId) -> &BufferSpec {
        &self.buffers[id.0]
    }

    /// Elements of the flat parameter vector.
    pub fn param_len(&self) -> usize {
        self.params.last().map_or(0, |p| p.range().end)
    }

    /// Elements of the flat buffer vector.
    pub fn buffer_len(&self) -> usize {
        self.buffers.last().map_or(0, |p| p.range().end)
    }

    /// Shape of one input image.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// The last feature map of the backbone, before pooling (for saliency maps).
    pub fn feature_map(&self) -> NodeId {
        self.feature_map
    }

    /// The pooled features that the head sees.
    pub fn features(&self) -> NodeId {
        self.features
    }

    /// The node whose values a plan returns: the logits, or the features of a graph without a head.
    pub fn output(&self) -> NodeId {
        self.output
    }

    /// Elements that a plan returns per image.
    pub fn output_len(&self) -> usize {
        self.node(self.output).shape.len()
    }

    /// Elements of the flat parameter vector up to the last one that a node up to and with `node` uses. Parameters lie in the order of
    /// nodes, so those behind it are the rest.
    pub fn param_len_up_to(&self, node: NodeId) -> usize {
        let params = self.nodes[..=node.0].iter().flat_map(|node| node.op.params());
        params.map(|id| self.param(id).range().end).max().unwrap_or(0)
    }

    /// Multiply-accumulate operations of one node for one image: convolutions, linear layers, squeeze-excite, and what
    /// a part of candle says about itself.
    pub fn node_macs(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        let weight = |p: ParamId| self.param(p).len() as u64;
        match &node.op {
            Op::Conv { weight: w, .. } | Op::Depthwise { weight: w, .. } => {
                node.shape.pixels() as u64 * weight(*w)
            }
            Op::CosineLinear { weight: w, .. } => weight(*w),
            Op::SqueezeExcite { reduce_weight, expand_weight, .. } => {
                weight(*reduce_weight) + weight(*expand_weight)
            }
            Op::Candle(part) => part.macs,
            _ => 0,
        }
    }

    /// Multiply-accumulate operations of one image; a model's GFLOPs as papers print them are twice this over 1e9.
    pub fn macs(&self) -> u64 {
        (0..self.nodes.len()).map(|i| self.node_macs(NodeId(i))).sum()
    }
}
