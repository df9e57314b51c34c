//! Images with their border of zeros, and how windows slide over them: what training and inference share.

use std::ops::Range;

use crate::graph::{Shape, Window};
use crate::kernels::depthwise::Tap;
use crate::kernels::rows::normalise_pixels;
use crate::kernels::simd::Isa;

/// Elements of an input tile and its output tile: with a panel of weights they stay in a 1 MiB second-level cache.
const TILE: usize = 112 << 10;

/// Rows of a tile where every row takes `elements`: a multiple of every micro-kernel's rows where it can be.
pub fn tile_rows(elements: usize) -> usize {
    (TILE / elements).clamp(12, 240) / 12 * 12
}

/// Where element `i` of a weight `[out, tap, in]` lies in timm's `[out, in, tap]`.
pub fn tap_major(i: usize, cin: usize, taps: usize) -> usize {
    if taps == 1 {
        return i;
    }
    let k = cin * taps;
    let (o, l) = (i / k, i % k);
    o * k + (l % cin) * taps + l / cin
}

/// Lines of a tile where every pixel of a line of `w` takes `elements`.
pub fn tile_lines(elements: usize, w: usize) -> usize {
    (TILE / (elements * w)).max(1)
}

/// A whole image with its border of zeros, over which windows slide.
pub struct Padded {
    input: Shape,
    output: Shape,
    window: Window,
    width: usize,
}

impl Padded {
    pub fn new(input: Shape, output: Shape, window: Window) -> Self {
        Self { input, output, window, width: window.pads.left + input.w + window.pads.right }
    }

    /// Elements of the image with its border.
    pub fn len(&self) -> usize {
        (self.window.pads.top + self.input.h + self.window.pads.bottom) * self.stride()
    }

    /// Elements of one row.
    pub fn stride(&self) -> usize {
        self.width * self.input.c
    }

    /// Start of an input row.
    pub fn row(&self, y: usize) -> usize {
        ((y + self.window.pads.top) * self.width + self.window.pads.left) * self.input.c
    }

    /// Zeros in the border, and every row of the image as `row` writes it.
    pub fn fill(&self, out: &mut [f32], row: impl FnMut(usize, *mut f32)) {
        let pads = &self.window.pads;
        let (first, end) = (-(pads.top as isize), (self.input.h + pads.bottom) as isize);
        Band::new(self.input, pads.left, pads.right).fill(first, end, out, row);
    }

    /// The uint8 image, normalised to `(value / 255 - mean) / std`.
    pub fn fill_pixels(&self, isa: Isa, pixels: &[u8], mean: &[f32; 3], std: &[f32; 3], out: &mut [f32]) {
        let scale: [f32; 3] = std::array::from_fn(|ch| 1.0 / (255.0 * std[ch]));
        let shift: [f32; 3] = std::array::from_fn(|ch| -mean[ch] / std[ch]);
        let line = self.input.w * 3;
        // SAFETY: a line of the image and of its place in `out`, both `line` long.
        self.fill(out, |y, dst| unsafe {
            normalise_pixels(isa, dst, pixels[y * line..][..line].as_ptr(), line, &scale, &shift);
        });
    }

    /// Where the window of an output pixel starts.
    pub fn window_start(&self, pixel: usize) -> usize {
        let (y, x) = (pixel / self.output.w, pixel % self.output.w);
        (y * self.width + x) * self.window.stride * self.input.c
    }
}

/// Rows of an image between two borders of zeros; rows outside the image are zero too.
pub struct Band {
    shape: Shape,
    left: usize,
    /// Pixels of one row.
    pub width: usize,
    first: isize,
}

impl Band {
    pub fn new(shape: Shape, left: usize, right: usize) -> Self {
        Self { shape, left, width: left + shape.w + right, first: 0 }
    }

    /// Elements of one row.
    pub fn stride(&self) -> usize {
        self.width * self.shape.c
    }

    /// Makes room for rows `first..end`: zeros in the border and in rows outside the image. Returns the rows inside.
    pub fn clear(&mut self, first: isize, end: isize, out: &mut [f32]) -> Range<usize> {
        self.first = first;
        let (c, w) = (self.shape.c, self.shape.w);
        let clamp = |y: isize| y.clamp(0, self.shape.h as isize);
        for (line, y) in out.chunks_exact_mut(self.stride()).zip(first..end) {
            if y == clamp(y) && y < self.shape.h as isize {
                line[..self.left * c].fill(0.0);
                line[(self.left + w) * c..].fill(0.0);
            } else {
                line.fill(0.0);
            }
        }
        clamp(first) as usize..clamp(end) as usize
    }

    /// Fills the band with rows `first..end`; `row` writes one row of the image.
    pub fn fill(&mut self, first: isize, end: isize, out: &mut [f32], mut row: impl FnMut(usize, *mut f32)) {
        for y in self.clear(first, end, out) {
            row(y, out[self.at(y as isize, 0)..].as_mut_ptr());
        }
    }

    /// Offset of a pixel in the band; columns count from the image's first.
    pub fn at(&self, y: isize, x: isize) -> usize {
        ((y - self.first) as usize * self.width + (x + self.left as isize) as usize) * self.shape.c
    }
}

/// Elements of a strip's input: half a second-level cache.
const STRIP: usize = 96 << 10;

/// Rows of output that a depthwise strip covers.
pub fn strip_rows(window: &Window, input: Shape, output_rows: usize) -> usize {
    let row = (input.w + window.kernel) * input.c * window.stride;
    (STRIP / row).clamp(1, output_rows)
}

/// Input rows that output rows `o` read.
pub fn input_rows(window: &Window, o: &Range<usize>) -> Range<isize> {
    let (s, top) = (window.stride, window.pads.top as isize);
    let start = (o.start * s) as isize - top;
    start..((o.end - 1) * s + window.kernel) as isize - top
}

/// The taps of a depthwise window over a band as wide as the padded input.
pub fn window_taps(window: &Window, input: Shape) -> Vec<Tap> {
    let (k, width) = (window.kernel, window.pads.left + input.w + window.pads.right);
    (0..k * k).map(|t| Tap { source: (t / k * width + t % k) * input.c, weight: t * input.c }).collect()
}
