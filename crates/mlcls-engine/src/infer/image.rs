//! One image through all stages of an inference plan.

use super::InferPlan;
use super::fold::Folded;
use crate::border::{Band, Padded, input_rows, strip_rows, tile_rows, window_taps};
use crate::graph::Activation;
use crate::kernels::act;
use crate::kernels::cosine::{logits, normalise};
use crate::kernels::depthwise::{Row, stencil};
use crate::kernels::gemm::{Panels, Product, gemm};
use crate::kernels::rows::{self, Load};
use crate::parallel::Scratch;
use crate::program::*;

/// One image on its way through the net.
pub struct Image<'a> {
    pub plan: &'a InferPlan,
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
            Folded::Squeeze { se, out, w1, b1, w2, b2 } => {
                let c = se.input.c;
                let pooled = mean(self.value(se.src.value, se.input.len()), c);
                let hidden: Vec<f32> = w1
                    .chunks_exact(c)
                    .zip(b1)
                    .map(|(w, b)| {
                        act::scalar(se.act, b + w.iter().zip(&pooled).map(|(w, x)| w * x).sum::<f32>()).0
                    })
                    .collect();
                let gate = self.value_mut(*out, c);
                gate.copy_from_slice(b2);
                for (h, w) in hidden.iter().zip(w2.chunks_exact(c)) {
                    gate.iter_mut().zip(w).for_each(|(g, w)| *g += h * w);
                }
                gate.iter_mut().for_each(|g| *g = act::scalar(se.gate_act, *g).0);
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
                let pooled = mean(self.value(p.src.value, p.input.len()), p.input.c);
                self.value_mut(p.out, p.input.c).copy_from_slice(&pooled);
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
        let tile = tile_rows(k, cout);
        let out = self.pointer(conv.out, pixels * cout);
        let residual = residual.map(|id| self.pointer(id, pixels * cout).cast_const());
        let src = match &conv.src {
            Source::View(v) => Some(self.pointer(v.value, conv.input.len()).cast_const()),
            Source::Pixels { .. } => None,
        };
        let padded = Padded::new(conv.input, conv.output, conv.window);
        let in_place = src.filter(|_| conv.window.is_point());
        let mut image = Scratch::take(if in_place.is_some() { 0 } else { padded.len() });
        let mut cols = Scratch::take(if in_place.is_some() && gate.is_none() { 0 } else { tile * k });
        let (zeros, gate) = match gate {
            Some(g) => (vec![0.0; cin], Some(self.value(g, cin).as_ptr())),
            None => (vec![], None),
        };
        if in_place.is_none() {
            let row_len = conv.input.w * cin;
            match (&conv.src, src) {
                (Source::Pixels { mean, std }, _) => padded.fill_pixels(self.pixels, mean, std, &mut image),
                (_, Some(src)) => padded.fill(&mut image, |y, dst| {
                    // SAFETY: row y of the input and of the padded image.
                    unsafe { dst.copy_from_nonoverlapping(src.add(y * row_len), row_len) }
                }),
                (_, None) => unreachable!("a view has memory"),
            }
        }
        for from in (0..pixels).step_by(tile) {
            let rows = tile.min(pixels - from);
            // SAFETY: rows `from..from + rows` of the input, output and residual; the scratch holds a tile.
            unsafe {
                let a = match (in_place, gate) {
                    (Some(src), None) => src.add(from * cin),
                    (Some(src), Some(gate)) => {
                        let view = Load {
                            scale: gate,
                            shift: zeros.as_ptr(),
                            act: Activation::Identity,
                            gate: std::ptr::null(),
                        };
                        rows::activate(isa, cols.as_mut_ptr(), src.add(from * cin), rows, cin, &view);
                        cols.as_ptr()
                    }
                    (None, _) => {
                        padded.gather(&image, from..from + rows, &mut cols);
                        cols.as_ptr()
                    }
                };
                let c = out.add(from * cout);
                let product = Product {
                    m: rows,
                    n: cout,
                    k,
                    a,
                    a_row: k,
                    a_col: 1,
                    b: Panels::Packed(panels.as_ptr()),
                    c,
                    c_row: cout,
                    accumulate: false,
                };
                gemm(isa, &product);
                let residual = residual.map_or(std::ptr::null(), |r| r.add(from * cout));
                rows::bias_act(isa, c, rows, cout, bias.as_ptr(), act, residual);
            }
        }
    }

    fn depthwise(&mut self, dw: &Depthwise, weights: &[f32], bias: &[f32], act: Activation) {
        let isa = self.plan.isa;
        let (c, s) = (dw.input.c, dw.window.stride);
        let src = self.pointer(dw.src.value, dw.input.len()).cast_const();
        let out = self.pointer(dw.out, dw.output.len());
        let strip = strip_rows(&dw.window, dw.input, dw.output.h);
        let taps = window_taps(&dw.window, dw.input);
        let mut band = Band::new(dw.input, dw.window.pads.left, dw.window.pads.right);
        let mut memory = Scratch::take(((strip - 1) * s + dw.window.kernel) * band.stride());
        let row_len = dw.input.w * c;
        for first in (0..dw.output.h).step_by(strip) {
            let o = first..(first + strip).min(dw.output.h);
            let need = input_rows(&dw.window, &o);
            band.fill(need.start, need.end, &mut memory, |y, dst| {
                // SAFETY: row y of the input and of the band.
                unsafe { dst.copy_from_nonoverlapping(src.add(y * row_len), row_len) }
            });
            for (i, y) in o.enumerate() {
                let row = Row {
                    src: memory[i * s * band.stride()..].as_ptr(),
                    src_step: s * c,
                    dst: out.wrapping_add(y * dw.output.w * c),
                    dst_step: c,
                    count: dw.output.w,
                    c,
                    weights: weights.as_ptr(),
                    accumulate: false,
                };
                // SAFETY: the band holds the rows and columns under every window of this output row.
                unsafe {
                    stencil(isa, &row, &taps);
                    rows::bias_act(isa, row.dst, dw.output.w, c, bias.as_ptr(), act, std::ptr::null());
                }
            }
        }
    }
}

/// Mean of each channel over the rows.
fn mean(x: &[f32], c: usize) -> Vec<f32> {
    let mut sum = vec![0.0; c];
    for row in x.chunks_exact(c) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
    let share = c as f32 / x.len() as f32;
    sum.iter_mut().for_each(|s| *s *= share);
    sum
}
