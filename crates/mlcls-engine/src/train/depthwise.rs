//! Depthwise convolutions, strip by strip: the input rows of a strip, activated and with their border of zeros, stay in
//! cache while the kernel passes over them.

use std::ops::Range;

use super::places::PackPlace;
use super::step::{Step, for_parts};
use crate::border::{Band, input_rows, strip_rows, window_taps};
use crate::graph::{Activation, Shape};
use crate::kernels::depthwise::{GradRow, Lines, Start, Tap, stencil, weight_gradient};
use crate::kernels::rows;
use crate::parallel::Scratch;
use crate::program::{Depthwise, Norm};

/// Copies the weights `[c, 1, k, k]` to `[k * k, c]`, which the kernels read along the channels.
pub fn pack_weights(step: &Step, dw: &Depthwise, place: PackPlace) {
    let w = &step.params[dw.weight.clone()];
    let (c, taps) = (dw.input.c, dw.window.kernel * dw.window.kernel);
    // SAFETY: this stage's place holds its weights and belongs to it alone.
    let out = unsafe { std::slice::from_raw_parts_mut(step.arena.at(place.forward), w.len()) };
    for (t, row) in out.chunks_exact_mut(c).enumerate() {
        for (ch, v) in row.iter_mut().enumerate() {
            *v = w[ch * taps + t];
        }
    }
}

/// Loads input rows `first..end` of an image as the consumer sees them.
fn load_input(
    step: &Step,
    dw: &Depthwise,
    image: usize,
    band: &mut Band,
    rows: Range<isize>,
    out: &mut [f32],
) {
    let Shape { h, w, c } = dw.input;
    let load = step.load(&dw.src, image);
    let src = step.value(dw.src.value);
    band.fill(rows.start, rows.end, out, |y, dst| {
        let from = src.at((image * h + y) * w * c).cast_const();
        // SAFETY: one row of the value and one of the band, both w * c long.
        unsafe {
            match &load {
                None => dst.copy_from_nonoverlapping(from, w * c),
                Some(l) => rows::activate(step.isa, dst, from, w, c, l),
            }
        }
    });
}

/// The forward pass; leaves the moments of every part for the batch-norm behind it.
pub fn forward(step: &Step, dw: &Depthwise, stage: usize) {
    let norm = step.program.values[dw.out].norm;
    let has_norm = matches!(norm.map(|n| &step.program.norms[n]), Some(Norm::Batch { .. }));
    let (c, k, s) = (dw.input.c, dw.window.kernel, dw.window.stride);
    let pads = dw.window.pads;
    let strip = strip_rows(&dw.window, dw.input, dw.output.h);
    let weights = step.arena.at(step.places.packs[stage].forward);
    let band_rows = (strip - 1) * s + k;
    let taps = window_taps(&dw.window, dw.input);
    let weights = crate::parallel::Shared::new(weights);
    for_parts(step, |p| {
        if has_norm {
            step.clear_sums(p, 0, 2 * c);
        }
        let mut band = Band::new(dw.input, pads.left, pads.right);
        let mut input = Scratch::take(band_rows * band.stride());
        let images = step.images(p);
        for image in images.clone() {
            for first in (0..dw.output.h).step_by(strip) {
                let o = first..(first + strip).min(dw.output.h);
                load_input(step, dw, image, &mut band, input_rows(&dw.window, &o), &mut input);
                let out = step.value(dw.out).at((image * dw.output.h + o.start) * dw.output.w * c);
                let lines = Lines {
                    src: input.as_ptr(),
                    src_step: s * c,
                    src_line: s * band.stride(),
                    dst: out,
                    dst_step: c,
                    dst_line: dw.output.w * c,
                    lines: o.len(),
                    count: dw.output.w,
                    c,
                    weights: weights.get(),
                    start: Start::Zero,
                    act: Activation::Identity,
                };
                // SAFETY: the band holds the rows and the columns under every window of these output rows.
                unsafe { stencil(step.isa, &lines, &taps) };
                if has_norm {
                    let pixels = o.len() * dw.output.w;
                    // SAFETY: these output rows were just written by this part; the vectors hold c elements.
                    unsafe {
                        let origin = step.part_origin(p);
                        if image == images.start && first == 0 {
                            origin.copy_from_nonoverlapping(out, c);
                        }
                        let sum = step.part_sums(p, 0);
                        rows::moments(step.isa, out, pixels, c, origin, sum, sum.add(c));
                    }
                }
            }
        }
    });
}

/// The taps that reach input pixels of one parity: kernel positions `phase, phase + s, ..` below `k`.
fn phase_taps(k: usize, s: usize, phase: usize) -> usize {
    if phase >= k { 0 } else { (k - phase).div_ceil(s) }
}

