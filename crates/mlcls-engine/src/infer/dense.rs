//! Weights as products read them: folded, packed, with their bias and the activation behind them.

use std::ops::Range;

use crate::aligned::Aligned;
use crate::graph::Activation;
use crate::kernels::gemm::{Panels, Product, pack, packed_len};
use crate::kernels::simd::Isa;
use crate::program::ValueId;

/// `act(x B + bias)`: what a convolution does to its windows and a small layer to its inputs.
#[derive(Debug)]
pub struct Dense {
    /// Inputs, rows of B.
    pub k: usize,
    /// Outputs, columns of B.
    pub n: usize,
    /// B, packed.
    pub panels: Aligned,
    pub bias: Vec<f32>,
    pub act: Activation,
}

impl Dense {
    pub fn new(
        isa: Isa,
        k: usize,
        at: impl Fn(usize, usize) -> f32,
        bias: Vec<f32>,
        act: Activation,
    ) -> Self {
        let n = bias.len();
        let mut panels = Aligned::zeros(packed_len(isa, k, n));
        pack(isa, k, n, at, &mut panels);
        Self { k, n, panels, bias, act }
    }

    /// These columns of `x B + bias` for `rows` rows, at `c` in rows of all columns.
    pub fn product(&self, rows: usize, cols: Range<usize>, x: *const f32, c: *mut f32) -> Product {
        let b = Panels::Packed(self.panels[cols.start * self.k..].as_ptr());
        let bias = self.bias[cols.start..].as_ptr();
        Product { bias, c_row: self.n, ..Product::plain(rows, cols.len(), self.k, x, b, c) }
    }
}

/// The 1x1 convolution that makes the input of a depthwise one.
#[derive(Debug)]
pub struct Expand {
    pub src: ValueId,
    pub dense: Dense,
}
