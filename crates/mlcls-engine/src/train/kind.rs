//! The kinds of memory in a training plan's arena.

/// What a piece of the arena holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArenaKind {
    /// Outputs of stages, kept from the forward pass until the backward pass of the stage that made them.
    Value,
    /// Gradients of the values.
    Gradient,
    /// Weights in the layout of the kernels, once for the forward and once for the backward pass.
    PackedWeight,
    /// One gradient of the largest weight for each part of the batch, before the parts are added up.
    PartialWeightGradient,
    /// Double-precision sums of each part of the batch.
    PartialSums,
    /// Statistics and coefficients of batch-norms, per channel.
    BatchNorm,
    /// Squeeze-excite: pooled maps, hidden layers, gates and their gradients, per image and channel.
    Gate,
    /// The activated input of one 1x1 convolution over the whole batch, for weight gradients that are taken in one go.
    WholeInput,
}

impl ArenaKind {
    /// Every kind, in the order of [`ArenaMap::kinds`](crate::ArenaMap::kinds).
    pub const ALL: [Self; 8] = [
        Self::Value,
        Self::Gradient,
        Self::PackedWeight,
        Self::PartialWeightGradient,
        Self::PartialSums,
        Self::BatchNorm,
        Self::Gate,
        Self::WholeInput,
    ];

    /// As users read it, for example `packed weights`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "values",
            Self::Gradient => "gradients",
            Self::PackedWeight => "packed weights",
            Self::PartialWeightGradient => "partial weight gradients",
            Self::PartialSums => "partial sums",
            Self::BatchNorm => "batch-norm vectors",
            Self::Gate => "gates",
            Self::WholeInput => "whole input",
        }
    }

    /// Whether its pieces take turns in the same memory.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Value | Self::Gradient)
    }
}