/// The backward pass: gradient of the weights into `grads`, that of the input into its value's gradient.
pub fn backward(step: &Step, dw: &Depthwise, stage: usize, grads: &mut [f32]) {
    let (c, k, s) = (dw.input.c, dw.window.kernel, dw.window.stride);
    let pads = dw.window.pads;
    let target = step.target(stage, &dw.src);
    let strip = strip_rows(&dw.window, dw.input, dw.output.h);
    let weights = crate::parallel::Shared::new(step.arena.at(step.places.packs[stage].forward));
    // Output columns that some input column needs: `(x + left) / s`, back to `(k - 1) / s` before it.
    let reach = (k - 1) / s;
    let last = (dw.input.w - 1 + pads.left) / s;
    let right = (last + 1).saturating_sub(dw.output.w);
    for_parts(step, |p| {
        let dweight = step.part_weight(p);
        // SAFETY: the part's weight place holds this stage's weights.
        unsafe { dweight.write_bytes(0, k * k * c) };
        target.begin(p, 0);
        let mut x_band = Band::new(dw.input, pads.left, pads.right);
        let mut dy_band = Band::new(dw.output, reach, right);
        let mut x = Scratch::take(((strip - 1) * s + k) * x_band.stride());
        let mut dy = Scratch::take((strip + 2 * reach + 2) * dy_band.stride());
        for image in step.images(p) {
            let load = step.load_grad(dw.out, image);
            for first in (0..dw.output.h).step_by(strip) {
                let o = first..(first + strip).min(dw.output.h);
                // Input rows that this strip gives gradient to: the strips share them out without overlap.
                let end = if o.end == dw.output.h { dw.input.h } else { (o.end * s).min(dw.input.h) };
                let own = (o.start * s).min(end)..end;
                let dy_first = (own.start + pads.top) / s;
                let dy_last = (own.end.max(1) - 1 + pads.top) / s;
                let dy_rows =
                    (dy_first.min(o.start) as isize - reach as isize)..(dy_last.max(o.end - 1) as isize + 1);
                dy_band.fill(dy_rows.start, dy_rows.end, &mut dy, |y, dst| {
                    let Shape { h, w, c } = dw.output;
                    let at = (image * h + y) * w * c;
                    // SAFETY: one row of the output's gradient and one of the band, both w * c long.
                    unsafe {
                        let d = step.grad(dw.out).at(at).cast_const();
                        match &load {
                            None => dst.copy_from_nonoverlapping(d, w * c),
                            Some(g) => {
                                rows::gradient(step.isa, dst, d, step.value(dw.out).at(at), w, c, g);
                            }
                        }
                    }
                });
                load_input(step, dw, image, &mut x_band, input_rows(&dw.window, &o), &mut x);
                for (i, y) in o.clone().enumerate() {
                    let row = GradRow {
                        dy: dy[dy_band.at(y as isize, 0)..].as_ptr(),
                        x: x[i * s * x_band.stride()..].as_ptr(),
                        x_row: x_band.stride(),
                        x_step: s * c,
                        count: dw.output.w,
                        c,
                        kernel: k,
                        dw: dweight,
                    };
                    // SAFETY: the bands hold this output row and the input rows under it.
                    unsafe { weight_gradient(step.isa, &row) };
                }
                for y in own.clone() {
                    data_row(
                        step,
                        dw,
                        &dy_band,
                        &dy,
                        y,
                        target.grad.at((image * dw.input.h + y) * dw.input.w * c),
                        weights.get(),
                        target.accumulate,
                    );
                }
                target.finish(p, 0, image, own.start * dw.input.w, own.len() * dw.input.w);
            }
        }
    });
    let taps = k * k;
    step.reduce_weight(&mut grads[dw.weight.clone()], Some(|i| (i % c) * taps + i / c));
    step.collect_target(stage, &dw.src, 0);
}

/// The gradient of one input row: for each parity of column, a stencil over the output gradients that it was part of.
fn data_row(
    step: &Step,
    dw: &Depthwise,
    band: &Band,
    dy: &[f32],
    y: usize,
    dst: *mut f32,
    weights: *const f32,
    accumulate: bool,
) {
    let (c, k, s) = (dw.input.c, dw.window.kernel, dw.window.stride);
    let pads = dw.window.pads;
    let (phase_y, base_y) = ((y + pads.top) % s, ((y + pads.top) / s) as isize);
    let rows = phase_taps(k, s, phase_y);
    for x in 0..s.min(dw.input.w) {
        let (phase_x, base_x) = ((x + pads.left) % s, ((x + pads.left) / s) as isize);
        let cols = phase_taps(k, s, phase_x);
        let mut taps = [Tap { source: 0, weight: 0 }; 49];
        let count = rows * cols;
        for (t, tap) in taps[..count].iter_mut().enumerate() {
            let (j, i) = (t / cols, t % cols);
            // Kernel position (phase + s j) saw this input from the output j rows before the nearest one.
            *tap = Tap {
                source: ((rows - 1 - j) * band.width + (cols - 1 - i)) * c,
                weight: ((phase_y + s * j) * k + phase_x + s * i) * c,
            };
        }
        let start =
            if count == 0 { 0 } else { band.at(base_y + 1 - rows as isize, base_x + 1 - cols as isize) };
        let line = Lines {
            src: dy[start..].as_ptr(),
            src_step: c,
            src_line: 0,
            dst: dst.wrapping_add(x * c),
            dst_step: s * c,
            dst_line: 0,
            lines: 1,
            count: (dw.input.w - x).div_ceil(s),
            c,
            weights,
            start: if accumulate { Start::Output } else { Start::Zero },
            act: Activation::Identity,
        };
        // SAFETY: the band holds every output row and column that these input pixels were part of, zeros outside.
        unsafe { stencil(step.isa, &line, &taps[..count]) };
    }
}
