//! OpenCV's `INTER_LINEAR` on bytes, in its fixed-point arithmetic.
//!
//! Pixel centres are aligned: output x lies at `(x + 0.5) * in / out - 0.5`. The two weights of an axis are
//! rounded to 11 bits. Rows are resized horizontally to 32-bit values first and kept, as the next output row
//! often needs the same ones; two of them are then mixed vertically.

use super::Source;

const WEIGHT_ONE: f32 = 2048.0;

/// Where an output position reads along one axis: two input positions and their weights of 11 bits.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

pub(super) fn resize(source: &Source, width: usize, height: usize, out: &mut [u8]) {
    let columns = column_taps(source.width, width);
    let rows = row_taps(source.height, height);
    // The two horizontally resized rows in use, each with the source row it came from.
    let mut upper = (usize::MAX, vec![0i32; width * 3]);
    let mut lower = (usize::MAX, vec![0i32; width * 3]);
    for (tap, out_row) in rows.iter().zip(out.chunks_exact_mut(width * 3)) {
        if lower.0 == tap.first {
            std::mem::swap(&mut upper, &mut lower);
        }
        for (slot, y) in [(&mut upper, tap.first), (&mut lower, tap.second)] {
            if slot.0 != y {
                resize_row(source.row(y), &columns, &mut slot.1);
                slot.0 = y;
            }
        }
        mix_rows(&upper.1, &lower.1, tap.weights, out_row);
    }
}

/// The input position of output `i`: whole part and fraction, in OpenCV's mixture of precisions.
fn position(i: usize, scale: f64) -> (isize, f32) {
    let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
    (at.floor() as isize, at - at.floor())
}

fn weights(fraction: f32) -> [i32; 2] {
    [1.0 - fraction, fraction].map(|w| (w * WEIGHT_ONE).round_ties_even() as i32)
}

/// Along a row OpenCV puts all weight on the edge pixel once a neighbour is missing.
fn column_taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = 1.0 / (to as f64 / from as f64);
    let tap = |i| match position(i, scale) {
        (..0, _) => Tap { first: 0, second: 0, weights: weights(0.0) },
        (x, _) if x as usize + 1 >= from => Tap { first: from - 1, second: from - 1, weights: weights(0.0) },
        (x, fraction) => Tap { first: x as usize, second: x as usize + 1, weights: weights(fraction) },
    };
    (0..to).map(tap).collect()
}

/// Between rows it keeps the weights and repeats the edge row, which can round differently.
fn row_taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = 1.0 / (to as f64 / from as f64);
    let clamp = |y: isize| y.clamp(0, from as isize - 1) as usize;
    let tap = |i| {
        let (y, fraction) = position(i, scale);
        Tap { first: clamp(y), second: clamp(y + 1), weights: weights(fraction) }
    };
    (0..to).map(tap).collect()
}

fn resize_row(row: &[u8], columns: &[Tap], out: &mut [i32]) {
    for (tap, pixel) in columns.iter().zip(out.chunks_exact_mut(3)) {
        let a = &row[tap.first * 3..][..3];
        let b = &row[tap.second * 3..][..3];
        for c in 0..3 {
            pixel[c] = i32::from(a[c]) * tap.weights[0] + i32::from(b[c]) * tap.weights[1];
        }
    }
}

/// The shifts drop bits where OpenCV's do, so that the result is the same to the bit.
fn mix_rows(upper: &[i32], lower: &[i32], [w0, w1]: [i32; 2], out: &mut [u8]) {
    for ((out, a), b) in out.iter_mut().zip(upper).zip(lower) {
        let sum = ((w0 * (a >> 4)) >> 16) + ((w1 * (b >> 4)) >> 16);
        *out = ((sum + 2) >> 2) as u8;
    }
}
