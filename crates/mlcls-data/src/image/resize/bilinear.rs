//! OpenCV's `INTER_LINEAR` on bytes, in its fixed-point arithmetic.
//!
//! Pixel centres are aligned: output x lies at `(x + 0.5) * in / out - 0.5`. The two weights of an axis are
//! rounded to 11 bits. Rows are resized horizontally to 32-bit values first and kept, as the next output row
//! often needs the same ones; two of them are then mixed vertically.

use multiversion::multiversion;

use super::Source;

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

pub(super) fn resize(source: &Source, width: usize, height: usize, out: &mut [u8]) {
    let columns = Columns::new(source.width, width);
    let rows = row_taps(source.height, height);
    // The two horizontally resized rows in use, each with the source row it came from.
    let empty = vec![0; width * 3];
    let mut upper = (usize::MAX, empty.clone());
    let mut lower = (usize::MAX, empty.clone());
    let mut weights = [empty.clone(), empty];
    let mut neighbours = Neighbours::new(width);
    for (tap, out_row) in rows.iter().zip(out.chunks_exact_mut(width * 3)) {
        if lower.0 == tap.first {
            std::mem::swap(&mut upper, &mut lower);
        }
        for (slot, y) in [(&mut upper, tap.first), (&mut lower, tap.second)] {
            if slot.0 != y {
                neighbours.gather(source.row(y), &columns.first);
                mix_neighbours([&neighbours.first, &neighbours.second], &columns.weights, &mut slot.1);
                slot.0 = y;
            }
        }
        for (repeated, weight) in weights.iter_mut().zip(tap.weights) {
            repeated.fill(weight);
        }
        mix_rows([&upper.1, &lower.1], &weights, out_row);
    }
}

/// The input position of output `i`: whole part and fraction, in OpenCV's mixture of precisions.
fn position(i: usize, scale: f64) -> (isize, f32) {
    let at = ((i as f64 + 0.5) * scale - 0.5) as f32;
    (at.floor() as isize, at - at.floor())
}

fn weights(fraction: f32) -> [i16; 2] {
    [1.0 - fraction, fraction].map(|w| (w * WEIGHT_ONE).round_ties_even() as i16)
}

/// Where each pixel of a row reads: the position of the first of two neighbours, and their weights, repeated for each channel.
///
/// Both factors of a multiplication are read from memory as 16 bits: only then do compilers multiply eight of them at once
/// (SSE2 has no multiplication of 32 bits).
struct Columns {
    first: Vec<usize>,
    weights: [Vec<i16>; 2],
}

impl Columns {
    /// Along a row OpenCV puts all weight on the edge pixel once a neighbour is missing; the second position is then one that has
    /// no weight, perhaps behind the row.
    fn new(from: usize, to: usize) -> Self {
        let scale = 1.0 / (to as f64 / from as f64);
        let mut columns = Self { first: Vec::with_capacity(to), weights: [vec![], vec![]] };
        for i in 0..to {
            let (first, fraction) = match position(i, scale) {
                (..0, _) => (0, 0.0),
                (x, _) if x as usize + 1 >= from => (from - 1, 0.0),
                (x, fraction) => (x as usize, fraction),
            };
            columns.first.push(first * 3);
            for (repeated, weight) in columns.weights.iter_mut().zip(weights(fraction)) {
                repeated.extend([weight; 3]);
            }
        }
        columns
    }
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

/// The two pixels that each pixel of a row is mixed from.
struct Neighbours {
    /// One byte longer than a row, as pixels are moved four bytes at a time.
    first: Vec<u8>,
    second: Vec<u8>,
}

impl Neighbours {
    fn new(width: usize) -> Self {
        Self { first: vec![0; width * 3 + 1], second: vec![0; width * 3 + 1] }
    }

    fn gather(&mut self, row: &[u8], first: &[usize]) {
        // Near the end of the row there are fewer than eight bytes.
        let (inside, border) = first.split_at(first.partition_point(|&at| at + 8 <= row.len()));
        let (left, right) = (&mut self.first[..], &mut self.second[..]);
        let mut put = |i: usize, pair: [u8; 8]| {
            let pair = u64::from_le_bytes(pair);
            left[i..i + 4].copy_from_slice(&(pair as u32).to_le_bytes());
            right[i..i + 4].copy_from_slice(&((pair >> 24) as u32).to_le_bytes());
        };
        let mut i = 0;
        for &at in inside {
            let Some(&pair) = row[at..].first_chunk() else { return };
            put(i, pair);
            i += 3;
        }
        for &at in border {
            let mut pair = [0; 8];
            pair[..row.len() - at].copy_from_slice(&row[at..]);
            put(i, pair);
            i += 3;
        }
    }
}

/// The mixed row, 15 bits per value.
#[multiversion(targets = "simd")]
fn mix_neighbours([first, second]: [&[u8]; 2], weights: &[Vec<i16>; 2], out: &mut [i16]) {
    let pixels = first.iter().zip(second);
    let weights = weights[0].iter().zip(&weights[1]);
    for ((out, (&a, &b)), (&w0, &w1)) in out.iter_mut().zip(pixels).zip(weights) {
        let sum = i32::from(a) * i32::from(w0) + i32::from(b) * i32::from(w1);
        *out = (sum >> DROPPED) as i16;
    }
}

/// The shifts drop bits where OpenCV's do, so that the result is the same to the bit.
#[multiversion(targets = "simd")]
fn mix_rows(rows: [&[i16]; 2], weights: &[Vec<i16>; 2], out: &mut [u8]) {
    let high = |value: i16, weight: i16| ((i32::from(value) * i32::from(weight)) >> 16) as i16;
    let rows = rows[0].iter().zip(rows[1]);
    let weights = weights[0].iter().zip(&weights[1]);
    for ((out, (&a, &b)), (&w0, &w1)) in out.iter_mut().zip(rows).zip(weights) {
        *out = ((high(a, w0) + high(b, w1) + 2) >> 2) as u8;
    }
}
