//! Small networks with every kind of node, and weights away from their start.

use mlcls_engine::{Activation, ConvOptions, GraphBuilder, Init, Padding, ParamKind, Weights};
use mlcls_export::onnx::Card;
use mlcls_models::{Head, Model, Normalization};

pub const CLASSES: usize = 5;

/// The choices of a [`net`].
#[derive(Clone, Copy, Debug)]
pub struct Net {
    pub size: usize,
    pub padding: Padding,
    pub act: Activation,
    pub gate: Activation,
    pub head: Head,
}

/// Dense, pointwise and depthwise convolutions with and without batch-norm, squeeze-and-excite, a shortcut, and a head.
pub fn net(net: Net) -> Model {
    let Net { size, padding, act, gate, head } = net;
    let preprocessing = Normalization { mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] };
    let window = |kernel, stride| ConvOptions { kernel, stride, padding, ..Default::default() };
    let mut b = GraphBuilder::new("small", size);
    let x = b.input(preprocessing.mean, preprocessing.std);
    let x = b.conv("stem", x, 8, window(3, 2)).unwrap();
    let x = b.batch_norm("bn1", x, 1e-3, 0.1).unwrap();
    let shortcut = b.activation(x, act);
    let x = b.conv("expand", shortcut, 12, ConvOptions::default()).unwrap();
    let x = b.batch_norm("bn2", x, 1e-5, 0.1).unwrap();
    let x = b.activation(x, act);
    let x = b.depthwise("dw", x, window(5, 1)).unwrap();
    let x = b.batch_norm("bn3", x, 1e-5, 0.1).unwrap();
    let x = b.activation(x, act);
    let x = b.squeeze_excite("se", x, 3, Activation::Relu, gate);
    let x = b.conv("project", x, 8, ConvOptions::default()).unwrap();
    let x = b.batch_norm("bn4", x, 1e-5, 0.1).unwrap();
    let x = b.add(x, shortcut, 0.2).unwrap();
    let x = b.depthwise("dw2", x, window(3, 2)).unwrap();
    let x = b.conv("biased", x, 9, ConvOptions { bias: true, ..Default::default() }).unwrap();
    let map = b.activation(x, act);
    let features = b.global_pool(map);
    let small = Init::Normal(0.3);
    let mut x = features;
    if head == Head::NonLinear {
        x = b.linear("head.hidden", x, 11, small).unwrap();
        x = b.batch_norm("head.bn", x, 1e-5, 0.1).unwrap();
        x = b.prelu("head.act", x);
    }
    x = b.dropout(x, 0.1);
    let (logits, scale) = match head {
        Head::Linear => (b.linear("head", x, CLASSES, small).unwrap(), 1.0),
        _ => (b.cosine_linear("head", x, CLASSES, 7.0).unwrap(), 7.0),
    };
    let graph = b.finish(map, features, logits).unwrap();
    Model { name: "small", graph, preprocessing, head, scale }
}

/// Numbers from -1 to 1, the same on every call.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / f32::powi(2.0, 23) - 1.0
    }
}

/// Weights whose biases, scales and statistics all differ from what they start as.
pub fn weights(model: &Model) -> Weights {
    let mut weights = Weights::init(&model.graph, 3);
    let mut noise = noise();
    for spec in model.graph.params() {
        for v in &mut weights.params[spec.range()] {
            match spec.kind {
                ParamKind::NormWeight => *v = 1.0 + 0.5 * noise(),
                ParamKind::NormBias | ParamKind::Bias => *v = 0.5 * noise(),
                ParamKind::Weight | ParamKind::Slope => {}
            }
        }
    }
    for spec in model.graph.buffers() {
        for v in &mut weights.buffers[spec.range()] {
            *v = spec.start + 0.5 * noise();
        }
    }
    weights
}

/// uint8 `[n, h, w, 3]`.
pub fn pixels(model: &Model, n: usize) -> Vec<u8> {
    let mut noise = noise();
    (0..n * model.graph.input_shape().len()).map(|_| (noise() * 127.0 + 128.0) as u8).collect()
}

/// A card for `classes` labels, one of them with a blank.
pub fn card(classes: usize) -> Card {
    let labels = (0..classes).map(|i| if i == 1 { "traffic light".to_owned() } else { format!("label{i}") });
    Card {
        labels: labels.collect(),
        threshold: 0.5,
        thresholds: None,
        calibration: None,
        resize: "bilinear".to_owned(),
        checkpoint: None,
    }
}
