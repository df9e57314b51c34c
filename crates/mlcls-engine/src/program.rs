//! A graph lowered to the stages of a training step.
//!
//! A *value* is memory: the raw output of a convolution or of another stage. The batch-norm, activation and squeeze-excite
//! gate behind a convolution write no memory; they become part of the *view* through which consumers load the value.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::graph::*;
use crate::kernels::depthwise::KERNELS;

/// Index of a value.
pub type ValueId = usize;
/// Index of a batch-norm (or of the identity that stands for one).
pub type NormId = usize;
/// Index of a squeeze-excite gate.
pub type GateId = usize;

/// How a consumer sees a value: `act(norm(value)) * gate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    pub value: ValueId,
    pub norm: Option<NormId>,
    pub act: Activation,
    pub gate: Option<GateId>,
}

impl View {
    /// Whether the raw memory is what the consumer wants.
    pub fn is_plain(&self) -> bool {
        self.norm.is_none() && self.gate.is_none()
    }
}

/// Memory of one shape per image.
#[derive(Clone, Debug)]
pub struct Value {
    pub shape: Shape,
    /// The batch-norm that follows, if any.
    pub norm: Option<NormId>,
    /// Stage that writes it.
    pub producer: usize,
    /// Stages that read it and give gradient back, in forward order.
    pub consumers: Vec<usize>,
    /// The gate through which its one consumer sees it, if any: the squeeze-excite then finishes its gradient.
    pub gate: Option<GateId>,
    /// The view that gives the value its activation.
    pub act: Activation,
}

/// A batch-norm, or the identity in front of an activation that has none.
#[derive(Clone, Debug)]
pub enum Norm {
    Batch {
        c: usize,
        eps: f32,
        momentum: f32,
        weight: Range<usize>,
        bias: Range<usize>,
        mean: Range<usize>,
        var: Range<usize>,
    },
    Identity {
        c: usize,
    },
}

impl Norm {
    pub fn channels(&self) -> usize {
        match self {
            Self::Batch { c, .. } | Self::Identity { c } => *c,
        }
    }
}

/// A squeeze-excite gate: two small layers per image.
#[derive(Clone, Debug)]
pub struct Gate {
    pub c: usize,
    pub reduced: usize,
}

/// Where a convolution's input comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The uint8 image, normalised on loading.
    Pixels {
        mean: [f32; 3],
        std: [f32; 3],
    },
    View(View),
}

#[derive(Clone, Debug)]
pub struct Conv {
    pub src: Source,
    pub input: Shape,
    pub out: ValueId,
    pub output: Shape,
    pub window: Window,
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
}

#[derive(Clone, Debug)]
pub struct Depthwise {
    pub src: View,
    pub input: Shape,
    pub out: ValueId,
    pub output: Shape,
    pub window: Window,
    pub weight: Range<usize>,
}

#[derive(Clone, Debug)]
pub struct Squeeze {
    /// The value's view without the gate.
    pub src: View,
    pub input: Shape,
    pub gate: GateId,
    pub act: Activation,
    pub gate_act: Activation,
    pub reduce_weight: Range<usize>,
    pub reduce_bias: Range<usize>,
    pub expand_weight: Range<usize>,
    pub expand_bias: Range<usize>,
}

#[derive(Clone, Debug)]
pub struct Add {
    pub branch: View,
    pub shortcut: View,
    pub out: ValueId,
    pub shape: Shape,
    pub drop_path: f32,
    /// Names the random numbers of this node.
    pub key: u64,
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub src: View,
    pub input: Shape,
    pub out: ValueId,
}

#[derive(Clone, Debug)]
pub struct PRelu {
    pub src: View,
    pub out: ValueId,
    pub shape: Shape,
    pub slope: usize,
}

#[derive(Clone, Debug)]
pub struct Dropout {
    pub src: View,
    pub out: ValueId,
    pub shape: Shape,
    pub p: f32,
    pub key: u64,
}

