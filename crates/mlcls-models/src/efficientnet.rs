//! EfficientNet-B0 (Tan and Le 2019, <https://arxiv.org/abs/1905.11946>), timm's `efficientnet_b0`, and
//! EfficientNet-Lite0, timm's `tf_efficientnet_lite0`: B0 without squeeze-and-excite, ReLU6 in place of SiLU.

use mlcls_engine::{Activation, GraphBuilder, NodeId, Padding, Result};

use crate::blocks::{Row, Squeeze, Style, Trunk, inverted, separable};

// Columns: repeats, kernel, stride, (expansion,) out channels.
const B0: [&[Row]; 7] = [
    &[separable(1, 3, 1, 16).se()],
    &[inverted(2, 3, 2, 6.0, 24).se()],
    &[inverted(2, 5, 2, 6.0, 40).se()],
    &[inverted(3, 3, 2, 6.0, 80).se()],
    &[inverted(3, 5, 1, 6.0, 112).se()],
    &[inverted(4, 5, 2, 6.0, 192).se()],
    &[inverted(1, 3, 1, 6.0, 320).se()],
];

const LITE0: [&[Row]; 7] = [
    &[separable(1, 3, 1, 16)],
    &[inverted(2, 3, 2, 6.0, 24)],
    &[inverted(2, 5, 2, 6.0, 40)],
    &[inverted(3, 3, 2, 6.0, 80)],
    &[inverted(3, 5, 1, 6.0, 112)],
    &[inverted(4, 5, 2, 6.0, 192)],
    &[inverted(1, 3, 1, 6.0, 320)],
];

/// From the image to B0's last feature map, 1280 channels at a 32nd of the image's side.
pub(crate) fn b0(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    let style = Style {
        padding: Padding::Symmetric,
        act: Activation::Silu,
        bn_eps: 1e-5,
        squeeze: Squeeze::OfInput,
        drop_path,
    };
    backbone(b, image, style, &B0)
}

/// From the image to Lite0's last feature map, 1280 channels at a 32nd of the image's side.
pub(crate) fn tf_lite0(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    let style = Style {
        padding: Padding::Same,
        act: Activation::Relu6,
        bn_eps: 1e-3,
        squeeze: Squeeze::OfInput,
        drop_path,
    };
    backbone(b, image, style, &LITE0)
}

fn backbone(b: &mut GraphBuilder, image: NodeId, style: Style, stages: &[&[Row]]) -> Result<NodeId> {
    let mut trunk = Trunk { b, style };
    let x = trunk.conv_bn(("conv_stem", "bn1"), image, 32, (3, 2), style.act)?;
    let x = trunk.stages(x, stages)?;
    trunk.conv_bn(("conv_head", "bn2"), x, 1280, (1, 1), style.act)
}
