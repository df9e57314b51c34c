//! What consumers do on loading a value, and the small passes of inference.

use std::ptr::null;

use super::exact::{Exact, assert_exact};
use super::{ACTIVATIONS, CHANNELS, ROWS, output, random};
use crate::graph::Activation;
use crate::kernels::rows::{Apply, Load, activate, apply, axpy, normalise_pixels, pool};
use crate::kernels::simd::Isa;
use crate::reference::act;

/// Calls `f` for each instruction set, number of channels and number of rows.
pub fn for_each_size(mut f: impl FnMut(Isa, usize, usize)) {
    for isa in Isa::available() {
        for c in CHANNELS {
            for rows in ROWS {
                f(isa, c, rows);
            }
        }
    }
}

/// The vectors of a view, one element per channel.
pub struct Vectors {
    pub scale: Vec<f32>,
    pub shift: Vec<f32>,
    pub gate: Vec<f32>,
}

impl Vectors {
    pub fn random(c: usize) -> Self {
        Self { scale: random(c, 11), shift: random(c, 12), gate: random(c, 13) }
    }

    pub fn load(&self, act: Activation, gated: bool) -> Load {
        let gate = if gated { self.gate.as_ptr() } else { null() };
        Load { scale: self.scale.as_ptr(), shift: self.shift.as_ptr(), act, gate }
    }

    /// The input of the activation.
    pub fn z(&self, y: f32, ch: usize) -> f64 {
        f64::from(y) * f64::from(self.scale[ch]) + f64::from(self.shift[ch])
    }
}

#[test]
fn activate_to_other_memory_and_in_place() {
    for_each_size(|isa, c, rows| {
        let (src, vectors) = (random(rows * c, 1), Vectors::random(c));
        for act_of in ACTIVATIONS {
            for gated in [false, true] {
                let view = vectors.load(act_of, gated);
                let want = || {
                    src.iter().enumerate().map(|(i, &y)| {
                        let gate = if gated { f64::from(vectors.gate[i % c]) } else { 1.0 };
                        Exact::sum([act(act_of, vectors.z(y, i % c)) * gate])
                    })
                };
                // SAFETY: rows and vectors have exactly these sizes.
                let other = output(&vec![0.5; src.len()], |dst| unsafe {
                    activate(isa, dst, src.as_ptr(), rows, c, &view)
                });
                assert_exact(&other, want(), (isa, rows, c, act_of, gated));
                // SAFETY: the same; the source may be the destination.
                let same = output(&src, |dst| unsafe { activate(isa, dst, dst, rows, c, &view) });
                assert_exact(&same, want(), (isa, rows, c, act_of, gated, "in place"));
            }
        }
    });
}

#[test]
fn pools() {
    for_each_size(|isa, c, rows| {
        let (src, vectors) = (random(rows * c, 1), Vectors::random(c));
        for act_of in ACTIVATIONS {
            let view = vectors.load(act_of, false);
            // SAFETY: rows and vectors have exactly these sizes.
            let got = output(&vec![0.5; c], |out| unsafe { pool(isa, src.as_ptr(), rows, c, &view, out) });
            let want = (0..c).map(|ch| {
                Exact::sum((0..rows).map(|r| act(act_of, vectors.z(src[r * c + ch], ch)) / rows as f64))
            });
            assert_exact(&got, want, (isa, rows, c, act_of));
        }
    });
}

#[test]
fn axpy_of_every_length() {
    for isa in Isa::available() {
        for len in CHANNELS {
            let (src, start, k) = (random(len, 1), random(len, 2), -1.3f32);
            for accumulate in [false, true] {
                // SAFETY: both hold exactly `len` elements.
                let got = output(&start, |dst| unsafe { axpy(isa, dst, src.as_ptr(), k, len, accumulate) });
                let want = src.iter().zip(&start).map(|(&x, &old)| {
                    let product = f64::from(k) * f64::from(x);
                    Exact::sum([product].into_iter().chain(accumulate.then(|| old.into())))
                });
                assert_exact(&got, want, (isa, len, accumulate));
            }
        }
    }
}

#[test]
fn apply_between_lines_and_in_place() {
    for_each_size(|isa, c, rows| {
        let lines = 2;
        // Other gaps behind the rows and lines of the destination than behind those of the source.
        let [src_row, dst_row] = [c + 5, c + 2];
        let [src_line, dst_line] = [rows * src_row + 1, rows * dst_row + 7];
        let end = |row, line| (lines - 1) * line + (rows - 1) * row + c;
        let (src, start) = (random(end(src_row, src_line), 1), random(end(dst_row, dst_line), 2));
        for act_of in ACTIVATIONS {
            let want = |start: &[f32], row: usize, line: usize, from: &dyn Fn(usize, usize, usize) -> f32| {
                let at = |i: usize| (i / line, i % line / row, i % line % row);
                let kept = |(_, r, ch): (usize, usize, usize)| r >= rows || ch >= c;
                let exact = |(i, &old): (usize, &f32)| match at(i) {
                    place if kept(place) => Exact::kept(old),
                    (l, r, ch) => Exact::sum([act(act_of, from(l, r, ch).into())]),
                };
                start.iter().enumerate().map(exact).collect::<Vec<_>>()
            };
            let got = output(&start, |dst| {
                let src = src.as_ptr();
                let act = act_of;
                let p = Apply { src, src_row, src_line, dst, dst_row, dst_line, lines, rows, c, act };
                // SAFETY: both hold exactly these lines.
                unsafe { apply(isa, &p) }
            });
            let from = |l: usize, r: usize, ch: usize| src[l * src_line + r * src_row + ch];
            assert_exact(&got, want(&start, dst_row, dst_line, &from), (isa, rows, c, act_of));

            let one = &start[..(rows - 1) * dst_row + c];
            // SAFETY: as above, one line.
            let got = output(one, |dst| unsafe {
                apply(isa, &Apply::in_place(dst, rows, c, dst_row, act_of));
            });
            let from = |_: usize, r: usize, ch: usize| one[r * dst_row + ch];
            assert_exact(&got, want(one, dst_row, dst_line, &from), (isa, rows, c, act_of, "in place"));
        }
    });
}

#[test]
fn pixels_of_all_lengths() {
    let (scale, shift) = ([0.5, 2.0, -1.0], [0.25, -3.0, 7.0]);
    for isa in Isa::available() {
        for len in [3, 6, 45, 48, 51, 96, 99, 672] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 37 % 256) as u8).collect();
            let got = output(&vec![0.0; len], |dst| {
                // SAFETY: both hold `len` elements.
                unsafe { normalise_pixels(isa, dst, bytes.as_ptr(), len, &scale, &shift) }
            });
            let want = bytes
                .iter()
                .enumerate()
                .map(|(i, &v)| Exact::sum([f64::from(v) * f64::from(scale[i % 3]), f64::from(shift[i % 3])]));
            assert_exact(&got, want, (isa, len));
        }
    }
}
