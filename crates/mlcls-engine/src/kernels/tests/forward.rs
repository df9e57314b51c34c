//! What consumers do on loading a value, and the small passes of inference.

use std::ptr::null;

use super::exact::{Exact, assert_exact};
use super::{ACTIVATIONS, CHANNELS, ROWS, output, random};
use crate::graph::Activation;
use crate::kernels::rows::{Load, activate, axpy, bias_act, pool};
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
fn bias_act_with_and_without_shortcut() {
    for_each_size(|isa, c, rows| {
        for stride in [c, c + 5] {
            let len = (rows - 1) * stride + c;
            let (start, bias, shortcut) = (random(len, 1), random(c, 2), random(len, 3));
            for act_of in ACTIVATIONS {
                for residual in [None, Some(&shortcut)] {
                    let pointer = residual.map_or(null(), |r| r.as_ptr());
                    // SAFETY: rows and vectors have exactly these sizes.
                    let got = output(&start, |dst| unsafe {
                        bias_act(isa, dst, rows, c, stride, bias.as_ptr(), act_of, pointer)
                    });
                    let want = start.iter().enumerate().map(|(i, &y)| {
                        if i % stride >= c {
                            return Exact::kept(y);
                        }
                        let value = act(act_of, f64::from(y) + f64::from(bias[i % stride]));
                        Exact::sum([value].into_iter().chain(residual.map(|r| r[i].into())))
                    });
                    assert_exact(&got, want, (isa, rows, c, stride, act_of, residual.is_some()));
                }
            }
        }
    });
}
