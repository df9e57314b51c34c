//! Random small nets, described so that a failing one can be made simpler piece by piece.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::builder::{ConvOptions, GraphBuilder, Padding};
use crate::graph::{Activation, Graph, Init, NodeId};
use crate::reference::ACTIVATIONS;

/// Layers, then pooling, then what stands behind it.
#[derive(Clone, Debug)]
pub struct Net {
    /// Side of the images.
    size: usize,
    /// Images of a step.
    pub batch: usize,
    layers: Vec<Layer>,
    hidden: Option<Hidden>,
    head: Head,
}

/// A convolution and what follows it. Choices that its place does not allow are left out; see [`Net::graph`].
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
    /// Adds the layer's input to its output.
    shortcut: bool,
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
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Head {
    Features,
    Linear(usize),
    Cosine(usize),
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
    let behind = (any::<bool>(), option::weighted(0.8, activation()), option::of(excite), any::<bool>());
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
    let hidden = (channels(), bit(), bit(), bit());
    let hidden = hidden.prop_map(|(width, norm, prelu, dropout)| Hidden { width, norm, prelu, dropout });
    let head = prop_oneof![
        Just(Head::Features),
        (1usize..=7).prop_map(Head::Linear),
        (1usize..=7).prop_map(Head::Cosine),
    ];
    let layers = prop::collection::vec(layer(), 1..=5);
    (1usize..=9, 1usize..=6, layers, option::of(hidden), head)
        .prop_map(|(size, batch, layers, hidden, head)| Net { size, batch, layers, hidden, head })
}

impl Net {
    /// The net as a graph.
    pub fn graph(&self) -> Graph {
        let mut b = GraphBuilder::new("random", self.size);
        let mut x = b.input([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        // Only a convolution over all channels may read the image or what a gate lets through.
        let mut only_dense = true;
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            (x, only_dense) = self.add_layer(&mut b, i, layer, x, only_dense, last);
        }
        let features = b.global_pool(x);
        let mut out = features;
        if let Some(hidden) = &self.hidden {
            if hidden.dropout {
                out = b.dropout(out, 0.0);
            }
            out = b.linear("hidden", out, hidden.width, Init::Normal(0.4)).unwrap();
            if hidden.norm && self.batch >= FEWEST {
                out = b.batch_norm("hidden_bn", out, 1e-5, 0.1).unwrap();
            }
            // The output itself must be a value of its own.
            if hidden.prelu || self.head == Head::Features {
                out = b.prelu("prelu", out);
            }
        }
        out = match self.head {
            Head::Features => out,
            // Of a single feature the cosine sees only the sign, which has no gradient.
            Head::Cosine(classes) if b.shape(out).c > 1 => {
                b.cosine_linear("head", out, classes, 7.0).unwrap()
            }
            Head::Linear(classes) | Head::Cosine(classes) => {
                b.linear("head", out, classes, Init::Normal(0.4)).unwrap()
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
    ) -> (NodeId, bool) {
        let name = |part: &str| format!("{index}.{part}");
        let shape = b.shape(input);
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
            let channels = if layer.shortcut { shape.c } else { layer.channels };
            b.conv(&name("conv"), input, channels, o).unwrap()
        };
        let norm = layer.norm && self.batch * b.shape(x).pixels() >= FEWEST;
        if norm {
            x = b.batch_norm(&name("bn"), x, 1e-5, 0.1).unwrap();
        }
        if let Some(act) = layer.act {
            x = b.activation(x, act);
        }
        if layer.shortcut && !only_dense && b.shape(x) == shape {
            return (b.add(x, input, 0.0).unwrap(), false);
        }
        match &layer.excite {
            Some(e) if !last && (norm || layer.act.is_some()) => {
                (b.squeeze_excite(&name("se"), x, e.reduced, e.act, e.gate), true)
            }
            _ => (x, false),
        }
    }
}
