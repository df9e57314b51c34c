//! Convolutions over all channels as products of row tiles: a 1x1 convolution reads its rows in place, a larger kernel reads
//! its windows in place from the image with its border of zeros.

use super::places::PackPlace;
use super::step::{Step, Target, for_parts};
use crate::border::{Padded, tap_major, tile_lines, tile_rows};
use crate::graph::Shape;
use crate::kernels::gemm::{Panels, Product, Runs, gemm, pack, packed_len};
use crate::kernels::rows;
use crate::parallel::{Scratch, Shared, for_each};
use crate::program::{Conv, Norm, Source};

/// Packs the weights of this step.
pub fn pack_weights(step: &Step, conv: &Conv, place: PackPlace) {
    let w = &step.params[conv.weight.clone()];
    let (cin, taps) = (conv.input.c, conv.window.kernel * conv.window.kernel);
    let k = cin * taps;
    if taps == 1 {
        pack_both(step, conv, place, |o, l| w[o * k + l]);
    } else {
        // Windows are read tap by tap with channels inside, the weight `[out, in, k, k]` has taps inside.
        let tap_major: Vec<usize> = (0..k).map(|l| tap_major(l, cin, taps)).collect();
        pack_both(step, conv, place, |o, l| w[o * k + tap_major[l]]);
    }
}

/// Packs weight `at(output, input)` for the forward pass and, where the input wants a gradient, for the backward pass.
fn pack_both(step: &Step, conv: &Conv, place: PackPlace, at: impl Fn(usize, usize) -> f32) {
    let (k, cout) = (conv.weight.len() / conv.output.c, conv.output.c);
    let panels = |at: usize, k: usize, n: usize| {
        // SAFETY: the places of this stage's panels have these lengths and belong to it alone.
        unsafe { std::slice::from_raw_parts_mut(step.arena.at(at), packed_len(step.isa, k, n)) }
    };
    pack(step.isa, k, cout, |l, o| at(o, l), panels(place.forward, k, cout));
    if matches!(conv.src, Source::View(_)) {
        pack(step.isa, cout, k, at, panels(place.backward, cout, k));
    }
}

/// The forward pass; leaves the moments of every part for the batch-norm behind it.
pub fn forward(step: &Step, conv: &Conv, stage: usize) {
    let has_norm = matches!(
        step.program.values[conv.out].norm.map(|n| &step.program.norms[n]),
        Some(Norm::Batch { .. })
    );
    let rows_out = conv.output.pixels();
    for_parts(step, |p| {
        let images = step.images(p);
        if has_norm {
            step.clear_sums(p, 0, 2 * conv.output.c);
        }
        let first_row = images.start * rows_out;
        let pixel = conv.input.c * conv.window.stride * conv.window.stride + conv.output.c;
        for_tiles(step, conv, p, pixel, None, |tile| {
            let out = step.value(conv.out).at(tile.row * conv.output.c);
            let product =
                tile.product(conv, Panels::Packed(step.arena.at(step.places.packs[stage].forward)), out);
            let bias = conv.bias.as_ref().map_or(std::ptr::null(), |b| step.params[b.clone()].as_ptr());
            // SAFETY: the tile's rows are inside this part's images; the panels were packed for this step.
            unsafe {
                gemm(step.isa, &Product { bias, ..product });
                if has_norm {
                    let origin = step.part_origin(p);
                    if tile.row == first_row {
                        origin.copy_from_nonoverlapping(out, conv.output.c);
                    }
                    let (sum, c) = (step.part_sums(p, 0), conv.output.c);
                    rows::moments(step.isa, out, tile.rows(), c, origin, sum, sum.add(c));
                }
            }
        });
    });
}

