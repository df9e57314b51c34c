//! Pillow's `BILINEAR` on bytes: a triangle filter scaled to the reduction, in its fixed-point arithmetic.
//!
//! An output pixel is the weighted mean of every input pixel within `max(in / out, 1)` of its centre.
//! Weights are computed in double precision, normalised, and rounded to 22 bits. Columns are resized first,
//! rounded to bytes, then rows.

use std::ops::Range;

use multiversion::multiversion;

use super::{Axis, Source};

const PRECISION: u32 = 22;
const HALF: i32 = 1 << (PRECISION - 1);

/// The input range that an output position reads, with one weight each.
struct Taps {
    start: usize,
    weights: Vec<i32>,
}

pub(super) fn resize(source: &Source, columns: &Axis, rows: &Axis, out: &mut [u8]) {
    let row_bytes = columns.wanted.len() * 3;
    let mut narrowed = vec![0u8; source.height * row_bytes];
    if columns.from == columns.to {
        let start = 3 * (columns.wanted.start - columns.start);
        for (y, row) in narrowed.chunks_exact_mut(row_bytes).enumerate() {
            row.copy_from_slice(&source.row(y)[start..][..row_bytes]);
        }
    } else {
        let columns = taps(columns);
        for (y, row) in narrowed.chunks_exact_mut(row_bytes).enumerate() {
            resize_row(source.row(y), &columns, row);
        }
    }
    if rows.from == rows.to {
        let start = row_bytes * (rows.wanted.start - rows.start);
        out.copy_from_slice(&narrowed[start..][..out.len()]);
        return;
    }
    let mut sums = vec![0i32; row_bytes];
    for (taps, out_row) in taps(rows).iter().zip(out.chunks_exact_mut(row_bytes)) {
        mix_rows(&narrowed[taps.start * row_bytes..], &taps.weights, &mut sums, out_row);
    }
}

pub(super) fn reach(axis: &Axis) -> Range<usize> {
    let [first, last] = [axis.wanted.start, axis.wanted.end - 1].map(|i| Span::new(axis, i).range);
    first.start..last.end
}

/// What an output pixel is the mean of.
struct Span {
    centre: f64,
    support: f64,
    range: Range<usize>,
}

impl Span {
    fn new(axis: &Axis, i: usize) -> Self {
        let scale = axis.from as f64 / axis.to as f64;
        let support = scale.max(1.0);
        let centre = (i as f64 + 0.5) * scale;
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(axis.from);
        Self { centre, support, range: start..end }
    }
}

fn taps(axis: &Axis) -> Vec<Taps> {
    let tap = |i| {
        let Span { centre, support, range } = Span::new(axis, i);
        let triangle = |x: usize| {
            let distance = (x as f64 - centre + 0.5) * (1.0 / support);
            (1.0 - distance.abs()).max(0.0)
        };
        let weights: Vec<f64> = range.clone().map(triangle).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |w: &f64| (w / total * f64::from(1 << PRECISION) + 0.5) as i32;
        Taps { start: range.start - axis.start, weights: weights.iter().map(fixed).collect() }
    };
    axis.wanted.clone().map(tap).collect()
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn resize_row(row: &[u8], columns: &[Taps], out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<3>();
    for (taps, out) in columns.iter().zip(out.as_chunks_mut::<3>().0) {
        let (mut red, mut green, mut blue) = (HALF, HALF, HALF);
        for (&[r, g, b], w) in pixels[taps.start..].iter().zip(&taps.weights) {
            red += i32::from(r) * w;
            green += i32::from(g) * w;
            blue += i32::from(b) * w;
        }
        *out = [to_byte(red), to_byte(green), to_byte(blue)];
    }
}

/// Adds whole rows, so that the inner loop runs along memory.
#[multiversion(targets = "simd")]
fn mix_rows(rows: &[u8], weights: &[i32], sums: &mut [i32], out: &mut [u8]) {
    sums.fill(HALF);
    for (row, w) in rows.chunks_exact(out.len()).zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += i32::from(value) * w;
        }
    }
    for (out, &sum) in out.iter_mut().zip(sums.iter()) {
        *out = to_byte(sum);
    }
}
