//! The backward pass: every stage in reverse order gives gradient to its weights, then to its inputs. As soon as the last share
//! of a value's gradient is written, the batch-norm behind the value is taken back, too.

use super::args::{self, int};
use super::forward::{
    LANES, PAIR, TILE_COLUMNS, by_size, cosine, depthwise_blocks, depthwise_kernel, gate, join, launch_join,
    output_tiles, tile_rows, tile_threads, tiles_of,
};
use super::places::{NormVector, StagePlace};
use super::tape::{THREADS, Tape};
use crate::program::*;

/// Pixels of a share of a weight's gradient are a multiple of this, which is one of a product's slices.
const SLICE: usize = 32;
/// Fewer pixels than this are not worth a share of their own.
const LEAST_PIXELS: usize = 256;
/// Rows of a small layer's weight that a block has.
const OUTER_ROWS: usize = 4;

/// All stages that learn, in reverse.
pub fn backward(tape: &mut Tape) {
    for (index, stage) in tape.program.stages.iter().enumerate().skip(tape.frozen).rev() {
        tape.stage = Some(index);
        match stage {
            Stage::Conv(s) => conv(tape, s, index),
            Stage::Depthwise(s) => depthwise(tape, s, index),
            Stage::Squeeze(s) => squeeze(tape, s),
            Stage::Add(s) => {
                for (view, p) in [(&s.branch, s.drop_path), (&s.shortcut, 0.0)] {
                    let common = join(tape, s.out, s.shape.len());
                    let args = args::Join { p, key: s.key, ..common };
                    give(tape, &["add_backward", "add_backward_wide"], args, s.out, view, index);
                }
            }
            Stage::Pool(s) => {
                let common = join(tape, s.out, s.input.len());
                let args = args::Join { pixels: int(s.input.pixels()), ..common };
                give(tape, &["pool_backward"], args, s.out, &s.src, index);
            }
            Stage::PRelu(s) => prelu(tape, s, index),
            Stage::Dropout(s) => {
                let common = join(tape, s.out, s.shape.len());
                give(
                    tape,
                    &["dropout_backward"],
                    args::Join { p: s.p, key: s.key, ..common },
                    s.out,
                    &s.src,
                    index,
                );
            }
            Stage::Cosine(s) => head(tape, s, index),
            Stage::Candle(_) => unreachable!("`Plan::new` refuses it"),
        }
    }
}

/// How far a stage's share of a value's gradient finishes it.
#[derive(Clone, Copy, PartialEq)]
enum Finish {
    /// Others follow, or nothing stands behind the value.
    No,
    /// Through an activation and perhaps a batch-norm.
    Yes,
    /// The same through a gate: the squeeze-excite goes on from sums per image.
    Gated,
}

fn finishes(tape: &Tape, stage: usize, view: &View) -> Finish {
    let value = &tape.program.values[view.value];
    let last = value.consumers.first() == Some(&stage) && value.norm.is_some() && tape.learns(view.value);
    match (last, value.gate) {
        (false, _) => Finish::No,
        (true, None) => Finish::Yes,
        (true, Some(_)) => Finish::Gated,
    }
}

/// Where stage `stage` puts the gradient of `view`; the kernel itself finishes it where `sums` are given.
fn target(tape: &Tape, stage: usize, view: &View, sums: Option<u64>) -> args::Target {
    let value = &tape.program.values[view.value];
    let norm = |which| value.norm.map_or(0, |id| tape.norm(id, which));
    args::Target {
        d: tape.gradient_map(view.value).at,
        y: sums.map_or(0, |_| tape.at(tape.places.values[view.value])),
        scale: norm(NormVector::Scale),
        shift: norm(NormVector::Shift),
        mean: norm(NormVector::Mean),
        sums: sums.unwrap_or(0),
        act: args::act(value.act),
        accumulate: i32::from(value.consumers.last() != Some(&stage)),
    }
}