#[derive(Clone, Debug)]
pub struct Cosine {
    pub src: View,
    pub d: usize,
    pub classes: usize,
    pub out: ValueId,
    pub scale: f32,
    pub weight: Range<usize>,
}

/// What candle runs; the image is its input.
#[derive(Clone, Debug)]
pub struct Candle {
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub out: ValueId,
}

/// One kernel call forward and its counterpart backward.
#[derive(Clone, Debug)]
pub enum Stage {
    Conv(Conv),
    Depthwise(Depthwise),
    Squeeze(Squeeze),
    Add(Add),
    Pool(Pool),
    PRelu(PRelu),
    Dropout(Dropout),
    Cosine(Cosine),
    /// Forward only, and only in front of an inference plan.
    Candle(Candle),
}

/// The whole step as data.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub stages: Vec<Stage>,
    /// The node that each stage stands for.
    pub origins: Vec<NodeId>,
    pub values: Vec<Value>,
    pub norms: Vec<Norm>,
    pub gates: Vec<Gate>,
    pub output: ValueId,
    /// The pooled features, where the head reads them as they are.
    pub features: Option<ValueId>,
    /// The last feature map, where its value holds it once batch-norm and activation are applied on writing.
    pub map: Option<ValueId>,
}

/// What a node's output is while lowering.
#[derive(Clone, Copy)]
enum Lowered {
    Pixels { mean: [f32; 3], std: [f32; 3] },
    View(View),
}

impl Program {
    /// Lowers a graph.
    pub fn lower(graph: &Graph) -> Result<Self> {
        let mut uses = vec![0usize; graph.nodes().len()];
        graph.nodes().iter().flat_map(|n| &n.inputs).for_each(|i| uses[i.0] += 1);
        for (index, node) in graph.nodes().iter().enumerate() {
            match (index == graph.output().0, uses[index]) {
                (false, 0) => return Err(fail(node, "no node reads it and it is not the output")),
                (true, 1..) => return Err(fail(node, "the output must not be read by another node")),
                _ => {}
            }
        }
        let mut p = Self::default();
        let mut lowered: Vec<Lowered> = Vec::with_capacity(graph.nodes().len());
        for (index, node) in graph.nodes().iter().enumerate() {
            let l = p.node(graph, index, node, &lowered, &uses)?;
            p.origins.resize(p.stages.len(), NodeId(index));
            lowered.push(l);
        }
        let Lowered::View(view) = lowered[graph.output().0] else {
            return Err(fail(graph.node(graph.output()), "the image itself cannot be the output"));
        };
        if !view.is_plain() {
            return Err(fail(
                graph.node(graph.output()),
                "the output must not end in batch-norm or activation",
            ));
        }
        p.output = view.value;
        p.features = match lowered[graph.features().0] {
            Lowered::View(v) if v.is_plain() => Some(v.value),
            _ => None,
        };
        p.map = match lowered[graph.feature_map().0] {
            Lowered::View(v) if v.gate.is_none() => {
                let value = &p.values[v.value];
                ((value.norm, value.act) == (v.norm, v.act)).then_some(v.value)
            }
            _ => None,
        };
        Ok(p)
    }

    /// Whether every stage has a backward pass.
    ///
    /// # Errors
    /// The node that has none.
    pub fn trains(&self, graph: &Graph) -> Result<()> {
        match self.stages.iter().position(|stage| matches!(stage, Stage::Candle(_))) {
            Some(stage) => Err(fail(
                graph.node(self.origins[stage]),
                "this part of the network runs forward only; freeze it, and train what is behind it",
            )),
            None => Ok(()),
        }
    }

    /// Time at which a value's gradient is first written, where stage `i` of `n` runs forward at time `i` and backward at
    /// `2 n - 1 - i`. That of the output comes from outside, before the first backward stage.
    pub fn first_gradient(&self, id: ValueId) -> usize {
        let stages = self.stages.len();
        self.values[id].consumers.last().map_or(stages, |s| 2 * stages - 1 - s)
    }