/// The backward pass: gradients of weight and bias into `grads`, that of the input into its value's gradient.
pub fn backward(step: &Step, conv: &Conv, stage: usize, grads: &mut [f32]) {
    let (cout, taps) = (conv.output.c, conv.window.kernel * conv.window.kernel);
    let k = conv.input.c * taps;
    let view = match &conv.src {
        Source::View(v) => Some(v),
        Source::Pixels { .. } => None,
    };
    let target = view.map(|v| step.target(stage, v));
    let whole = step.places.whole[stage];
    let keep = whole.then(|| Shared::new(step.arena.at(step.places.whole_input)));
    for_parts(step, |p| {
        let dw = step.part_weight(p);
        let bias_sums = step.clear_sums(p, 2, cout);
        let first = step.images(p).start * conv.output.pixels();
        if let Some(t) = &target {
            t.begin(p, 0);
        }
        let most = tile_rows(k + cout).max(tile_lines(k + cout, conv.output.w) * conv.output.w);
        let mut dy_tile = Scratch::take(if whole { 0 } else { most * cout });
        let mut col_tile = Scratch::take(if conv.window.is_point() { 0 } else { most * k });
        let mut border = Border::new(conv, target.is_some());
        for_tiles(step, conv, p, k + cout, keep, |tile| {
            let rows = tile.rows();
            let offset = tile.row * cout;
            let image = tile.row / conv.output.pixels();
            let d = step.grad(conv.out).at(offset);
            // SAFETY: all rows are inside this part's images; scratch tiles hold the largest tile.
            unsafe {
                let dy = match step.load_grad(conv.out, image) {
                    None => d.cast_const(),
                    Some(g) => {
                        let y = step.value(conv.out).at(offset);
                        let to = if whole { d } else { dy_tile.as_mut_ptr() };
                        rows::gradient(step.isa, to, d, y, rows, cout, &g);
                        to.cast_const()
                    }
                };
                if conv.bias.is_some() {
                    rows::column_sums(step.isa, dy, rows, cout, bias_sums);
                }
                if !whole {
                    for ky in 0..conv.window.kernel {
                        let product = tile.weight_product(conv, ky, dy, dw);
                        gemm(step.isa, &product.accumulate(tile.row != first));
                    }
                }
                let Some(t) = &target else { return };
                let b = Panels::Packed(step.arena.at(step.places.packs[stage].backward));
                if conv.window.is_point() {
                    let c = t.grad.at(tile.row * conv.input.c);
                    let plain = Product::plain(rows, k, cout, dy, b, c);
                    gemm(step.isa, &plain.accumulate(t.accumulate));
                    let (pixels, row) = (conv.input.pixels(), tile.row);
                    t.finish(p, 0, row / pixels, row % pixels, rows);
                } else {
                    gemm(step.isa, &Product::plain(rows, k, cout, dy, b, col_tile.as_mut_ptr()));
                    border.scatter(step, conv, t, p, &tile, &col_tile);
                }
            }
        });
    });
    let dst = &mut grads[conv.weight.clone()];
    if whole {
        whole_batch_weight(step, conv, dst);
    } else {
        let index = (taps > 1).then_some(|i| tap_major(i, conv.input.c, taps));
        step.reduce_weight(dst, index);
    }
    if let Some(bias) = &conv.bias {
        step.collect_sums(2, cout, |i, v| grads[bias.start + i] = v as f32);
    }
    if let Some(v) = view {
        step.collect_target(stage, v, 0);
    }
}

/// Output and input channels whose weight gradient a thread takes at a time over the whole batch: few enough that the threads
/// have equally much to do, and that the sums stay in a second-level cache.
const BLOCK: (usize, usize) = (48, 512);

/// Rows that it takes at a time: a panel of them stays in a first-level cache.
const ROWS: usize = 256;

