//! Random small nets, described so that a failing one can be made simpler piece by piece.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::builder::{ConvOptions, GraphBuilder, Padding};
use crate::graph::{Activation, Graph, Init, NodeId};
use crate::reference::ACTIVATIONS;

/// Layers, then pooling, then what stands behind it. Choices that their place does not allow are left out; see
/// [`Net::graph`].
#[derive(Clone, Debug)]
pub struct Net {
    /// Side of the images.
    size: usize,
    /// Images of a step.
    pub batch: usize,
    layers: Vec<Layer>,
    /// Adds the pooled map of one more convolution to the pooled map, which then has a second reader.
    second_pool: bool,
    hidden: Option<Hidden>,
    head: Head,
}

/// A convolution and what follows it.
#[derive(Clone, Debug)]
struct Layer {
    depthwise: bool,
    channels: usize,
    /// A depthwise kernel has `2 * reach + 1` pixels a side, another one `reach + 1`.
    reach: usize,
    stride: usize,
    padding: Padding,
    bias: bool,
    norm: bool,
    act: Option<Activation>,
    excite: Option<Excite>,
    /// Adds an earlier output to the layer's: 0 is its input.
    shortcut: Option<usize>,
}

#[derive(Clone, Debug)]
struct Excite {
    reduced: usize,
    act: Activation,
    gate: Activation,
}

/// A linear layer behind the pooling.
#[derive(Clone, Debug)]
struct Hidden {
    width: usize,
    norm: bool,
    prelu: bool,
    dropout: bool,
    shortcut: Shortcut,
}

/// What is added to the hidden layer's output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shortcut {
    Nothing,
    /// The hidden layer's input.
    Input,
    /// The input of its PReLU.
    Linear,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Head {
    Features,
    Linear(usize),
    Cosine(usize),
    /// The sum of both.
    Both(usize),
}

/// Fewer values than this and a batch-norm sees little but their differences, which have lost most of their digits.
const FEWEST: usize = 5;

/// Counts of channels beside the widths of vectors.
fn channels() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 40])
}

fn activation() -> impl Strategy<Value = Activation> {
    select(&ACTIVATIONS[..])
}

fn layer() -> impl Strategy<Value = Layer> {
    let excite = (1usize..=9, activation(), activation());
    let excite = excite.prop_map(|(reduced, act, gate)| Excite { reduced, act, gate });
    let window = (0usize..=3, 1usize..=3, select(vec![Padding::Symmetric, Padding::Same]));
    let shortcut = option::of(0usize..=2);
    let behind = (any::<bool>(), option::weighted(0.8, activation()), option::of(excite), shortcut);
    (any::<bool>(), channels(), window, any::<bool>(), behind).prop_map(
        |(depthwise, channels, (reach, stride, padding), bias, (norm, act, excite, shortcut))| Layer {
            depthwise,
            channels,
            reach,
            stride,
            padding,
            bias,
            norm,
            act,
            excite,
            shortcut,
        },
    )
}

/// Any net.
pub fn net() -> impl Strategy<Value = Net> {
    let bit = any::<bool>;
    let shortcut = select(vec![Shortcut::Nothing, Shortcut::Input, Shortcut::Linear]);
    let hidden = (channels(), bit(), bit(), bit(), shortcut)
        .prop_map(|(width, norm, prelu, dropout, shortcut)| Hidden { width, norm, prelu, dropout, shortcut });
    let head = prop_oneof![
        Just(Head::Features),
        (1usize..=7).prop_map(Head::Linear),
        (1usize..=7).prop_map(Head::Cosine),
        (1usize..=7).prop_map(Head::Both),
    ];
    let layers = prop::collection::vec(layer(), 1..=5);
    (1usize..=9, 1usize..=6, layers, bit(), option::of(hidden), head).prop_map(
        |(size, batch, layers, second_pool, hidden, head)| Net {
            size,
            batch,
            layers,
            second_pool,
            hidden,
            head,
        },
    )
}

