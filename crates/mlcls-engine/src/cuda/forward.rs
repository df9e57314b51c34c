//! The forward pass: packed weights, then every stage in order, each followed by the batch-norm behind it.

use super::args::{self, int};
use super::places::Mode;
use super::places::{NormVector, StagePlace};
use super::tape::{THREADS, Tape};
use crate::program::*;

/// Columns of a tile of a product.
pub const TILE_COLUMNS: usize = 64;
/// Channels of a block that has them side by side.
pub const LANES: usize = 32;
/// Channels that a thread of other wide kernels has.
pub const PAIR: usize = 2;
/// Warps of a block that takes a row with each.
const WARPS: usize = 8;

/// Blocks that bring one convolution's weights into the form of the kernels.
const PACK_BLOCKS: usize = 32;

/// Where the weights of convolutions come from and go to, for [`prepare`].
pub fn packs(tape: &Tape) -> Vec<args::Pack> {
    let pack = |(index, stage): (usize, &Stage)| {
        let (Stage::Conv(conv), StagePlace::Packed { forward, backward }) =
            (stage, tape.places.stages[index])
        else {
            return None;
        };
        Some(args::Pack {
            weight: tape.param(conv.weight.start),
            forward: tape.at(forward),
            backward: if backward == 0 { 0 } else { tape.at(backward) },
            out: int(conv.output.c),
            inputs: int(conv.input.c),
            taps: int(conv.window.kernel * conv.window.kernel),
            pad: 0,
        })
    };
    tape.program.stages.iter().enumerate().filter_map(pack).collect()
}

/// Brings every weight into the form that its kernels read, and so the running statistics of batch-norms that do not learn.
pub fn prepare(tape: &mut Tape) {
    let convs = packs(tape).len();
    if convs > 0 {
        let args = args::Packs { all: tape.at(tape.places.packs) };
        tape.launch("conv_pack", [PACK_BLOCKS, convs, 1], THREADS, &args);
    }
    for value in 0..tape.program.values.len() {
        let id = tape.program.values[value].norm.filter(|_| !tape.learns(value));
        if let Some((c, args)) = id.and_then(|id| norm_args(tape, id, 0, 0)) {
            tape.launch_over("norm_running", c, &args);
        }
    }
}

/// All stages.
pub fn forward(tape: &mut Tape) {
    for (index, stage) in tape.program.stages.iter().enumerate() {
        tape.stage = Some(index);
        let learns = tape.mode == Mode::Train && index >= tape.frozen;
        match stage {
            Stage::Conv(s) => conv(tape, s, index),
            Stage::Depthwise(s) => depthwise(tape, s),
            Stage::Squeeze(s) => squeeze(tape, s),
            Stage::Add(s) => {
                let args = args::Join {
                    a: tape.view(&s.branch),
                    b: tape.view(&s.shortcut),
                    p: if learns { s.drop_path } else { 0.0 },
                    key: s.key,
                    ..join(tape, s.out, s.shape.len())
                };
                launch_join(tape, &["add_forward", "add_forward_wide"], s.out, &args);
            }
            Stage::Pool(s) => pool(tape, &s.src, s.input, tape.value(s.out)),
            Stage::PRelu(s) => {
                let (a, slope) = (tape.view(&s.src), tape.param(s.slope));
                let args = args::Join { a, slope, ..join(tape, s.out, s.shape.len()) };
                tape.launch_over("prelu_forward", tape.n * s.shape.len(), &args);
            }
            Stage::Dropout(s) => {
                let p = if learns { s.p } else { 0.0 };
                let args =
                    args::Join { a: tape.view(&s.src), p, key: s.key, ..join(tape, s.out, s.shape.len()) };
                tape.launch_over("dropout_forward", tape.n * s.shape.len(), &args);
            }
            Stage::Cosine(s) => {
                let args = cosine(tape, s, index);
                tape.launch("cosine_units", [tape.n + s.classes, 1, 1], THREADS, &args);
                tape.launch("cosine_forward", [s.classes.div_ceil(WARPS), tape.n, 1], THREADS, &args);
            }
            Stage::Candle(_) => unreachable!("`Plan::new` refuses it"),
        }
    }
}

/// What the kernels that join values have in common; `id` is their output.
pub fn join(tape: &Tape, id: ValueId, len: usize) -> args::Join {
    args::Join {
        out: tape.value(id),
        seed: tape.at(tape.places.seed),
        len: int(len),
        count: int(tape.n * len),
        ..args::Join::default()
    }
}

