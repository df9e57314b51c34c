//! The kernels on checked slices, one thread, for `benches/kernels.rs` alone: behind the feature `bench`, and no part of the
//! public interface.

use crate::graph::Activation;
use crate::kernels::depthwise::{GradRow, Lines, Start, Tap, stencil, weight_gradient};
use crate::kernels::gemm::{Panels, Product, Runs, gemm, pack, packed_len};
use crate::kernels::rows::{self, Apply, GATED_SUMS, Load, LoadGrad};
use crate::kernels::simd::Isa;

/// An instruction set of this processor.
#[derive(Clone, Copy, Debug)]
pub struct Set(Isa);

impl Set {
    /// The best first, down to AVX2; the scalar reference only where there is nothing else.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<_> = Isa::available().into_iter().map(Self).rev().collect();
        all.truncate((all.len() - 1).max(1));
        all
    }

    /// Its name, for example `avx512`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// `b[k, n]` in the panels of [`product`].
pub fn packed(set: Set, b: &[f32], k: usize, n: usize) -> Vec<f32> {
    assert_eq!(b.len(), k * n);
    let mut out = vec![0.0; packed_len(set.0, k, n)];
    pack(set.0, k, n, |l, j| b[l * n + j], &mut out);
    out
}

/// `c[m, n] = a[m, k] b[k, n]` with `b` from [`packed`]: a 1x1 convolution forward, and its data gradient with `n` and `k`
/// exchanged.
pub fn product(set: Set, [m, n, k]: [usize; 3], a: &[f32], b: &[f32], c: &mut [f32]) {
    assert_eq!([a.len(), b.len(), c.len()], [m * k, packed_len(set.0, k, n), m * n]);
    let p = Product::plain(m, n, k, a.as_ptr(), Panels::Packed(b.as_ptr()), c.as_mut_ptr());
    // SAFETY: the lengths are checked above, and slices do not overlap.
    unsafe { gemm(set.0, &p) }
}

/// `dw[cout, cin] += dy[rows, cout]^T x[rows, cin]`: the weight gradient of a 1x1 convolution.
pub fn weight_product(set: Set, [rows, cout, cin]: [usize; 3], dy: &[f32], x: &[f32], dw: &mut [f32]) {
    assert_eq!([dy.len(), x.len(), dw.len()], [rows * cout, rows * cin, cout * cin]);
    let p = Product {
        a_row: 1,
        a_col: cout,
        ..Product::plain(cout, cin, rows, dy.as_ptr(), Panels::Rows(x.as_ptr(), cin), dw.as_mut_ptr())
    }
    .accumulate(true);
    // SAFETY: the lengths are checked above, and slices do not overlap.
    unsafe { gemm(set.0, &p) }
}

/// `lines` lines of `side` outputs of a 3x3 convolution with stride 1, whose windows are read where they lie in
/// `x[lines + 2, side + 2, cin]`; `w` is packed from `[9 * cin, cout]`.
pub fn window_product(set: Set, [lines, side, cout, cin]: [usize; 4], x: &[f32], w: &[f32], y: &mut [f32]) {
    let line = (side + 2) * cin;
    assert_eq!([x.len(), y.len()], [(lines + 2) * line, lines * side * cout]);
    assert_eq!(w.len(), packed_len(set.0, 9 * cin, cout));
    let p = Product {
        a_row: cin,
        groups: Runs { count: lines, a: line, b: 0 },
        segments: Runs { count: 3, a: line, b: 0 },
        ..Product::plain(side, cout, 3 * cin, x.as_ptr(), Panels::Packed(w.as_ptr()), y.as_mut_ptr())
    };
    // SAFETY: the lengths are checked above, and slices do not overlap.
    unsafe { gemm(set.0, &p) }
}

/// A depthwise convolution of one image that already has its border of zeros.
#[derive(Clone, Debug)]
pub struct Depthwise {
    side: usize,
    c: usize,
    kernel: usize,
    stride: usize,
    taps: Vec<Tap>,
}

