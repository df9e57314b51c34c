//! The blocks that MobileNetV3 and the EfficientNets are made of, with timm's module names.
//!
//! A backbone is a table of [`Row`]s grouped in stages; [`Trunk::stages`] walks it. A block is named
//! `blocks.<stage>.<position in the stage>`, as in timm.

use mlcls_engine::{Activation, ConvOptions, GraphBuilder, NodeId, Padding, Result};

/// What every block of a backbone has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub padding: Padding,
    /// Activation of rows that name none.
    pub act: Activation,
    pub bn_eps: f32,
    pub squeeze: Squeeze,
    /// Stochastic depth of the last block; block `i` of `n` gets `i / n` of it.
    pub drop_path: f32,
}

/// How wide a squeeze-and-excite layer's hidden layer is, and its activations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Squeeze {
    /// A quarter of the block's input channels; the block's activation inside, a sigmoid gate.
    OfInput,
    /// A quarter of the expanded channels in multiples of 8; ReLU inside, a hard-sigmoid gate.
    OfExpanded,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    ConvBnAct { skip: bool },
    DepthwiseSeparable,
    InvertedResidual,
    EdgeResidual,
}

/// One row of a backbone's table: a block, how often it is repeated, and its sizes.
///
/// Only the first repetition has the stride.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    kind: Kind,
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: f64,
    out: usize,
    squeeze: bool,
    act: Option<Activation>,
}

impl Row {
    const fn new(
        kind: Kind,
        repeats: usize,
        kernel: usize,
        stride: usize,
        expansion: f64,
        out: usize,
    ) -> Self {
        Self { kind, repeats, kernel, stride, expansion, out, squeeze: false, act: None }
    }

    /// With squeeze-and-excite.
    pub const fn se(mut self) -> Self {
        self.squeeze = true;
        self
    }

    /// With another activation than the backbone's.
    pub const fn act(mut self, act: Activation) -> Self {
        self.act = Some(act);
        self
    }

    /// With a shortcut around a [`conv_bn_act`].
    pub const fn skip(mut self) -> Self {
        self.kind = Kind::ConvBnAct { skip: true };
        self
    }
}

/// Convolution, batch-norm, activation: repeats, kernel, stride, out channels.
pub(crate) const fn conv_bn_act(repeats: usize, kernel: usize, stride: usize, out: usize) -> Row {
    Row::new(Kind::ConvBnAct { skip: false }, repeats, kernel, stride, 1.0, out)
}

/// A depthwise convolution and a pointwise one: repeats, kernel, stride, out channels.
pub(crate) const fn separable(repeats: usize, kernel: usize, stride: usize, out: usize) -> Row {
    Row::new(Kind::DepthwiseSeparable, repeats, kernel, stride, 1.0, out)
}

/// MBConv, expand, depthwise, project: repeats, kernel, stride, expansion, out channels.
pub(crate) const fn inverted(
    repeats: usize,
    kernel: usize,
    stride: usize,
    expansion: f64,
    out: usize,
) -> Row {
    Row::new(Kind::InvertedResidual, repeats, kernel, stride, expansion, out)
}

/// Fused MBConv, a dense convolution that expands, then project: repeats, kernel, stride, expansion, out channels.
pub(crate) const fn fused(repeats: usize, kernel: usize, stride: usize, expansion: f64, out: usize) -> Row {
    Row::new(Kind::EdgeResidual, repeats, kernel, stride, expansion, out)
}

/// A backbone under construction.
#[derive(Debug)]
pub(crate) struct Trunk<'a> {
    pub b: &'a mut GraphBuilder,
    pub style: Style,
}