/// Launches a kernel that joins values to `out`, or its wide kind, where there is one and `out` can be read by it.
pub fn launch_join(tape: &mut Tape, kernels: &[&'static str], out: ValueId, args: &args::Join) {
    let count = args.count.unsigned_abs() as usize;
    match kernels.get(1).filter(|_| tape.wide_gradient(out)) {
        Some(wide) => tape.launch_over(wide, count / tape.vector(), args),
        None => tape.launch_over(kernels[0], count, args),
    }
}

/// The head's arguments, forward.
pub fn cosine(tape: &Tape, head: &Cosine, stage: usize) -> args::Cosine {
    let StagePlace::Units(place) = tape.places.stages[stage] else {
        unreachable!("places are made from the same stages")
    };
    args::Cosine {
        view: tape.view(&head.src),
        weight: tape.param(head.weight.start),
        x: tape.at(place.x),
        x_inverse: tape.at(place.x_inverse),
        w: tape.at(place.w),
        w_inverse: tape.at(place.w_inverse),
        out: tape.value(head.out),
        n: int(tape.n),
        d: int(head.d),
        classes: int(head.classes),
        scale: head.scale,
        ..args::Cosine::default()
    }
}

/// Tile rows, 64 or 128, for a product of `rows` x `columns`: the smaller ones where the larger ones would leave processors idle.
pub fn tile_rows(tape: &Tape, rows: usize, columns: usize) -> usize {
    if rows.div_ceil(128) * columns.div_ceil(TILE_COLUMNS) < 2 * tape.processors { 64 } else { 128 }
}

/// Threads that make a tile of so many rows: a warp for each 32 x 32.
pub fn tile_threads(rows: usize) -> u32 {
    int(2 * rows).unsigned_abs()
}

/// The kernel's name for tiles of 64 or 128 rows, wide or not.
pub fn by_size(names: [&'static str; 4], rows: usize, wide: bool) -> &'static str {
    names[usize::from(rows == 128) + 2 * usize::from(wide)]
}

fn conv(tape: &mut Tape, conv: &Conv, stage: usize) {
    let StagePlace::Packed { forward, .. } = tape.places.stages[stage] else { return };
    let (rows, c) = (tape.n * conv.output.pixels(), conv.output.c);
    let (view, pixels, tile) = match &conv.src {
        Source::Pixels { .. } => (args::View::default(), tape.at(tape.places.pixels), 64),
        Source::View(view) => (tape.view(view), 0, tile_rows(tape, rows, c)),
    };
    let columns = c.div_ceil(TILE_COLUMNS);
    let blocks = tape.shared_out(rows.div_ceil(tile), columns);
    let moments = moments(tape, conv.out, blocks);
    let args = args::ConvForward {
        view,
        pixels,
        normalise: tape.at(tape.places.normalise),
        weight: tape.at(forward),
        bias: conv.bias.as_ref().map_or(0, |bias| tape.param(bias.start)),
        out: tape.value(conv.out),
        moments,
        win: args::Window::new(&conv.window, conv.input, conv.output),
        n: int(tape.n),
        pad: 0,
    };
    let names = ["conv_forward_64", "conv_forward_128", "conv_forward_64_wide", "conv_forward_128_wide"];
    let kernel = match conv.src {
        Source::Pixels { .. } => "conv_forward_pixels",
        Source::View(_) => by_size(names, tile, tape.wide(conv.input.c) && c.is_multiple_of(PAIR)),
    };
    tape.launch(kernel, [blocks, columns, 1], tile_threads(tile), &args);
    norm(tape, conv.out, blocks);
}

/// The name of a depthwise kernel.
macro_rules! depthwise_kernel {
    ($what:literal, $wide:expr, $window:expr) => {
        if $wide {
            depthwise_kernel!(@ $what, $window, "_wide")
        } else {
            depthwise_kernel!(@ $what, $window, "")
        }
    };
    (@ $what:literal, $window:expr, $width:literal) => {
        match ($window.kernel, $window.stride) {
            (1, 1) => concat!("depthwise_", $what, "_11", $width),
            (1, _) => concat!("depthwise_", $what, "_12", $width),
            (3, 1) => concat!("depthwise_", $what, "_31", $width),
            (3, _) => concat!("depthwise_", $what, "_32", $width),
            (5, 1) => concat!("depthwise_", $what, "_51", $width),
            (5, _) => concat!("depthwise_", $what, "_52", $width),
            (7, 1) => concat!("depthwise_", $what, "_71", $width),
            _ => concat!("depthwise_", $what, "_72", $width),
        }
    };
}
pub(super) use depthwise_kernel;

/// Tiles of a depthwise kernel's map, of so many rows and 8 columns.
pub fn tiles_of(tape: &Tape, shape: crate::graph::Shape, rows: usize) -> args::TileCount {
    let (x, y) = (shape.w.div_ceil(8), shape.h.div_ceil(rows));
    args::TileCount { x: int(x), y: int(y), all: int(tape.n * x * y), pad: 0 }
}

/// Those of its outputs, and the blocks that share them out.
pub fn output_tiles(tape: &Tape, dw: &Depthwise) -> (args::TileCount, usize) {
    let tiles = tiles_of(tape, dw.output, if dw.window.stride == 1 { 8 } else { 4 });
    (tiles, depthwise_blocks(tape, tiles, dw))
}

/// Blocks that share tiles of a depthwise kernel out.
pub fn depthwise_blocks(tape: &Tape, tiles: args::TileCount, dw: &Depthwise) -> usize {
    tape.shared_out(tiles.all.unsigned_abs() as usize, dw.input.c.div_ceil(LANES))
}

fn depthwise(tape: &mut Tape, dw: &Depthwise) {
    let ((tiles, blocks), c) = (output_tiles(tape, dw), dw.output.c);
    let moments = moments(tape, dw.out, blocks);
    let args = args::DepthwiseForward {
        view: tape.view(&dw.src),
        weight: tape.param(dw.weight.start),
        out: tape.value(dw.out),
        moments,
        win: args::Window::new(&dw.window, dw.input, dw.output),
        tiles,
    };
    let kernel = depthwise_kernel!("forward", c.is_multiple_of(PAIR), dw.window);
    tape.launch(kernel, [blocks, c.div_ceil(LANES), 1], THREADS, &args);
    norm(tape, dw.out, blocks);
}

/// The batch-norm that learns from a value in this pass.
fn learning_norm(tape: &Tape, value: ValueId) -> Option<NormId> {
    let batch = |id: &NormId| matches!(tape.program.norms[*id], Norm::Batch { .. });
    tape.program.values[value].norm.filter(batch).filter(|_| tape.learns(value))
}

/// Room for the moments of a value's blocks, where a batch-norm wants them; else null.
fn moments(tape: &mut Tape, value: ValueId, blocks: usize) -> u64 {
    let c = tape.program.values[value].shape.c;
    learning_norm(tape, value).map_or(0, |_| tape.scratch(3 * blocks * c))
}

/// The batch-norm behind a value whose blocks have just left their moments.
fn norm(tape: &mut Tape, value: ValueId, blocks: usize) {
    let id = learning_norm(tape, value);
    if let Some((c, args)) = id.and_then(|id| norm_args(tape, id, tape.scratch, blocks)) {
        tape.launch_norm(["norm_forward", "norm_forward_here", "norm_forward_all"], c, &args);
    }
}

/// Channels of a batch-norm, and its arguments.
fn norm_args(tape: &Tape, id: NormId, moments: u64, blocks: usize) -> Option<(usize, args::NormForward)> {
    let Norm::Batch { c, eps, momentum, weight, bias, mean, var } = &tape.program.norms[id] else {
        return None;
    };
    let buffer = |i: usize| tape.at(tape.places.buffers + 4 * i);
    let args = args::NormForward {
        moments,
        weight: tape.param(weight.start),
        bias: tape.param(bias.start),
        running_mean: buffer(mean.start),
        running_var: buffer(var.start),
        mean: tape.norm(id, NormVector::Mean),
        inv_std: tape.norm(id, NormVector::InvStd),
        scale: tape.norm(id, NormVector::Scale),
        shift: tape.norm(id, NormVector::Shift),
        shared: tape.shared,
        blocks: int(blocks),
        c: int(*c),
        eps: *eps,
        momentum: *momentum,
    };
    Some((*c, args))
}

fn pool(tape: &mut Tape, src: &View, input: crate::graph::Shape, out: args::Map) {
    let args = args::Join { a: tape.view(src), out, pixels: int(input.pixels()), ..args::Join::default() };
    let kernel = if tape.wide(input.c) { "pool_forward_wide" } else { "pool_forward" };
    tape.launch(kernel, [input.c.div_ceil(LANES), tape.n, 1], THREADS, &args);
}

/// A gate's arguments; the sums for batch-norm are left out.
pub fn gate(tape: &Tape, se: &Squeeze) -> args::Gate {
    let (place, (c, r)) = (tape.places.gates[se.gate], tape.gate_shape(se.gate));
    args::Gate {
        w1: tape.param(se.reduce_weight.start),
        b1: tape.param(se.reduce_bias.start),
        w2: tape.param(se.expand_weight.start),
        b2: tape.param(se.expand_bias.start),
        pooled: tape.at(place.pooled),
        hidden: tape.at(place.hidden),
        hidden_act: tape.at(place.hidden_act),
        raw: tape.at(place.raw),
        gate: tape.at(place.gate),
        sums: tape.at(place.sums),
        pooled_grad: tape.at(place.pooled_grad),
        norm_sums: 0,
        c: int(c),
        r: int(r),
        act: args::act(se.act),
        gate_act: args::act(se.gate_act),
        share: 1.0 / se.input.pixels() as f32,
        n: int(tape.n),
    }
}

fn squeeze(tape: &mut Tape, se: &Squeeze) {
    let pooled = args::Map { at: tape.at(tape.places.gates[se.gate].pooled), single: 1, pad: 0 };
    pool(tape, &se.src, se.input, pooled);
    let (args, (c, r)) = (gate(tape, se), tape.gate_shape(se.gate));
    tape.launch("gate_hidden", [r.div_ceil(WARPS), tape.n, 1], THREADS, &args);
    tape.launch("gate_forward", [c.div_ceil(WARPS), tape.n, 1], THREADS, &args);
}
