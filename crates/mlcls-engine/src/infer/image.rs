//! One image through all stages of an inference plan.

use super::InferPlan;
use super::fold::Folded;
use super::split::Split;
use crate::border::{Band, Padded, input_rows, strip_rows, window_taps};
use crate::graph::{Activation, Shape};
use crate::kernels::cosine::{logits, normalise};
use crate::kernels::depthwise::{Row, stencil};
use crate::kernels::gemm::{Panels, Product, Runs, gemm};
use crate::kernels::rows::{self, Load};
use crate::parallel::{Scratch, Shared, for_each};
use crate::program::*;

/// One image on its way through the net.
pub struct Image<'a> {
    pub plan: &'a InferPlan,
    /// Threads that share each stage; 1 where every thread has an image of its own.
    pub spread: usize,
    pub memory: &'a mut [f32],
    pub pixels: &'a [u8],
}

impl Image<'_> {
    /// `len` elements of a value.
    pub fn value(&self, id: ValueId, len: usize) -> &[f32] {
        &self.memory[self.plan.offsets[id]..][..len]
    }

    fn value_mut(&mut self, id: ValueId, len: usize) -> &mut [f32] {
        &mut self.memory[self.plan.offsets[id]..][..len]
    }

    fn pointer(&mut self, id: ValueId, len: usize) -> *mut f32 {
        self.value_mut(id, len).as_mut_ptr()
    }

    /// Runs one stage.
    pub fn stage(&mut self, stage: &Folded) {
        match stage {
            Folded::Conv { conv, panels, bias, act, gate, residual } => {
                self.conv(conv, panels, bias, *act, *gate, *residual);
            }
            Folded::Depthwise { dw, weights, bias, act } => self.depthwise(dw, weights, bias, *act),
            Folded::Squeeze { se, out, reduce, reduce_bias, expand, expand_bias } => {
                let (c, r) = (se.input.c, reduce_bias.len());
                let mut pooled = Scratch::take(c);
                self.mean(se.src.value, se.input, pooled.as_mut_ptr());
                let mut hidden = Scratch::take(r);
                let gate = self.pointer(*out, c);
                let isa = self.plan.isa;
                // SAFETY: vectors of c, r and c elements, panels and biases of these sizes.
                unsafe {
                    gemm(isa, &row_product(&pooled, reduce, r, hidden.as_mut_ptr()));
                    let (none, bias) = (std::ptr::null(), reduce_bias.as_ptr());
                    rows::bias_act(isa, hidden.as_mut_ptr(), 1, r, r, bias, se.act, none);
                    gemm(isa, &row_product(&hidden, expand, c, gate));
                    rows::bias_act(isa, gate, 1, c, c, expand_bias.as_ptr(), se.gate_act, none);
                }
            }
            Folded::Add(a) => {
                let len = a.shape.len();
                let (branch, shortcut) =
                    (self.pointer(a.branch.value, len), self.pointer(a.shortcut.value, len));
                let out = self.pointer(a.out, len);
                // SAFETY: three values alive together, so in places of their own, each `len` long.
                unsafe {
                    rows::axpy(self.plan.isa, out, branch, 1.0, len, false);
                    rows::axpy(self.plan.isa, out, shortcut, 1.0, len, true);
                }
            }
            Folded::Pool(p) => {
                let out = self.pointer(p.out, p.input.c);
                self.mean(p.src.value, p.input, out);
            }
            Folded::PRelu { prelu, slope } => {
                self.copy(prelu.src.value, prelu.out, prelu.shape.len());
                let out = self.value_mut(prelu.out, prelu.shape.len());
                out.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { slope * *v });
            }
            Folded::Copy { src, out, len } => self.copy(*src, *out, *len),
            Folded::Cosine { head, unit } => {
                let mut x = vec![0.0; head.d];
                normalise(self.value(head.src.value, head.d), head.d, &mut x, &mut [0.0]);
                logits(&x, unit, head.scale, self.value_mut(head.out, head.classes));
            }
        }
    }

    fn copy(&mut self, src: ValueId, out: ValueId, len: usize) {
        let (from, to) = (self.plan.offsets[src], self.plan.offsets[out]);
        self.memory.copy_within(from..from + len, to);
    }

    /// Runs `f` for every part, on all threads where they share the stage.
    fn split(spread: usize, parts: usize, f: impl Fn(usize) + Sync + Send) {
        if spread > 1 { for_each(parts, f) } else { (0..parts).for_each(f) }
    }

    /// Mean of each channel of a map into `out`.
    fn mean(&mut self, src: ValueId, shape: Shape, out: *mut f32) {
        let (isa, c) = (self.plan.isa, shape.c);
        let (src, out) = (Shared::new(self.pointer(src, shape.len())), Shared::new(out));
        // A cache line at least, so that threads do not share one.
        let width = c.div_ceil(self.spread).next_multiple_of(16);
        Self::split(self.spread, c.div_ceil(width), |part| {
            let at = part * width;
            let width = width.min(c - at);
            // SAFETY: the channels of this part in every row, and in `out`.
            unsafe { rows::mean(isa, src.at(at), shape.pixels(), c, width, out.at(at)) }
        });
    }

    fn conv(
        &mut self,
        conv: &Conv,
        panels: &[f32],
        bias: &[f32],
        act: Activation,
        gate: Option<ValueId>,
        residual: Option<ValueId>,
    ) {
        let isa = self.plan.isa;
        let (cin, cout, pixels) = (conv.input.c, conv.output.c, conv.output.pixels());
        let k = cin * conv.window.kernel * conv.window.kernel;
        let out = Shared::new(self.pointer(conv.out, pixels * cout));
        let residual = residual.map(|id| Shared::new(self.pointer(id, pixels * cout)));
        let src = match &conv.src {
            Source::View(v) => Some(Shared::new(self.pointer(v.value, conv.input.len()))),
            Source::Pixels { .. } => None,
        };
        let padded = Padded::new(conv.input, conv.output, conv.window);
        let in_place = src.filter(|_| conv.window.is_point());
        let mut image = Scratch::take(if in_place.is_some() { 0 } else { padded.len() });
        let mut zeros = Scratch::take(if gate.is_some() { cin } else { 0 });
        zeros.fill(0.0);
        let zeros = &zeros[..];
        let gate = gate.map(|g| self.value(g, cin));
        if in_place.is_none() {
            let row_len = conv.input.w * cin;
            match (&conv.src, src) {
                (Source::Pixels { mean, std }, _) => padded.fill_pixels(self.pixels, mean, std, &mut image),
                (_, Some(src)) => padded.fill(&mut image, |y, dst| {
                    let from = src.at(y * row_len).cast_const();
                    // SAFETY: row y of the input and of the padded image; the gate holds the input's channels.
                    unsafe {
                        match gate {
                            None => dst.copy_from_nonoverlapping(from, row_len),
                            Some(g) => rows::activate(isa, dst, from, conv.input.w, cin, &scale_by(g, zeros)),
                        }
                    }
                }),
                (_, None) => unreachable!("a view has memory"),
            }
        }
        let image = &image[..];
        let (line, pixel) = match in_place {
            Some(_) => (1, cin + cout),
            None => (conv.output.w, cin * conv.window.stride * conv.window.stride + cout),
        };
        let split = Split::new(isa, self.spread, pixels, line, pixel, cout, in_place.is_some());
        Self::split(self.spread, split.parts(), |part| {
            let (rows, cols) = split.part(part);
            let mut tile =
                Scratch::take(if gate.is_some() && in_place.is_some() { rows.len() * k } else { 0 });
            // SAFETY: these rows of the input, these rows and columns of the output and of the residual; the scratch holds
            // the tile.
            unsafe {
                let a = match (in_place, gate) {
                    (Some(src), None) => src.at(rows.start * cin).cast_const(),
                    (Some(src), Some(gate)) => {
                        let src = src.at(rows.start * cin);
                        let load = scale_by(gate, zeros);
                        rows::activate(isa, tile.as_mut_ptr(), src, rows.len(), cin, &load);
                        tile.as_ptr()
                    }
                    (None, _) => image[padded.window_start(rows.start)..].as_ptr(),
                };
                let c = out.at(rows.start * cout + cols.start);
                let b = Panels::Packed(panels[cols.start * k..].as_ptr());
                let product = match in_place {
                    Some(_) => Product { c_row: cout, ..Product::plain(rows.len(), cols.len(), k, a, b, c) },
                    None => {
                        let (kernel, s) = (conv.window.kernel, conv.window.stride);
                        Product {
                            a_row: s * cin,
                            groups: Runs { count: rows.len() / line, a: s * padded.stride(), b: 0 },
                            segments: Runs { count: kernel, a: padded.stride(), b: 0 },
                            c_row: cout,
                            ..Product::plain(line, cols.len(), kernel * cin, a, b, c)
                        }
                    }
                };
                gemm(isa, &product);
                let residual =
                    residual.map_or(std::ptr::null(), |r| r.at(rows.start * cout + cols.start).cast_const());
                let bias = bias[cols.start..].as_ptr();
                rows::bias_act(isa, c, rows.len(), cols.len(), cout, bias, act, residual);
            }
        });
    }

    fn depthwise(&mut self, dw: &Depthwise, weights: &[f32], bias: &[f32], act: Activation) {
        let isa = self.plan.isa;
        let (c, s) = (dw.input.c, dw.window.stride);
        let src = Shared::new(self.pointer(dw.src.value, dw.input.len()));
        let out = Shared::new(self.pointer(dw.out, dw.output.len()));
        let strip = strip_rows(&dw.window, dw.input, dw.output.h).min(dw.output.h.div_ceil(self.spread));
        let taps = window_taps(&dw.window, dw.input);
        let row_len = dw.input.w * c;
        Self::split(self.spread, dw.output.h.div_ceil(strip), |part| {
            let mut band = Band::new(dw.input, dw.window.pads.left, dw.window.pads.right);
            let mut memory = Scratch::take(((strip - 1) * s + dw.window.kernel) * band.stride());
            let o = part * strip..((part + 1) * strip).min(dw.output.h);
            let need = input_rows(&dw.window, &o);
            band.fill(need.start, need.end, &mut memory, |y, dst| {
                // SAFETY: row y of the input and of the band.
                unsafe { dst.copy_from_nonoverlapping(src.at(y * row_len), row_len) }
            });
            for (i, y) in o.enumerate() {
                let row = Row {
                    src: memory[i * s * band.stride()..].as_ptr(),
                    src_step: s * c,
                    dst: out.at(y * dw.output.w * c),
                    dst_step: c,
                    count: dw.output.w,
                    c,
                    weights: weights.as_ptr(),
                    accumulate: false,
                };
                // SAFETY: the band holds the rows and columns under every window of this output row.
                unsafe {
                    stencil(isa, &row, &taps);
                    rows::bias_act(isa, row.dst, dw.output.w, c, c, bias.as_ptr(), act, std::ptr::null());
                }
            }
        });
    }
}

/// A load that multiplies each channel by its gate.
fn scale_by(gate: &[f32], zeros: &[f32]) -> Load {
    let (scale, shift) = (gate.as_ptr(), zeros.as_ptr());
    Load { scale, shift, act: Activation::Identity, gate: std::ptr::null() }
}

/// `y[n] = x B` for one row and packed B.
fn row_product(x: &[f32], panels: &[f32], n: usize, y: *mut f32) -> Product {
    Product::plain(1, n, x.len(), x.as_ptr(), Panels::Packed(panels.as_ptr()), y)
}
