//! Depthwise convolution over channels-last rows with a border of zeros.
//!
//! Forward and data gradient are the same [`stencil`]: an output pixel is a sum over taps, each a weight vector times the
//! pixel at some offset. The data gradient of a strided convolution has its own taps for each parity of row and column.

use super::act::{Act, with_act};
use super::rows::{channels, load, store};
use super::simd::{Simd, simd_kernel};
use crate::graph::Activation;

/// One tap of a stencil.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// Offset of the source pixel from that of the output pixel, in elements.
    pub source: usize,
    /// Where the tap's weights start in the `[taps, c]` table, in elements.
    pub weight: usize,
}

/// Lines of outputs of a stencil.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// Source of the first output pixel.
    pub src: *const f32,
    /// Elements between the sources of neighbouring outputs.
    pub src_step: usize,
    /// Elements between the sources of lines.
    pub src_line: usize,
    /// First output pixel.
    pub dst: *mut f32,
    /// Elements between neighbouring outputs.
    pub dst_step: usize,
    /// Elements between lines.
    pub dst_line: usize,
    /// Number of lines.
    pub lines: usize,
    /// Outputs of a line.
    pub count: usize,
    /// Channels.
    pub c: usize,
    /// Weights `[taps, c]`.
    pub weights: *const f32,
    /// What every output starts from.
    pub start: Start,
    /// Activation of the outputs.
    pub act: Activation,
}

/// What the sums of a stencil start from.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// Nothing.
    Zero,
    /// A bias, one element per channel.
    Bias(*const f32),
    /// What the output holds.
    Output,
}

/// `N` neighbouring outputs of one vector of channels, given where the first one's source and output lie.
#[inline(always)]
unsafe fn block<S: Simd, A: Act, const N: usize>(
    r: &Lines,
    taps: &[Tap],
    src: *const f32,
    dst: *mut f32,
    at: usize,
    lanes: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let (src, dst) = (src.add(at), dst.add(at));
        let mut acc = [S::splat(0.0); N];
        match r.start {
            Start::Zero => {}
            Start::Bias(bias) => acc = [load!(S, bias.add(at), lanes); N],
            Start::Output => {
                for (j, v) in acc.iter_mut().enumerate() {
                    *v = load!(S, dst.add(j * r.dst_step), lanes);
                }
            }
        }
        for tap in taps {
            let w = load!(S, r.weights.add(tap.weight + at), lanes);
            let s = src.add(tap.source);
            for (j, v) in acc.iter_mut().enumerate() {
                *v = S::fma(load!(S, s.add(j * r.src_step), lanes), w, *v);
            }
        }
        for (j, v) in acc.iter().enumerate() {
            store!(S, dst.add(j * r.dst_step), A::value::<S>(*v), lanes);
        }
    }
}

/// Outputs at a time, at most: their sums are independent, which hides the latency of a multiply-add.
const MOST: usize = 8;

#[inline(always)]
unsafe fn stencil_act<S: Simd, A: Act>(r: &Lines, taps: &[Tap]) {
    // Blocks as even as can be (a line of 14 is two of 7), since a short block takes as long as a full one.
    let blocks = r.count.div_ceil(MOST);
    for i in 0..blocks {
        let (first, end) = (i * r.count / blocks, (i + 1) * r.count / blocks);
        macro_rules! run {
            ($($n:literal)*) => {
                match end - first {
                    $($n => for line in 0..r.lines {
                        let src = r.src.add(line * r.src_line + first * r.src_step);
                        let dst = r.dst.add(line * r.dst_line + first * r.dst_step);
                        channels!(S, r.c, |at, lanes| {
                            block::<S, A, $n>(r, taps, src, dst, at, lanes);
                        });
                    },)*
                    _ => unreachable!("a block has 1 to 8 outputs"),
                }
            };
        }
        // SAFETY: the caller's contract.
        unsafe { run!(1 2 3 4 5 6 7 8) }
    }
}

#[inline(always)]
unsafe fn stencil_lines<S: Simd>(r: &Lines, taps: &[Tap]) {
    // SAFETY: the caller's contract.
    unsafe { with_act!(r.act, |A| stencil_act::<S, A>(r, taps)) }
}