impl Depthwise {
    /// For outputs of `side` by `side` pixels and `c` channels.
    pub fn new(side: usize, c: usize, kernel: usize, stride: usize) -> Self {
        let width = (side - 1) * stride + kernel;
        let tap = |t| Tap { source: (t / kernel * width + t % kernel) * c, weight: t * c };
        Self { side, c, kernel, stride, taps: (0..kernel * kernel).map(tap).collect() }
    }

    /// Pixels of an input row with its border.
    fn width(&self) -> usize {
        (self.side - 1) * self.stride + self.kernel
    }

    /// Lengths of the input with its border, of the weights `[kernel * kernel, c]` and of the output.
    pub fn lens(&self) -> [usize; 3] {
        [self.width() * self.width(), self.taps.len(), self.side * self.side].map(|n| n * self.c)
    }

    /// The forward pass. With stride 1 the data gradient is the same.
    pub fn forward(&self, set: Set, x: &[f32], weights: &[f32], y: &mut [f32]) {
        assert_eq!([x.len(), weights.len(), y.len()], self.lens());
        let (c, count) = (self.c, self.side);
        let lines = Lines {
            src: x.as_ptr(),
            src_step: self.stride * c,
            src_line: self.stride * self.width() * c,
            dst: y.as_mut_ptr(),
            dst_step: c,
            dst_line: count * c,
            lines: count,
            count,
            c,
            weights: weights.as_ptr(),
            start: Start::Zero,
            act: Activation::Identity,
        };
        // SAFETY: `lens` holds all windows, outputs and weights.
        unsafe { stencil(set.0, &lines, &self.taps) }
    }

    /// Adds to the gradient of the weights.
    pub fn weight_gradient(&self, set: Set, x: &[f32], dy: &[f32], dw: &mut [f32]) {
        assert_eq!([x.len(), dw.len(), dy.len()], self.lens());
        let (c, count) = (self.c, self.side);
        for (i, dy) in dy.chunks_exact(count * c).enumerate() {
            let row = GradRow {
                dy: dy.as_ptr(),
                x: x[i * self.stride * self.width() * c..].as_ptr(),
                x_row: self.width() * c,
                x_step: self.stride * c,
                count,
                c,
                kernel: self.kernel,
                dw: dw.as_mut_ptr(),
            };
            // SAFETY: `lens` holds all windows of this row, its gradients and the weights.
            unsafe { weight_gradient(set.0, &row) }
        }
    }
}

/// Vectors per channel that the passes over rows read; every pass works on whole rows of as many channels.
#[derive(Clone, Debug)]
pub struct Channels {
    /// Activation behind scale and shift.
    pub act: Activation,
    /// Factors, all of one length.
    pub scale: Vec<f32>,
    /// Summands.
    pub shift: Vec<f32>,
    /// Squeeze-excite's gate, or empty.
    pub gate: Vec<f32>,
    /// Batch means; any vector does for the coefficients of the backward pass.
    pub mean: Vec<f32>,
}

impl Channels {
    fn c(&self) -> usize {
        let c = self.scale.len();
        assert!(
            [self.shift.len(), self.mean.len()] == [c, c] && (self.gate.is_empty() || self.gate.len() == c)
        );
        c
    }

    /// Rows of a map, all of `maps` being of one length.
    fn rows(&self, maps: &[usize]) -> usize {
        assert!(maps.iter().all(|len| *len == maps[0] && len.is_multiple_of(self.c())));
        maps[0] / self.c()
    }

    fn load(&self) -> Load {
        let gate = if self.gate.is_empty() { std::ptr::null() } else { self.gate.as_ptr() };
        Load { scale: self.scale.as_ptr(), shift: self.shift.as_ptr(), act: self.act, gate }
    }

    /// `dst = act(src * scale + shift) * gate`.
    pub fn activate(&self, set: Set, dst: &mut [f32], src: &[f32]) {
        let rows = self.rows(&[dst.len(), src.len()]);
        // SAFETY: the lengths are checked, here and in the methods below.
        unsafe { rows::activate(set.0, dst.as_mut_ptr(), src.as_ptr(), rows, self.c(), &self.load()) }
    }

