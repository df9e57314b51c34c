//! Depthwise convolutions, a panel of channels at a time over a band of input lines, which the 1x1 convolution in front makes on
//! the spot where it has no other reader: its output, the widest map of a block, then never leaves the cache.

use std::ops::Range;

use super::dense::Expand;
use super::group::Group;
use crate::aligned::Aligned;
use crate::border::{Band, input_rows, window_taps};
use crate::graph::{Activation, Shape};
use crate::kernels::depthwise::{Lines, Start, Tap, stencil};
use crate::kernels::gemm::{Product, gemm, panel_width};
use crate::kernels::rows::{self, Apply};
use crate::kernels::simd::Isa;
use crate::parallel::Scratch;
use crate::program::*;

/// Elements of a band, at most: with its inputs and outputs it stays in a second-level cache.
const BAND: usize = 96 << 10;

/// Pixels that the convolution in front makes at a time, so that the activation finds them in a first-level cache.
const PIXELS: usize = 256;

impl Group<'_> {
    pub fn depthwise(
        &mut self,
        dw: &Depthwise,
        weights: &Aligned,
        bias: &[f32],
        act: Activation,
        expand: Option<&Expand>,
    ) {
        let (isa, c, s) = (self.plan.isa, dw.input.c, dw.window.stride);
        let out = self.pointer(dw.out, dw.output.len());
        let (id, src_c) = expand.map_or((dw.src.value, c), |e| (e.src, e.dense.k));
        let src_len = dw.input.pixels() * src_c;
        let src = self.pointer(id, src_len);
        let width = panel_width(isa);
        let (blocks, strip) = (c.div_ceil(width), self.strip(dw, width));
        let strips = dw.output.h.div_ceil(strip);
        let taps = window_taps(&dw.window, Shape { c: width, ..dw.input });
        let taps: Vec<_> = (0..).zip(taps).map(|(t, tap)| Tap { weight: t * c, ..tap }).collect();
        self.split(self.images * blocks * strips, |part| {
            let (image, block) = (part / (blocks * strips), part / strips % blocks);
            let first = part % strips * strip;
            let lines = first..(first + strip).min(dw.output.h);
            let channels = block * width..c.min((block + 1) * width);
            let mut band =
                Band::new(Shape { c: width, ..dw.input }, dw.window.pads.left, dw.window.pads.right);
            let need = input_rows(&dw.window, &lines);
            let mut memory = Scratch::take(need.len() * band.stride());
            let inside = band.clear(need.start, need.end, &mut memory);
            let src = src.at(image * src_len);
            let to = memory[band.at(inside.start as isize, 0)..].as_mut_ptr();
            fill(isa, dw, expand, channels.clone(), src, inside, to, band.stride());
            let lines = Lines {
                src: memory.as_ptr(),
                src_step: s * width,
                src_line: s * band.stride(),
                dst: out.at(image * dw.output.len() + lines.start * dw.output.w * c + channels.start),
                dst_step: c,
                dst_line: dw.output.w * c,
                lines: lines.len(),
                count: dw.output.w,
                c: channels.len(),
                weights: weights[channels.start..].as_ptr(),
                start: Start::Bias(bias[channels.start..].as_ptr()),
                act,
            };
            // SAFETY: the band holds the lines and columns under every window of these output lines.
            unsafe { stencil(isa, &lines, &taps) };
        });
    }

    /// Output lines of a part: few enough for the band, and such that threads which share the stage have equally much to do
    /// although parts make the lines between them twice.
    fn strip(&self, dw: &Depthwise, width: usize) -> usize {
        let (h, s, k) = (dw.output.h, dw.window.stride, dw.window.kernel);
        let most = BAND / ((dw.input.w + k) * width);
        let least = h.div_ceil((most.saturating_sub(k) / s + 1).clamp(1, h));
        let blocks = self.images * dw.input.c.div_ceil(width);
        let cost = |strips: usize| {
            let rounds = (blocks * strips).div_ceil(self.spread());
            rounds * (h.div_ceil(strips) * s + k.saturating_sub(s))
        };
        let most = if self.spread() > 1 { h.min(least + 2 * self.spread()) } else { least };
        let strips = (least..=most).min_by_key(|&n| cost(n)).unwrap_or(least);
        h.div_ceil(strips)
    }
}

/// Brings `lines` of the input, of which `src` holds one image, into a band: these channels of it, `panel_width` apart.
fn fill(
    isa: Isa,
    dw: &Depthwise,
    expand: Option<&Expand>,
    channels: Range<usize>,
    src: *mut f32,
    lines: Range<usize>,
    to: *mut f32,
    band_line: usize,
) {
    let (w, width) = (dw.input.w, panel_width(isa));
    let apply = |src, src_row, first: usize, lines, act| Apply {
        src,
        src_row,
        src_line: w * src_row,
        dst: to.wrapping_add(first * band_line),
        dst_row: width,
        dst_line: band_line,
        lines,
        rows: w,
        c: channels.len(),
        act,
    };
    let Some(Expand { dense, .. }) = expand else {
        let c = dw.input.c;
        let src = src.wrapping_add(lines.start * w * c + channels.start).cast_const();
        // SAFETY: these lines of the input and of the band.
        unsafe { rows::apply(isa, &apply(src, c, 0, lines.len(), Activation::Identity)) };
        return;
    };
    let step = (PIXELS / w).max(1);
    let mut tile = Scratch::take(step * w * width);
    for first in lines.clone().step_by(step) {
        let count = step.min(lines.end - first);
        let x = src.wrapping_add(first * w * dense.k).cast_const();
        let product = dense.product(count * w, channels.clone(), x, tile.as_mut_ptr());
        // SAFETY: these lines of the input, the tile and these lines of the band.
        unsafe {
            gemm(isa, &Product { c_row: width, ..product });
            rows::apply(isa, &apply(tile.as_ptr(), width, first - lines.start, count, dense.act));
        }
    }
}