simd_kernel! {
    /// All outputs.
    ///
    /// # Safety
    /// All sources, outputs, weights and the bias that the lines and their taps name must be valid.
    stencil = stencil_lines(r: &Lines, taps: &[Tap])
}

/// One row of output gradients against the inputs that made it.
#[derive(Clone, Copy, Debug)]
pub struct GradRow {
    /// Gradients of the outputs, `[count, c]`.
    pub dy: *const f32,
    /// Input pixel under the first tap of the first output.
    pub x: *const f32,
    /// Elements between input rows.
    pub x_row: usize,
    /// Elements between the inputs of neighbouring outputs.
    pub x_step: usize,
    /// Number of outputs.
    pub count: usize,
    /// Channels.
    pub c: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Gradient of the weights `[kernel * kernel, c]`, added to.
    pub dw: *mut f32,
}

/// Rows `first..first + R` of the kernel at once: enough independent sums to hide the latency of a multiply-add.
#[inline(always)]
unsafe fn weight_gradient_rows<S: Simd, const K: usize, const R: usize>(
    g: &GradRow,
    first: usize,
    at: usize,
    lanes: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut sums = [[S::splat(0.0); K]; R];
        let mut x = g.x.add(first * g.x_row + at);
        for i in 0..g.count {
            let dy = load!(S, g.dy.add(i * g.c + at), lanes);
            for (ky, row) in sums.iter_mut().enumerate() {
                let x = x.add(ky * g.x_row);
                for (kx, v) in row.iter_mut().enumerate() {
                    *v = S::fma(dy, load!(S, x.add(kx * g.c), lanes), *v);
                }
            }
            x = x.add(g.x_step);
        }
        for (ky, row) in sums.iter().enumerate() {
            for (kx, v) in row.iter().enumerate() {
                let to = g.dw.add(((first + ky) * K + kx) * g.c + at);
                store!(S, to, S::add(*v, load!(S, to, lanes)), lanes);
            }
        }
    }
}

#[inline(always)]
unsafe fn weight_gradient_k<S: Simd, const K: usize>(g: &GradRow) {
    // SAFETY: the caller's contract; rows stay below K.
    unsafe {
        channels!(S, g.c, |at, lanes| {
            // As many rows as the sums have registers for, which are 32 for 16 lanes and 16 for fewer.
            match (K, S::LANES) {
                (1, _) => weight_gradient_rows::<S, K, 1>(g, 0, at, lanes),
                (3, _) => weight_gradient_rows::<S, K, 3>(g, 0, at, lanes),
                (5, 16) => weight_gradient_rows::<S, K, 5>(g, 0, at, lanes),
                (5, _) => {
                    weight_gradient_rows::<S, K, 2>(g, 0, at, lanes);
                    weight_gradient_rows::<S, K, 2>(g, 2, at, lanes);
                    weight_gradient_rows::<S, K, 1>(g, 4, at, lanes);
                }
                _ => {
                    for ky in 0..K {
                        weight_gradient_rows::<S, K, 1>(g, ky, at, lanes);
                    }
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn weight_gradient_row<S: Simd>(g: &GradRow) {
    // SAFETY: the caller's contract.
    unsafe {
        match g.kernel {
            1 => weight_gradient_k::<S, 1>(g),
            3 => weight_gradient_k::<S, 3>(g),
            5 => weight_gradient_k::<S, 5>(g),
            7 => weight_gradient_k::<S, 7>(g),
            k => unreachable!("kernel {k} is refused when the plan is made"),
        }
    }
}

/// Kernel sides that [`weight_gradient`] is compiled for.
pub const KERNELS: [usize; 4] = [1, 3, 5, 7];

simd_kernel! {
    /// Adds one row's share to the gradient of the weights.
    ///
    /// # Safety
    /// All gradients, inputs and weights that the row names must be valid; `kernel` must be one of [`KERNELS`].
    weight_gradient = weight_gradient_row(g: &GradRow)
}
