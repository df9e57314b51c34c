//! Both passes in loops that compilers make vectors of.

use multiversion::multiversion;

use super::{DROPPED, Passes, Tap, pair};

/// Rows between the passes have three values per pixel.
pub(super) struct Plain {
    /// The byte at which the first of a pixel's two neighbours begins.
    at: Vec<usize>,
    /// Both neighbours' weights, repeated for each channel.
    ///
    /// Both factors of a multiplication are read from memory as 16 bits: only then do compilers multiply eight of them at
    /// once (SSE2 has no multiplication of 32 bits).
    across: [Vec<i16>; 2],
    down: [Vec<i16>; 2],
    /// The two neighbours of each pixel. One byte longer than a row, as pixels are moved four bytes at a time.
    neighbours: [Vec<u8>; 2],
}

impl Plain {
    pub(super) fn new(columns: &[Tap]) -> Self {
        let repeated = |i: usize| columns.iter().flat_map(|tap| [tap.weights[i]; 3]).collect();
        let width = columns.len();
        Self {
            at: columns.iter().map(|tap| 3 * tap.first).collect(),
            across: [repeated(0), repeated(1)],
            down: [vec![0; 3 * width], vec![0; 3 * width]],
            neighbours: [vec![0; 3 * width + 1], vec![0; 3 * width + 1]],
        }
    }
}

impl Passes for Plain {
    fn width(&self) -> usize {
        self.at.len()
    }

    fn len(&self) -> usize {
        3 * self.width()
    }

    fn across(&mut self, row: &[u8], out: &mut [i16]) {
        let [left, right] = &mut self.neighbours;
        for (i, &at) in self.at.iter().enumerate() {
            let pair = u64::from_le_bytes(pair(row, at));
            left[3 * i..3 * i + 4].copy_from_slice(&(pair as u32).to_le_bytes());
            right[3 * i..3 * i + 4].copy_from_slice(&((pair >> 24) as u32).to_le_bytes());
        }
        mix_neighbours([left, right], &self.across, out);
    }

    fn down(&mut self, rows: [&[i16]; 2], weights: [i16; 2], out: &mut [u8]) {
        for (repeated, weight) in self.down.iter_mut().zip(weights) {
            repeated.fill(weight);
        }
        mix_rows(rows, &self.down, out);
    }
}

#[multiversion(targets = "simd")]
fn mix_neighbours([first, second]: [&[u8]; 2], weights: &[Vec<i16>; 2], out: &mut [i16]) {
    let pixels = first.iter().zip(second);
    let weights = weights[0].iter().zip(&weights[1]);
    for ((out, (&a, &b)), (&w0, &w1)) in out.iter_mut().zip(pixels).zip(weights) {
        let sum = i32::from(a) * i32::from(w0) + i32::from(b) * i32::from(w1);
        *out = (sum >> DROPPED) as i16;
    }
}

#[multiversion(targets = "simd")]
fn mix_rows(rows: [&[i16]; 2], weights: &[Vec<i16>; 2], out: &mut [u8]) {
    let high = |value: i16, weight: i16| ((i32::from(value) * i32::from(weight)) >> 16) as i16;
    let rows = rows[0].iter().zip(rows[1]);
    let weights = weights[0].iter().zip(&weights[1]);
    for ((out, (&a, &b)), (&w0, &w1)) in out.iter_mut().zip(rows).zip(weights) {
        *out = ((high(a, w0) + high(b, w1) + 2) >> 2) as u8;
    }
}
