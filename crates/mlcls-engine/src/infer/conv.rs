//! Convolutions over all channels and small dense layers: products whose rows are pixels or images.

use std::ops::Range;

use super::dense::Dense;
use super::group::Group;
use super::split::Split;
use crate::border::Padded;
use crate::graph::Activation;
use crate::kernels::gemm::{Product, Runs, gemm};
use crate::kernels::rows::{self, Apply, Load};
use crate::parallel::{Scratch, Shared};
use crate::program::*;

impl Group<'_> {
    pub fn conv(&mut self, conv: &Conv, dense: &Dense, gate: Option<ValueId>, residual: Option<ValueId>) {
        let (cin, cout, pixels) = (conv.input.c, conv.output.c, conv.output.pixels());
        let out = self.pointer(conv.out, pixels * cout);
        let residual = residual.map(|id| self.pointer(id, pixels * cout));
        match &conv.src {
            Source::View(v) if conv.window.is_point() => {
                let x = self.value(v.value, conv.input.len());
                self.dense(pixels, x, gate.map(|g| self.value(g, cin)), dense, residual, out);
            }
            _ => (0..self.images).for_each(|image| self.windows(conv, dense, gate, residual, out, image)),
        }
    }

    /// `out = act(x B + bias) + residual` for every image's `pixels` rows of `x`, multiplied by the image's gate where there is
    /// one.
    pub fn dense(
        &self,
        pixels: usize,
        x: &[f32],
        gate: Option<&[f32]>,
        dense: &Dense,
        residual: Option<Shared<f32>>,
        out: Shared<f32>,
    ) {
        let (k, n) = (dense.k, dense.n);
        let split =
            Split::new(self.plan.isa, self.spread(), self.images * pixels, 1, k + n, n, gate.is_none());
        self.split(split.parts(), |part| {
            let (rows, cols) = split.part(part);
            let mut tile = Scratch::take(if gate.is_some() { rows.len() * k } else { 0 });
            let mut from = x[rows.start * k..].as_ptr();
            if let Some(gate) = gate {
                self.multiply(x, gate, pixels, rows.clone(), &mut tile);
                from = tile.as_ptr();
            }
            let at = rows.start * n + cols.start;
            let product = dense.product(rows.len(), cols, from, out.at(at));
            // SAFETY: these rows of the input or the tile, these rows and columns of the output and of the residual.
            unsafe { finished(self, &product, rows.len(), dense.act, residual.map(|r| r.at(at))) };
        });
    }

    /// These rows of `x`, each multiplied by its image's gate, into `tile`.
    fn multiply(&self, x: &[f32], gate: &[f32], pixels: usize, rows: Range<usize>, tile: &mut [f32]) {
        let k = gate.len() / self.images;
        let mut zeros = Scratch::take(k);
        zeros.fill(0.0);
        let mut row = rows.start;
        while row < rows.end {
            let image = row / pixels;
            let end = rows.end.min((image + 1) * pixels);
            let load = scale_by(&gate[image * k..][..k], &zeros);
            let (dst, src) = (tile[(row - rows.start) * k..].as_mut_ptr(), x[row * k..].as_ptr());
            // SAFETY: rows of one image, which the tile and the input hold.
            unsafe { rows::activate(self.plan.isa, dst, src, end - row, k, &load) };
            row = end;
        }
    }

    /// A convolution that reads its windows from one image with a border of zeros.
    fn windows(
        &self,
        conv: &Conv,
        dense: &Dense,
        gate: Option<ValueId>,
        residual: Option<Shared<f32>>,
        out: Shared<f32>,
        image: usize,
    ) {
        let (isa, window) = (self.plan.isa, conv.window);
        let (cin, cout, w, pixels) = (conv.input.c, conv.output.c, conv.output.w, conv.output.pixels());
        let padded = Padded::new(conv.input, conv.output, window);
        let mut memory = Scratch::take(padded.len());
        let line = conv.input.w * cin;
        let mut zeros = Scratch::take(cin);
        zeros.fill(0.0);
        match &conv.src {
            Source::Pixels { mean, std } => {
                let pixels = &self.pixels[image * conv.input.len()..][..conv.input.len()];
                padded.fill_pixels(isa, pixels, mean, std, &mut memory);
            }
            Source::View(v) => {
                let src = &self.value(v.value, conv.input.len())[image * conv.input.len()..];
                let gate = gate.map(|g| &self.value(g, cin)[image * cin..][..cin]);
                padded.fill(&mut memory, |y, dst| {
                    let from = src[y * line..][..line].as_ptr();
                    // SAFETY: line y of the input and of the padded image; the gate holds the input's channels.
                    unsafe {
                        match gate {
                            None => dst.copy_from_nonoverlapping(from, line),
                            Some(g) => {
                                rows::activate(isa, dst, from, conv.input.w, cin, &scale_by(g, &zeros));
                            }
                        }
                    }
                });
            }
        }
        let memory = &memory[..];
        let pixel = cin * window.stride * window.stride + cout;
        let split = Split::new(isa, self.spread(), pixels, w, pixel, cout, false);
        self.split(split.parts(), |part| {
            let (rows, cols) = split.part(part);
            let at = (image * pixels + rows.start) * cout + cols.start;
            let a = memory[padded.window_start(rows.start)..].as_ptr();
            let product = Product {
                m: w,
                k: window.kernel * cin,
                a_row: window.stride * cin,
                groups: Runs { count: rows.len() / w, a: window.stride * padded.stride(), b: 0 },
                segments: Runs { count: window.kernel, a: padded.stride(), b: 0 },
                ..dense.product(w, cols.clone(), a, out.at(at))
            };
            // SAFETY: the windows of these rows, these rows and columns of the output and of the residual.
            unsafe { finished(self, &product, rows.len(), dense.act, residual.map(|r| r.at(at))) };
        });
    }
}

/// Runs a product, and behind it either the activation or the sum with a residual.
///
/// # Safety
/// As [`gemm`]; the residual is laid out as C, which has `rows` rows.
unsafe fn finished(
    group: &Group,
    product: &Product,
    rows: usize,
    act: Activation,
    residual: Option<*mut f32>,
) {
    let isa = group.plan.isa;
    let add = residual.map_or(std::ptr::null(), <*mut f32>::cast_const);
    // SAFETY: the caller's contract.
    unsafe {
        gemm(isa, &Product { add, ..*product });
        if act != Activation::Identity {
            rows::apply(isa, &Apply::in_place(product.c, rows, product.n, product.c_row, act));
        }
    }
}

/// A load that multiplies each channel by its gate.
fn scale_by(gate: &[f32], zeros: &[f32]) -> Load {
    let (scale, shift) = (gate.as_ptr(), zeros.as_ptr());
    Load { scale, shift, act: Activation::Identity, gate: std::ptr::null() }
}