impl Net {
    /// The net as a graph.
    pub fn graph(&self) -> Graph {
        let mut b = GraphBuilder::new("random", self.size);
        let mut x = b.input([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        // Only a convolution over all channels may read the image or what a gate lets through.
        let mut only_dense = true;
        let mut outputs = vec![];
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            (x, only_dense) = self.add_layer(&mut b, i, layer, x, only_dense, last, &outputs);
            if !only_dense {
                outputs.push(x);
            }
        }
        let features = b.global_pool(x);
        let mut out = features;
        if self.second_pool {
            let map = b.conv("second", x, b.shape(x).c, ConvOptions::default()).unwrap();
            let pooled = b.global_pool(map);
            out = b.add(pooled, out, 0.0).unwrap();
        }
        if let Some(hidden) = &self.hidden {
            out = self.add_hidden(&mut b, hidden, out);
        }
        let init = Init::Normal(0.4);
        // Of a single feature the cosine sees only the sign, which has no gradient.
        let single = b.shape(out).c == 1;
        out = match self.head {
            Head::Features => out,
            Head::Cosine(classes) if !single => b.cosine_linear("cosine", out, classes, 7.0).unwrap(),
            Head::Both(classes) if !single => {
                let cosine = b.cosine_linear("cosine", out, classes, 7.0).unwrap();
                let linear = b.linear("linear", out, classes, init).unwrap();
                b.add(linear, cosine, 0.0).unwrap()
            }
            Head::Linear(classes) | Head::Cosine(classes) | Head::Both(classes) => {
                b.linear("linear", out, classes, init).unwrap()
            }
        };
        b.finish(x, features, out).unwrap()
    }

    /// Adds one layer behind `input`; returns its output and whether a gate stands behind it.
    fn add_layer(
        &self,
        b: &mut GraphBuilder,
        index: usize,
        layer: &Layer,
        input: NodeId,
        only_dense: bool,
        last: bool,
        outputs: &[NodeId],
    ) -> (NodeId, bool) {
        let name = |part: &str| format!("{index}.{part}");
        let shape = b.shape(input);
        let shortcut = layer.shortcut.and_then(|back| outputs.iter().rev().nth(back)).copied();
        let depthwise = layer.depthwise && !only_dense;
        let mut o = ConvOptions { padding: layer.padding, ..ConvOptions::default() };
        let mut x = if depthwise {
            (o.kernel, o.stride) = (2 * layer.reach + 1, layer.stride.min(2));
            b.depthwise(&name("dw"), input, o).unwrap()
        } else {
            (o.kernel, o.stride, o.bias) = (layer.reach + 1, layer.stride, layer.bias);
            if shape.h == 1 {
                // An even kernel does not fit one pixel between its symmetric borders.
                o.padding = Padding::Same;
            }
            let channels = shortcut.map_or(layer.channels, |s| b.shape(s).c);
            b.conv(&name("conv"), input, channels, o).unwrap()
        };
        let norm = layer.norm && self.batch * b.shape(x).pixels() >= FEWEST;
        if norm {
            x = b.batch_norm(&name("bn"), x, 1e-5, 0.1).unwrap();
        }
        if let Some(act) = layer.act {
            x = b.activation(x, act);
        }
        match (shortcut, &layer.excite) {
            (Some(s), _) if b.shape(x) == b.shape(s) => (b.add(x, s, 0.0).unwrap(), false),
            (_, Some(e)) if !last && (norm || layer.act.is_some()) => {
                (b.squeeze_excite(&name("se"), x, e.reduced, e.act, e.gate), true)
            }
            _ => (x, false),
        }
    }

    /// Adds the hidden layer behind `input`.
    fn add_hidden(&self, b: &mut GraphBuilder, hidden: &Hidden, input: NodeId) -> NodeId {
        let inputs = b.shape(input).c;
        let width = if hidden.shortcut == Shortcut::Input { inputs } else { hidden.width };
        let x = if hidden.dropout { b.dropout(input, 0.0) } else { input };
        let mut linear = b.linear("hidden", x, width, Init::Normal(0.4)).unwrap();
        if hidden.norm && self.batch >= FEWEST {
            linear = b.batch_norm("hidden_bn", linear, 1e-5, 0.1).unwrap();
        }
        // The output itself must be a value of its own.
        let prelu = hidden.prelu || self.head == Head::Features;
        let out = if prelu { b.prelu("prelu", linear) } else { linear };
        match hidden.shortcut {
            Shortcut::Input => b.add(out, input, 0.0).unwrap(),
            Shortcut::Linear if prelu => b.add(out, linear, 0.0).unwrap(),
            _ => out,
        }
    }
}
