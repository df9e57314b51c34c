//! OpenCV's `INTER_LINEAR` on bytes, in its fixed-point arithmetic.
//!
//! Pixel centres are aligned: output x lies at `(x + 0.5) * in / out - 0.5`. The two weights of an axis are
//! rounded to 11 bits. Rows are resized horizontally to 15-bit values first and kept, as the next output row
//! often needs the same ones; two of them are then mixed vertically.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod plain;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::{Axis, Source};

const WEIGHT_ONE: f32 = 2048.0;

/// Bits of a horizontally resized value that the vertical pass does not look at.
const DROPPED: u32 = 4;

/// Where an output position reads along one axis: two input positions and their weights of 11 bits.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weights: [i16; 2],
}

/// The arithmetic, in a layout of its own for rows between the passes.
trait Passes {
    /// Pixels in a row of the result.
    fn width(&self) -> usize;

    /// Values in a row between the passes.
    fn len(&self) -> usize;

    /// The horizontal pass over a row of pixels: the sum of two products per channel, without its [`DROPPED`] bits.
    fn across(&mut self, row: &[u8], out: &mut [i16]);

    /// The vertical pass. It drops bits where OpenCV does, so that the result is the same to the bit:
    /// `(high(a, w0) + high(b, w1) + 2) >> 2`, where `high` is a product without its lower 16 bits.
    fn down(&mut self, rows: [&[i16]; 2], weights: [i16; 2], out: &mut [u8]);
}

pub(super) fn resize(source: &Source, columns: &Axis, rows: &Axis, out: &mut [u8]) {
    let (columns, rows) = (column_taps(columns), row_taps(rows));
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = crate::image::avx2::avx2() {
        return avx2::resize(&mut avx2::Vectors::new(simd, &columns), source, &rows, out);
    }
    in_passes(&mut plain::Plain::new(&columns), source, &rows, out);
}

pub(super) fn reach(axis: &Axis) -> Range<usize> {
    // A column without a neighbour reads less than a row would.
    let first = row_tap(axis, axis.wanted.start).first;
    let last = row_tap(axis, axis.wanted.end - 1).second;
    first..last + 1
}

/// Inlined, so that a caller that is compiled for the processor's vectors makes use of them.
#[inline(always)]
fn in_passes(passes: &mut impl Passes, source: &Source, rows: &[Tap], out: &mut [u8]) {
    // The two horizontally resized rows in use, each with the source row it came from.
    let mut upper = (usize::MAX, vec![0; passes.len()]);
    let mut lower = upper.clone();
    for (tap, out) in rows.iter().zip(out.chunks_exact_mut(3 * passes.width())) {
        if lower.0 == tap.first {
            std::mem::swap(&mut upper, &mut lower);
        }
        for (slot, y) in [(&mut upper, tap.first), (&mut lower, tap.second)] {
            if slot.0 != y {
                passes.across(source.row(y), &mut slot.1);
                slot.0 = y;
            }
        }
        passes.down([&upper.1, &lower.1], tap.weights, out);
    }
}

/// The input position of output `i`: whole part and fraction, in OpenCV's mixture of precisions.
fn position(axis: &Axis, i: usize) -> (isize, f32) {
    let scale = 1.0 / (axis.to as f64 / axis.from as f64);
    let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
    (at.floor() as isize, at - at.floor())
}

fn weights(fraction: f32) -> [i16; 2] {
    [1.0 - fraction, fraction].map(|w| (w * WEIGHT_ONE).round_ties_even() as i16)
}

/// Along a row OpenCV puts all weight on the edge pixel once a neighbour is missing; the second position is then one that has
/// no weight, perhaps behind the row.
fn column_taps(axis: &Axis) -> Vec<Tap> {
    let tap = |i| {
        let (first, fraction) = match position(axis, i) {
            (..0, _) => (0, 0.0),
            (x, _) if x as usize + 1 >= axis.from => (axis.from - 1, 0.0),
            (x, fraction) => (x as usize, fraction),
        };
        let first = first - axis.start;
        Tap { first, second: first + 1, weights: weights(fraction) }
    };
    axis.wanted.clone().map(tap).collect()
}

/// Between rows it keeps the weights and repeats the edge row, which can round differently.
fn row_taps(axis: &Axis) -> Vec<Tap> {
    axis.wanted.clone().map(|i| row_tap(axis, i)).collect()
}

fn row_tap(axis: &Axis, i: usize) -> Tap {
    let (y, fraction) = position(axis, i);
    let here = |y: isize| y.clamp(0, axis.from as isize - 1) as usize - axis.start;
    Tap { first: here(y), second: here(y + 1), weights: weights(fraction) }
}

/// The eight bytes from `at` on: a pixel, the next, and what follows. Behind the end of the row come zeros.
#[inline(always)]
fn pair(row: &[u8], at: usize) -> [u8; 8] {
    match row.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(&pair) => pair,
        None => last_pair(row, at),
    }
}

#[cold]
fn last_pair(row: &[u8], at: usize) -> [u8; 8] {
    std::array::from_fn(|i| row.get(at + i).copied().unwrap_or(0))
}