/// Takes the batch-norm behind a value back, from the sums of `blocks` blocks in scratch memory.
fn norm(tape: &mut Tape, value: ValueId, blocks: usize) {
    let Some(id) = tape.program.values[value].norm else { return };
    let Norm::Batch { c, weight, bias, .. } = &tape.program.norms[id] else { return };
    let args = args::NormBackward {
        sums: tape.scratch,
        weight: tape.param(weight.start),
        inv_std: tape.norm(id, NormVector::InvStd),
        mean: tape.norm(id, NormVector::Mean),
        weight_gradient: tape.grad(weight.start),
        bias_gradient: tape.grad(bias.start),
        a: tape.norm(id, NormVector::A),
        b: tape.norm(id, NormVector::B),
        k: tape.norm(id, NormVector::C),
        shared: tape.shared,
        blocks: int(blocks),
        c: int(*c),
        rows: int(tape.n * tape.program.values[value].shape.pixels()),
        pad: 0,
    };
    tape.launch_norm(["norm_backward", "norm_backward_here", "norm_backward_all"], *c, &args);
}

/// Room for the sums of `blocks` blocks, where the kernel that writes a share can finish the gradient on the way.
fn sums(tape: &mut Tape, stage: usize, view: &View, blocks: usize) -> Option<u64> {
    let c = tape.program.values[view.value].shape.c;
    (finishes(tape, stage, view) == Finish::Yes).then(|| tape.scratch(2 * blocks * c))
}

/// Finishes a gradient in a pass of its own, behind a kernel that cannot.
fn finish(tape: &mut Tape, stage: usize, view: &View) {
    let shape = tape.program.values[view.value].shape;
    let rows = tape.n * shape.pixels();
    match finishes(tape, stage, view) {
        Finish::No => {}
        Finish::Yes => {
            let (columns, wide) = (shape.c.div_ceil(LANES), tape.wide(shape.c));
            // Rows that a block has at a time.
            let group = THREADS as usize / LANES * if wide { tape.vector() } else { 1 };
            let blocks = tape.shared_out(rows.div_ceil(group), columns);
            let sums = tape.scratch(2 * blocks * shape.c);
            let target = target(tape, stage, view, Some(sums));
            let args = args::Finish { target, rows: int(rows), c: int(shape.c) };
            let kernel = if wide { "finish_wide" } else { "finish" };
            tape.launch(kernel, [columns, blocks, 1], THREADS, &args);
            norm(tape, view.value, blocks);
        }
        Finish::Gated => {
            let sums = view.gate.map_or(0, |id| tape.at(tape.places.gates[id].sums));
            let target = target(tape, stage, view, Some(sums));
            let args = args::FinishGated { target, pixels: int(shape.pixels()), c: int(shape.c) };
            let kernel = if tape.wide(shape.c) { "finish_gated_wide" } else { "finish_gated" };
            tape.launch(kernel, [shape.c.div_ceil(LANES), tape.n, 1], THREADS, &args);
        }
    }
}