impl Trunk<'_> {
    /// A convolution with its batch-norm, and an activation unless it is [`Activation::Identity`].
    pub fn conv_bn(
        &mut self,
        (conv, bn): (&str, &str),
        x: NodeId,
        out: usize,
        (kernel, stride): (usize, usize),
        act: Activation,
    ) -> Result<NodeId> {
        let x = self.b.conv(conv, x, out, self.options(kernel, stride))?;
        self.norm_act(bn, x, act)
    }

    fn depthwise_bn(
        &mut self,
        (conv, bn): (&str, &str),
        x: NodeId,
        (kernel, stride): (usize, usize),
        act: Activation,
    ) -> Result<NodeId> {
        let x = self.b.depthwise(conv, x, self.options(kernel, stride))?;
        self.norm_act(bn, x, act)
    }

    fn options(&self, kernel: usize, stride: usize) -> ConvOptions {
        ConvOptions { kernel, stride, padding: self.style.padding, ..Default::default() }
    }

    fn norm_act(&mut self, bn: &str, x: NodeId, act: Activation) -> Result<NodeId> {
        let x = self.b.batch_norm(bn, x, self.style.bn_eps, 0.1)?;
        Ok(match act {
            Activation::Identity => x,
            act => self.b.activation(x, act),
        })
    }

    /// All stages in turn; returns the last feature map.
    pub fn stages(&mut self, mut x: NodeId, stages: &[&[Row]]) -> Result<NodeId> {
        let total: usize = stages.iter().copied().flatten().map(|row| row.repeats).sum();
        let mut index = 0;
        for (stage, rows) in stages.iter().enumerate() {
            let mut position = 0;
            for row in *rows {
                for repeat in 0..row.repeats {
                    let block = Row { stride: if repeat == 0 { row.stride } else { 1 }, ..*row };
                    // timm's order of operations: rate * index / count, in f64.
                    let drop_path = f64::from(self.style.drop_path) * index as f64 / total as f64;
                    x = self.block(&format!("blocks.{stage}.{position}"), x, &block, drop_path as f32)?;
                    position += 1;
                    index += 1;
                }
            }
        }
        Ok(x)
    }

    fn block(&mut self, name: &str, input: NodeId, row: &Row, drop_path: f32) -> Result<NodeId> {
        let act = row.act.unwrap_or(self.style.act);
        let width = self.b.shape(input).c;
        let expanded = round_to_8(width as f64 * row.expansion);
        let part = |s: &str| format!("{name}.{s}");
        let (window, point) = ((row.kernel, row.stride), (1, 1));
        let linear = Activation::Identity;

        let out = match row.kind {
            Kind::ConvBnAct { .. } => {
                self.conv_bn((&part("conv"), &part("bn1")), input, row.out, window, act)?
            }
            Kind::DepthwiseSeparable => {
                let x = self.depthwise_bn((&part("conv_dw"), &part("bn1")), input, window, act)?;
                let x = self.squeeze_excite(name, x, row, width);
                self.conv_bn((&part("conv_pw"), &part("bn2")), x, row.out, point, linear)?
            }
            Kind::InvertedResidual => {
                let x = self.conv_bn((&part("conv_pw"), &part("bn1")), input, expanded, point, act)?;
                let x = self.depthwise_bn((&part("conv_dw"), &part("bn2")), x, window, act)?;
                let x = self.squeeze_excite(name, x, row, width);
                self.conv_bn((&part("conv_pwl"), &part("bn3")), x, row.out, point, linear)?
            }
            Kind::EdgeResidual => {
                let x = self.conv_bn((&part("conv_exp"), &part("bn1")), input, expanded, window, act)?;
                let x = self.squeeze_excite(name, x, row, width);
                self.conv_bn((&part("conv_pwl"), &part("bn2")), x, row.out, point, linear)?
            }
        };
        let may_skip = row.kind != Kind::ConvBnAct { skip: false };
        if may_skip && row.stride == 1 && width == row.out {
            return self.b.add(out, input, drop_path);
        }
        Ok(out)
    }

    /// Squeeze-and-excite after the depthwise activation, if the row has one.
    fn squeeze_excite(&mut self, block: &str, x: NodeId, row: &Row, block_input: usize) -> NodeId {
        if !row.squeeze {
            return x;
        }
        let (reduced, act, gate) = match self.style.squeeze {
            Squeeze::OfInput => (block_input / 4, row.act.unwrap_or(self.style.act), Activation::Sigmoid),
            Squeeze::OfExpanded => {
                let reduced = round_to_8(self.b.shape(x).c as f64 / 4.0);
                (reduced, Activation::Relu, Activation::HardSigmoid)
            }
        };
        self.b.squeeze_excite(&format!("{block}.se"), x, reduced, act, gate)
    }
}

/// The multiple of 8 nearest to `v`, at least 8 and not below 90 % of `v`.
fn round_to_8(v: f64) -> usize {
    let rounded = (((v + 4.0) / 8.0) as usize * 8).max(8);
    if (rounded as f64) < 0.9 * v { rounded + 8 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_in_timm() {
        // timm 1.0.31: [make_divisible(v) for v in (1, 18, 30, 60, 72, 80 * 2.3, 80 * 2.5, 120 / 4)]
        let widths = [1.0, 18.0, 30.0, 60.0, 72.0, 184.0, 200.0, 30.0].map(round_to_8);
        assert_eq!(widths, [8, 24, 32, 64, 72, 184, 200, 32]);
    }
}