/// The weight gradient of a 1x1 convolution whose gradient and activated input all lie in memory: threads share the weight, so
/// there are no partial gradients to add up.
fn whole_batch_weight(step: &Step, conv: &Conv, dst: &mut [f32]) {
    let (k, cout, total) = (conv.input.c, conv.output.c, step.n * conv.output.pixels());
    let x = match &conv.src {
        Source::View(v) if v.is_plain() => step.value(v.value),
        Source::View(_) => Shared::new(step.arena.at(step.places.whole_input)),
        Source::Pixels { .. } => unreachable!("a 1x1 convolution of the image itself reads a border"),
    };
    let (dy, dst) = (step.grad(conv.out), Shared::new(dst.as_mut_ptr()));
    let couts = cout.div_ceil(BLOCK.0);
    for_each(couts * k.div_ceil(BLOCK.1), |block| {
        let (o, l) = (block % couts * BLOCK.0, block / couts * BLOCK.1);
        let (m, n) = (BLOCK.0.min(cout - o), BLOCK.1.min(k - l));
        for from in (0..total).step_by(ROWS) {
            let rows = ROWS.min(total - from);
            let x = Panels::Rows(x.at(from * k + l), k);
            let plain = Product::plain(m, n, rows, dy.at(from * cout + o), x, dst.at(o * k + l));
            let p = Product { a_row: 1, a_col: cout, c_row: k, ..plain }.accumulate(from > 0);
            // SAFETY: `rows` rows of both maps; blocks of the weight do not overlap.
            unsafe { gemm(step.isa, &p) };
        }
    });
}

/// A tile of output rows, in lines, with the input that makes it.
struct Tile {
    /// First output row, counted over the whole batch.
    row: usize,
    /// Lines, and rows of a line: for a 1x1 convolution one line of any length, else lines of output pixels.
    lines: usize,
    line: usize,
    /// Where the first window starts.
    a: *const f32,
    /// Distances between the windows of neighbouring rows, between those of lines, and between the rows of a window.
    a_row: usize,
    a_line: usize,
    a_window: usize,
}

impl Tile {
    fn rows(&self) -> usize {
        self.lines * self.line
    }

    /// The output of the convolution.
    fn product(&self, conv: &Conv, b: Panels, c: *mut f32) -> Product {
        let k = conv.input.c * conv.window.kernel;
        Product {
            a_row: self.a_row,
            groups: Runs { count: self.lines, a: self.a_line, b: 0 },
            segments: Runs { count: conv.window.kernel, a: self.a_window, b: 0 },
            ..Product::plain(self.line, conv.output.c, k, self.a, b, c)
        }
    }

    /// The gradient of row `ky` of the windows in `dw[out, ky, kx, in]`.
    fn weight_product(&self, conv: &Conv, ky: usize, dy: *const f32, dw: *mut f32) -> Product {
        let (n, cout) = (conv.input.c * conv.window.kernel, conv.output.c);
        let x = Panels::Rows(self.a.wrapping_add(ky * self.a_window), self.a_row);
        Product {
            a_row: 1,
            a_col: cout,
            segments: Runs { count: self.lines, a: self.line * cout, b: self.a_line },
            c_row: n * conv.window.kernel,
            ..Product::plain(cout, n, self.line, dy, x, dw.wrapping_add(ky * n))
        }
    }
}

/// Calls `f` for every tile of part `p`, in order; `pixel` is what an output pixel takes of a tile's memory, in elements. Where
/// the input is made on loading, `keep` is where all of it goes, or else it is forgotten tile by tile.
fn for_tiles(
    step: &Step,
    conv: &Conv,
    p: usize,
    pixel: usize,
    keep: Option<Shared<f32>>,
    mut f: impl FnMut(Tile),
) {
    let images = step.images(p);
    let (cin, out_pixels) = (conv.input.c, conv.output.pixels());
    if let (Source::View(view), true) = (&conv.src, conv.window.is_point()) {
        let src = step.value(view.value);
        let rows = tile_rows(cin + conv.output.c);
        let mut run = |from: usize, to: usize, image: usize| {
            let load = step.load(view, image);
            let forgets = load.is_some() && keep.is_none();
            let mut scratch = Scratch::take(if forgets { rows * cin } else { 0 });
            for row in (from..to).step_by(rows) {
                let rows = rows.min(to - row);
                let raw = src.at(row * cin).cast_const();
                let a = match &load {
                    None => raw,
                    Some(l) => {
                        let to = keep.map_or(scratch.as_mut_ptr(), |k| k.at(row * cin));
                        // SAFETY: the rows are inside the value and the kept input, the scratch holds a tile.
                        unsafe { rows::activate(step.isa, to, raw, rows, cin, l) };
                        to.cast_const()
                    }
                };
                f(Tile { row, lines: 1, line: rows, a, a_row: cin, a_line: 0, a_window: 0 });
            }
        };
        if view.gate.is_some() || step.program.values[conv.out].gate.is_some() {
            // Gates differ from image to image, so a tile must not cross a border between two.
            images.for_each(|i| run(i * out_pixels, (i + 1) * out_pixels, i));
        } else {
            run(images.start * out_pixels, images.end * out_pixels, images.start);
        }
        return;
    }
    let padded = Padded::new(conv.input, conv.output, conv.window);
    let mut image = Scratch::take(padded.len());
    let Shape { h, w, .. } = conv.output;
    let lines = tile_lines(pixel, w);
    for i in images {
        fill(step, conv, &padded, i, &mut image);
        for y in (0..h).step_by(lines) {
            f(Tile {
                row: i * out_pixels + y * w,
                lines: lines.min(h - y),
                line: w,
                a: image[padded.window_start(y * w)..].as_ptr(),
                a_row: conv.window.stride * cin,
                a_line: conv.window.stride * padded.stride(),
                a_window: padded.stride(),
            });
        }
    }
}