/// One element for each of the input's: a kernel that joins values, or its wide kind, gives gradient back.
fn give(
    tape: &mut Tape,
    kernels: &[&'static str],
    args: args::Join,
    out: ValueId,
    view: &View,
    stage: usize,
) {
    let target = target(tape, stage, view, None);
    let args = args::Join { a: tape.view(view), out: tape.gradient_map(out), target, ..args };
    launch_join(tape, kernels, out, &args);
    finish(tape, stage, view);
}

fn prelu(tape: &mut Tape, prelu: &PRelu, stage: usize) {
    let parts = (tape.n * prelu.shape.len()).div_ceil(THREADS as usize);
    let (shares, slope) = (tape.scratch(parts), tape.param(prelu.slope));
    let common = join(tape, prelu.out, prelu.shape.len());
    let args = args::Join { slope, shares, ..common };
    let (a, out) = (tape.view(&prelu.src), tape.gradient_map(prelu.out));
    let target = target(tape, stage, &prelu.src, None);
    tape.launch_over("prelu_backward", tape.n * prelu.shape.len(), &args::Join { a, out, target, ..args });
    add_shares(tape, shares, tape.grad(prelu.slope), parts, [1, 1, 1]);
    finish(tape, stage, &prelu.src);
}

fn head(tape: &mut Tape, head: &Cosine, stage: usize) {
    let dx = tape.scratch(tape.n * head.d);
    let args = args::Cosine {
        dx,
        out: tape.gradient_map(head.out),
        target: target(tape, stage, &head.src, None),
        weight_gradient: tape.grad(head.weight.start),
        ..cosine(tape, head, stage)
    };
    let columns = head.d.div_ceil(LANES);
    tape.launch("cosine_weight", [head.classes, columns, 1], THREADS, &args);
    tape.launch("cosine_input", [tape.n, columns, 1], THREADS, &args);
    tape.launch("cosine_lengths", [tape.n + head.classes, 1, 1], THREADS, &args);
    finish(tape, stage, &head.src);
}

/// Adds up `[parts, out, taps, in]` into `[out, in, taps]`.
fn add_shares(tape: &mut Tape, shares: u64, out: u64, parts: usize, [outputs, taps, inputs]: [usize; 3]) {
    let args = args::WeightSum {
        shares,
        out,
        parts: int(parts),
        outputs: int(outputs),
        taps: int(taps),
        inputs: int(inputs),
    };
    tape.launch("weight_sum", [(outputs * taps * inputs).div_ceil(LANES), 1, 1], THREADS, &args);
}

fn conv(tape: &mut Tape, conv: &Conv, stage: usize) {
    let (cin, cout, taps) = (conv.input.c, conv.output.c, conv.window.kernel * conv.window.kernel);
    let (g, win) = (tape.gradient(conv.out), args::Window::new(&conv.window, conv.input, conv.output));
    let n = int(tape.n);

    // Of the weight: the pixels are shared out, and the shares added up.
    let pixels = tape.n * conv.output.pixels();
    let tiles = [cout.div_ceil(TILE_COLUMNS), (taps * cin).div_ceil(TILE_COLUMNS)];
    let parts = tape.shares(tiles[0] * tiles[1], pixels.div_ceil(LEAST_PIXELS));
    let length = pixels.div_ceil(parts).next_multiple_of(SLICE);
    let parts = pixels.div_ceil(length);
    let shares_at = tape.scratch(parts * conv.weight.len());
    let (view, image, kernel) = match &conv.src {
        Source::Pixels { .. } => {
            let kernel =
                if tape.wide_gradient(conv.out) { "conv_weight_pixels_wide" } else { "conv_weight_pixels" };
            (args::View::default(), tape.at(tape.places.pixels), kernel)
        }
        Source::View(view) => {
            let wide = tape.wide(cin) && tape.wide_gradient(conv.out);
            (tape.view(view), 0, if wide { "conv_weight_wide" } else { "conv_weight" })
        }
    };
    let args = args::ConvWeight {
        g,
        view,
        pixels: image,
        normalise: tape.at(tape.places.normalise),
        shares: shares_at,
        win,
        n,
        length: int(length),
    };
    tape.launch(kernel, [tiles[0], tiles[1], parts], 128, &args);
    add_shares(tape, shares_at, tape.grad(conv.weight.start), parts, [cout, taps, cin]);

    if let Some(bias) = &conv.bias {
        let parts = tape.shares(cout.div_ceil(LANES), pixels.div_ceil(8));
        let shares = tape.scratch(parts * cout);
        let args = args::BiasSum { g, shares, rows: int(pixels), pixels: int(conv.output.pixels()) };
        tape.launch("bias_sum", [cout.div_ceil(LANES), parts, 1], THREADS, &args);
        add_shares(tape, shares, tape.grad(bias.start), parts, [cout, 1, 1]);
    }

    // Of the input.
    let (Source::View(view), StagePlace::Packed { backward, .. }) = (&conv.src, tape.places.stages[stage])
    else {
        return;
    };
    let rows = tape.n * conv.input.pixels();
    let (tile, columns) = (tile_rows(tape, rows, cin), cin.div_ceil(TILE_COLUMNS));
    let blocks = tape.shared_out(rows.div_ceil(tile), columns);
    let sums = sums(tape, stage, view, blocks);
    let args = args::ConvInput {
        g,
        weight: tape.at(backward),
        target: target(tape, stage, view, sums),
        win,
        n,
        pad: 0,
    };
    let names = ["conv_input_64", "conv_input_128", "conv_input_64_wide", "conv_input_128_wide"];
    let kernel = by_size(names, tile, tape.wide_gradient(conv.out) && cin.is_multiple_of(PAIR));
    tape.launch(kernel, [blocks, columns, 1], tile_threads(tile), &args);
    match sums {
        Some(_) => norm(tape, view.value, blocks),
        None => finish(tape, stage, view),
    }
}

fn depthwise(tape: &mut Tape, dw: &Depthwise, stage: usize) {
    let c = dw.input.c;
    let wide = c.is_multiple_of(PAIR) && dw.out != tape.program.output;
    let (g, win) = (tape.gradient(dw.out), args::Window::new(&dw.window, dw.input, dw.output));
    let (tiles, parts) = output_tiles(tape, dw);
    let shares_at = tape.scratch(parts * dw.weight.len());
    let args = args::DepthwiseWeight { g, view: tape.view(&dw.src), shares: shares_at, win, tiles };
    tape.launch(depthwise_kernel!("weight", wide, dw.window), [parts, c.div_ceil(LANES), 1], THREADS, &args);
    add_shares(tape, shares_at, tape.grad(dw.weight.start), parts, [dw.weight.len(), 1, 1]);

    let tiles = tiles_of(tape, dw.input, 8);
    let blocks = depthwise_blocks(tape, tiles, dw);
    let sums = sums(tape, stage, &dw.src, blocks);
    let args = args::DepthwiseInput {
        g,
        weight: tape.param(dw.weight.start),
        target: target(tape, stage, &dw.src, sums),
        win,
        tiles,
    };
    tape.launch(depthwise_kernel!("input", wide, dw.window), [blocks, c.div_ceil(LANES), 1], THREADS, &args);
    if sums.is_some() {
        norm(tape, dw.src.value, blocks);
    }
}

fn squeeze(tape: &mut Tape, se: &Squeeze) {
    let (place, (c, r)) = (tape.places.gates[se.gate], tape.gate_shape(se.gate));
    let norm_sums = tape.scratch(2 * tape.n * c);
    let args = args::Gate { norm_sums, ..gate(tape, se) };
    tape.launch_over("gate_raw", tape.n * c, &args);
    tape.launch("gate_hidden_backward", [r.div_ceil(LANES), tape.n, 1], THREADS, &args);
    tape.launch("gate_backward", [c.div_ceil(LANES), tape.n, 1], THREADS, &args);
    norm(tape, se.src.value, tape.n);
    for (dy, x, weight, bias, out, inputs) in [
        (place.raw, place.hidden_act, &se.expand_weight, &se.expand_bias, c, r),
        (place.hidden, place.pooled, &se.reduce_weight, &se.reduce_bias, r, c),
    ] {
        let args = args::Outer {
            dy: tape.at(dy),
            x: tape.at(x),
            weight: tape.grad(weight.start),
            bias: tape.grad(bias.start),
            n: int(tape.n),
            out: int(out),
            inputs: int(inputs),
            pad: 0,
        };
        tape.launch("outer", [inputs.div_ceil(LANES), out.div_ceil(OUTER_ROWS), 1], THREADS, &args);
    }
}
