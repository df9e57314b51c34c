//! The number formats that a plan on a GPU computes in.

/// What feature maps and their gradients are stored in, and what products are made of. Sums, batch statistics, logits, the
/// parameters and their gradients are single precision (or better) in all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Maps in single precision; each product made of three TF32 products, which lose next to nothing that single precision
    /// would keep (relative error of a product about 2^-22).
    Fp32,
    /// Maps in single precision, factors rounded to TF32's 10 bits: what PyTorch calls `allow_tf32`.
    Tf32,
    /// Maps and factors in bfloat16.
    #[default]
    Bf16,
    /// Maps and factors in half precision, whose small range of exponents needs a scaled loss.
    Fp16,
}

impl Precision {
    /// Every precision, the most exact first.
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Tf32, Self::Bf16, Self::Fp16];

    /// As it is written in configurations and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::Fp16 => "fp16",
        }
    }

    /// Bytes of one element of a map.
    #[cfg(feature = "cuda")]
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Fp32 | Self::Tf32 => 4,
            Self::Bf16 | Self::Fp16 => 2,
        }
    }

    /// Its number in the kernels' source, the value of the macro `PRECISION`.
    #[cfg(feature = "cuda")]
    pub(crate) fn code(self) -> u32 {
        match self {
            Self::Fp32 => 0,
            Self::Tf32 => 1,
            Self::Bf16 => 2,
            Self::Fp16 => 3,
        }
    }
}