    /// Mean over the rows of `act(src * scale + shift)`.
    pub fn pool(&self, set: Set, src: &[f32], out: &mut [f32]) {
        let rows = self.rows(&[src.len()]);
        assert_eq!(out.len(), self.c());
        // SAFETY: as above.
        unsafe { rows::pool(set.0, src.as_ptr(), rows, self.c(), &self.load(), out.as_mut_ptr()) }
    }

    /// `dst = act(dst)`.
    pub fn apply(&self, set: Set, dst: &mut [f32]) {
        let (rows, c) = (self.rows(&[dst.len()]), self.c());
        // SAFETY: as above.
        unsafe { rows::apply(set.0, &Apply::in_place(dst.as_mut_ptr(), rows, c, c, self.act)) }
    }

    /// Adds each channel's sum and sum of squares of `y - mean` to `sums[..c]` and `sums[c..]`.
    pub fn moments(&self, set: Set, y: &[f32], sums: &mut [f64]) {
        let (rows, c) = (self.rows(&[y.len()]), self.c());
        assert_eq!(sums.len(), 2 * c);
        let (sum, square) = sums.split_at_mut(c);
        let (sum, square) = (sum.as_mut_ptr(), square.as_mut_ptr());
        // SAFETY: as above.
        unsafe { rows::moments(set.0, y.as_ptr(), rows, c, self.mean.as_ptr(), sum, square) }
    }

    /// The gradient of the raw value `y` from `d`, through the gate where there is one.
    pub fn gradient(&self, set: Set, dst: &mut [f32], d: &[f32], y: &[f32]) {
        let rows = self.rows(&[dst.len(), d.len(), y.len()]);
        let mean = self.mean.as_ptr();
        let g = LoadGrad { a: mean, b: mean, c: mean, mean, view: self.load(), pooled: mean };
        // SAFETY: as above.
        unsafe { rows::gradient(set.0, dst.as_mut_ptr(), d.as_ptr(), y.as_ptr(), rows, self.c(), &g) }
    }

    /// `d *= act'(y * scale + shift)`, with batch-norm's sums `[2, c]`.
    pub fn finish(&self, set: Set, d: &mut [f32], y: &[f32], sums: &mut [f64]) {
        let (rows, c) = (self.rows(&[d.len(), y.len()]), self.c());
        assert_eq!(sums.len(), 2 * c);
        let (d, sums) = (d.as_mut_ptr(), sums.as_mut_ptr());
        // SAFETY: as above.
        unsafe { rows::finish(set.0, d, y.as_ptr(), rows, c, &self.load(), self.mean.as_ptr(), sums) }
    }

    /// The sums of a gated value's gradient, [`gated_sums`](Self::gated_sums) of them.
    pub fn finish_gated(&self, set: Set, d: &[f32], y: &[f32], sums: &mut [f32]) {
        let (rows, c) = (self.rows(&[d.len(), y.len()]), self.c());
        assert_eq!(sums.len(), self.gated_sums());
        let (d, y, sums) = (d.as_ptr(), y.as_ptr(), sums.as_mut_ptr());
        // SAFETY: as above.
        unsafe { rows::finish_gated(set.0, d, y, rows, c, &self.load(), self.mean.as_ptr(), sums) }
    }

    /// Length of the sums of [`finish_gated`](Self::finish_gated).
    pub fn gated_sums(&self) -> usize {
        GATED_SUMS * self.c()
    }
}

/// `dst = k * src`, or `dst += k * src`.
pub fn axpy(set: Set, dst: &mut [f32], src: &[f32], k: f32, accumulate: bool) {
    assert_eq!(dst.len(), src.len());
    // SAFETY: the lengths are equal.
    unsafe { rows::axpy(set.0, dst.as_mut_ptr(), src.as_ptr(), k, src.len(), accumulate) }
}
