//! MobileNetV3-large (Howard et al. 2019, <https://arxiv.org/abs/1905.02244>), timm's `mobilenetv3_large_100`.
//!
//! The backbone ends with the 960-channel map of `blocks.6.0`, pooled. timm goes on to a 1280-wide layer `conv_head`
//! after the pooling; OTX puts a hidden layer of its own there (see [`Head::NonLinear`](crate::Head::NonLinear)).

use mlcls_engine::{Activation, GraphBuilder, NodeId, Padding, Result};

use crate::blocks::{Row, Squeeze, Style, Trunk, conv_bn_act, inverted, separable};

const RELU: Activation = Activation::Relu;

// Columns: repeats, kernel, stride, (expansion,) out channels.
const STAGES: [&[Row]; 7] = [
    &[separable(1, 3, 1, 16).act(RELU)],
    &[inverted(1, 3, 2, 4.0, 24).act(RELU), inverted(1, 3, 1, 3.0, 24).act(RELU)],
    &[inverted(3, 5, 2, 3.0, 40).act(RELU).se()],
    &[inverted(1, 3, 2, 6.0, 80), inverted(1, 3, 1, 2.5, 80), inverted(2, 3, 1, 2.3, 80)],
    &[inverted(2, 3, 1, 6.0, 112).se()],
    &[inverted(3, 5, 2, 6.0, 160).se()],
    &[conv_bn_act(1, 1, 1, 960)],
];

/// From the image to the last feature map, 960 channels at a 32nd of the image's side.
pub(crate) fn large_100(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    let style = Style {
        padding: Padding::Symmetric,
        act: Activation::HardSwish,
        bn_eps: 1e-5,
        squeeze: Squeeze::OfExpanded,
        drop_path,
    };
    let mut trunk = Trunk { b, style };
    let x = trunk.conv_bn(("conv_stem", "bn1"), image, 16, (3, 2), style.act)?;
    trunk.stages(x, &STAGES)
}