    fn value(&mut self, shape: Shape) -> ValueId {
        self.values.push(Value {
            shape,
            norm: None,
            producer: self.stages.len(),
            consumers: vec![],
            gate: None,
            act: Activation::Identity,
        });
        self.values.len() - 1
    }

    /// Records that the next stage reads `view` and gives gradient back.
    fn consume(&mut self, view: View) {
        let stage = self.stages.len();
        self.values[view.value].consumers.push(stage);
    }

    fn node(
        &mut self,
        graph: &Graph,
        index: usize,
        node: &Node,
        lowered: &[Lowered],
        uses: &[usize],
    ) -> Result<Lowered> {
        let range = |p: ParamId| graph.param(p).range();
        let view = |i: usize| match lowered[node.inputs[i].0] {
            Lowered::View(v) => Ok(v),
            Lowered::Pixels { .. } => {
                Err(fail(node, "only a convolution over all channels can read the image"))
            }
        };
        let input = |i: usize| graph.node(node.inputs[i]).shape;
        // A view grows in place, so nobody else may hold the shorter one.
        let sole = |what: &str| {
            if uses[node.inputs[0].0] == 1 {
                Ok(())
            } else {
                Err(fail(node, &format!("{what} must be the only consumer of its input")))
            }
        };
        let plain = |value| Lowered::View(View { value, norm: None, act: Activation::Identity, gate: None });
        Ok(match &node.op {
            &Op::Input { mean, std } => Lowered::Pixels { mean, std },
            &Op::Conv { window, weight, bias } => {
                let src = match lowered[node.inputs[0].0] {
                    Lowered::Pixels { mean, std } => Source::Pixels { mean, std },
                    Lowered::View(v) => {
                        self.consume(v);
                        Source::View(v)
                    }
                };
                let out = self.value(node.shape);
                self.stages.push(Stage::Conv(Conv {
                    src,
                    input: input(0),
                    out,
                    output: node.shape,
                    window,
                    weight: range(weight),
                    bias: bias.map(range),
                }));
                plain(out)
            }
            &Op::Depthwise { window, weight } => {
                let src = view(0)?;
                if !KERNELS.contains(&window.kernel) || window.stride > 2 {
                    let (k, s) = (window.kernel, window.stride);
                    let what = format!(
                        "a depthwise kernel of {k} with stride {s}; known: {KERNELS:?}, stride 1 and 2"
                    );
                    return Err(fail(node, &what));
                }
                if src.gate.is_some() {
                    return Err(fail(node, "a depthwise convolution cannot read a gated value"));
                }
                self.consume(src);
                let out = self.value(node.shape);
                self.stages.push(Stage::Depthwise(Depthwise {
                    src,
                    input: input(0),
                    out,
                    output: node.shape,
                    window,
                    weight: range(weight),
                }));
                plain(out)
            }
            &Op::BatchNorm { eps, momentum, weight, bias, running_mean, running_var } => {
                sole("batch-norm")?;
                let v = view(0)?;
                let norm = self.norms.len();
                self.norms.push(Norm::Batch {
                    c: node.shape.c,
                    eps,
                    momentum,
                    weight: range(weight),
                    bias: range(bias),
                    mean: graph.buffer(running_mean).range(),
                    var: graph.buffer(running_var).range(),
                });
                self.values[v.value].norm = Some(norm);
                Lowered::View(View { norm: Some(norm), ..v })
            }
            &Op::Activation(act) => {
                sole("an activation")?;
                let v = view(0)?;
                let producer = &self.stages[self.values[v.value].producer];
                let convolved = matches!(producer, Stage::Conv(_) | Stage::Depthwise(_));
                if !convolved || v.gate.is_some() || v.act != Activation::Identity {
                    return Err(fail(node, "an activation must directly follow a convolution or batch-norm"));
                }
                let norm = v.norm.unwrap_or_else(|| {
                    self.norms.push(Norm::Identity { c: node.shape.c });
                    self.values[v.value].norm = Some(self.norms.len() - 1);
                    self.norms.len() - 1
                });
                self.values[v.value].act = act;
                Lowered::View(View { norm: Some(norm), act, ..v })
            }
            &Op::SqueezeExcite { act, gate, reduce_weight, reduce_bias, expand_weight, expand_bias } => {
                sole("squeeze-excite")?;
                let v = view(0)?;
                if v.norm.is_none() || v.gate.is_some() || uses[index] != 1 {
                    return Err(fail(node, "squeeze-excite must follow batch-norm and have one consumer"));
                }
                let id = self.gates.len();
                let reduced = graph.param(reduce_bias).len();
                self.gates.push(Gate { c: node.shape.c, reduced });
                self.values[v.value].gate = Some(id);
                self.stages.push(Stage::Squeeze(Squeeze {
                    src: v,
                    input: node.shape,
                    gate: id,
                    act,
                    gate_act: gate,
                    reduce_weight: range(reduce_weight),
                    reduce_bias: range(reduce_bias),
                    expand_weight: range(expand_weight),
                    expand_bias: range(expand_bias),
                }));
                Lowered::View(View { gate: Some(id), ..v })
            }
            &Op::Add { drop_path } => {
                let (branch, shortcut) = (view(0)?, view(1)?);
                if branch.value == shortcut.value || branch.gate.or(shortcut.gate).is_some() {
                    return Err(fail(node, "add needs two different values without gates"));
                }
                self.consume(branch);
                self.consume(shortcut);
                let out = self.value(node.shape);
                let (shape, key) = (node.shape, index as u64);
                self.stages.push(Stage::Add(Add { branch, shortcut, out, shape, drop_path, key }));
                plain(out)
            }
            Op::GlobalAvgPool => {
                let src = self.ungated(node, view(0)?)?;
                let out = self.value(node.shape);
                self.stages.push(Stage::Pool(Pool { src, input: input(0), out }));
                plain(out)
            }
            &Op::PRelu { slope } => {
                let src = self.ungated(node, view(0)?)?;
                let out = self.value(node.shape);
                let slope = graph.param(slope).offset;
                self.stages.push(Stage::PRelu(PRelu { src, out, shape: node.shape, slope }));
                plain(out)
            }
            &Op::Dropout { p } => {
                let src = self.ungated(node, view(0)?)?;
                let out = self.value(node.shape);
                let (shape, key) = (node.shape, index as u64);
                self.stages.push(Stage::Dropout(Dropout { src, out, shape, p, key }));
                plain(out)
            }
            &Op::CosineLinear { scale, weight } => {
                let src = self.ungated(node, view(0)?)?;
                let out = self.value(node.shape);
                let (d, classes) = (input(0).c, node.shape.c);
                self.stages.push(Stage::Cosine(Cosine {
                    src,
                    d,
                    classes,
                    out,
                    scale,
                    weight: range(weight),
                }));
                plain(out)
            }
            Op::Candle(_) => {
                let Lowered::Pixels { mean, std } = lowered[node.inputs[0].0] else {
                    return Err(fail(node, "a part that candle runs must read the image"));
                };
                let out = self.value(node.shape);
                self.stages.push(Stage::Candle(Candle { mean, std, out }));
                plain(out)
            }
        })
    }

    fn ungated(&mut self, node: &Node, view: View) -> Result<View> {
        if view.gate.is_some() {
            return Err(fail(node, "this operation cannot read a gated value"));
        }
        self.consume(view);
        Ok(view)
    }
}

/// The error of a node.
pub fn fail(node: &Node, reason: &str) -> Error {
    let name = if node.name.is_empty() { format!("{:?}", node.op) } else { node.name.clone() };
    Error::Graph { node: name, reason: reason.to_owned() }
}
