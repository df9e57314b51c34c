//! EfficientNetV2-S (Tan and Le 2021, <https://arxiv.org/abs/2104.00298>), timm's `tf_efficientnetv2_s`.

use mlcls_engine::{Activation, GraphBuilder, NodeId, Padding, Result};

use crate::blocks::{Row, Squeeze, Style, Trunk, conv_bn_act, fused, inverted};

// Columns: repeats, kernel, stride, (expansion,) out channels.
const STAGES: [&[Row]; 6] = [
    &[conv_bn_act(2, 3, 1, 24).skip()],
    &[fused(4, 3, 2, 4.0, 48)],
    &[fused(4, 3, 2, 4.0, 64)],
    &[inverted(6, 3, 2, 4.0, 128).se()],
    &[inverted(9, 3, 1, 6.0, 160).se()],
    &[inverted(15, 3, 2, 6.0, 256).se()],
];

/// From the image to the last feature map, 1280 channels at a 32nd of the image's side.
pub(crate) fn tf_s(b: &mut GraphBuilder, image: NodeId, drop_path: f32) -> Result<NodeId> {
    let style = Style {
        padding: Padding::Same,
        act: Activation::Silu,
        bn_eps: 1e-3,
        squeeze: Squeeze::OfInput,
        drop_path,
    };
    let mut trunk = Trunk { b, style };
    let x = trunk.conv_bn(("conv_stem", "bn1"), image, 24, (3, 2), style.act)?;
    let x = trunk.stages(x, &STAGES)?;
    trunk.conv_bn(("conv_head", "bn2"), x, 1280, (1, 1), style.act)
}