/// Brings an image into its border as the convolution sees it.
fn fill(step: &Step, conv: &Conv, padded: &Padded, image: usize, out: &mut [f32]) {
    let Shape { h, w, c } = conv.input;
    match &conv.src {
        Source::Pixels { mean, std } => {
            let pixels = &step.pixels[image * h * w * c..][..h * w * c];
            padded.fill_pixels(step.isa, pixels, mean, std, out);
        }
        Source::View(view) => {
            let load = step.load(view, image);
            let src = step.value(view.value);
            padded.fill(out, |y, dst| {
                let from = src.at((image * h + y) * w * c).cast_const();
                // SAFETY: one row of the value and one of the padded image, both w * c long.
                unsafe {
                    match &load {
                        None => dst.copy_from_nonoverlapping(from, w * c),
                        Some(l) => rows::activate(step.isa, dst, from, w, c, l),
                    }
                }
            });
        }
    }
}

/// The gradient of a padded image, gathered from the windows that read it.
struct Border {
    padded: Padded,
    grad: Scratch,
}

impl Border {
    fn new(conv: &Conv, wanted: bool) -> Self {
        let padded = Padded::new(conv.input, conv.output, conv.window);
        let len = if wanted && !conv.window.is_point() { padded.len() } else { 0 };
        Self { padded, grad: Scratch::take(len) }
    }

    /// Adds the windows of a tile; after the image's last tile, moves the image's gradient to its place and finishes it.
    fn scatter(&mut self, step: &Step, conv: &Conv, t: &Target, p: usize, tile: &Tile, cols: &[f32]) {
        let (kernel, Shape { h, w, c }) = (conv.window.kernel, conv.input);
        let pixels = conv.output.pixels();
        let (image, from) = (tile.row / pixels, tile.row % pixels);
        if from == 0 {
            self.grad.fill(0.0);
        }
        let segment = kernel * c;
        for (r, row) in cols.chunks_exact(kernel * segment).take(tile.rows()).enumerate() {
            let start = self.padded.window_start(from + r);
            for (ky, src) in row.chunks_exact(segment).enumerate() {
                let dst = &mut self.grad[start + ky * self.padded.stride()..][..segment];
                // SAFETY: both slices hold `segment` elements.
                unsafe { rows::axpy(step.isa, dst.as_mut_ptr(), src.as_ptr(), 1.0, segment, true) };
            }
        }
        if from + tile.rows() == pixels {
            for y in 0..h {
                let src = &self.grad[self.padded.row(y)..][..w * c];
                let dst = t.grad.at((image * h + y) * w * c);
                // SAFETY: one row of the input's gradient, which belongs to this part.
                unsafe { rows::axpy(step.isa, dst, src.as_ptr(), 1.0, w * c, t.accumulate) };
                t.finish(p, 0, image, y * w, w);
            }
        }
    }
}
