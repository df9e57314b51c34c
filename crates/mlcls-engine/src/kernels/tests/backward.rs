//! Gradients on their way through gate, activation and batch-norm.

use std::ptr::null;

use super::exact::{Exact, assert_exact, slope};
use super::forward::{Vectors, for_each_size};
use super::{ACTIVATIONS, output, random, wide};
use crate::graph::Activation;
use crate::kernels::rows::{GATED_SUMS, Load, LoadGrad, finish, finish_gated, gradient};
use crate::reference::act;

/// Gradients `d` of values `y` under batch-norms with these means.
struct Rows {
    d: Vec<f32>,
    y: Vec<f32>,
    mean: Vec<f32>,
    vectors: Vectors,
}

impl Rows {
    fn random(rows: usize, c: usize) -> Self {
        let (d, y, mean) = (random(rows * c, 1), random(rows * c, 2), random(c, 3));
        Self { d, y, mean, vectors: Vectors::random(c) }
    }

    fn centred(&self, i: usize) -> f64 {
        f64::from(self.y[i]) - f64::from(self.mean[i % self.mean.len()])
    }

    fn z(&self, i: usize) -> f64 {
        self.vectors.z(self.y[i], i % self.mean.len())
    }

    /// Per channel, the sums over all rows of `term(element)` on top of `old`.
    fn sums<T: Copy + Into<f64>>(&self, old: &[T], term: impl Fn(usize) -> f64) -> Vec<Exact> {
        let (c, len) = (self.mean.len(), self.d.len());
        let one = |ch: usize| Exact::sum((ch..len).step_by(c).map(&term).chain([old[ch].into()]));
        (0..c).map(one).collect()
    }
}

#[test]
fn gradients_with_and_without_gate() {
    for_each_size(|isa, c, rows| {
        let data = Rows::random(rows, c);
        let [a, b, k, pooled] = [4, 5, 6, 7].map(|seed| random(c, seed));
        let [a64, b64, k64] = [&a, &b, &k].map(|v| wide(v));
        for act_of in ACTIVATIONS {
            for gated in [false, true] {
                // Without a gate, neither view nor pooled gradient is looked at.
                let nothing = Load { scale: null(), shift: null(), act: act_of, gate: null() };
                let g = LoadGrad {
                    a: a.as_ptr(),
                    b: b.as_ptr(),
                    c: k.as_ptr(),
                    mean: data.mean.as_ptr(),
                    view: if gated { data.vectors.load(act_of, true) } else { nothing },
                    pooled: if gated { pooled.as_ptr() } else { null() },
                };
                let want = || {
                    (0..rows * c).map(|i| {
                        let (ch, mut d) = (i % c, f64::from(data.d[i]));
                        if gated {
                            d = d * f64::from(data.vectors.gate[ch]) + f64::from(pooled[ch]);
                            d *= slope(act_of, data.z(i));
                        }
                        Exact::sum([a64[ch] * d, b64[ch] * data.centred(i), k64[ch]])
                    })
                };
                let (d, y) = (data.d.as_ptr(), data.y.as_ptr());
                // SAFETY: rows and vectors have exactly these sizes.
                let other =
                    output(&vec![0.5; rows * c], |to| unsafe { gradient(isa, to, d, y, rows, c, &g) });
                assert_exact(&other, want(), (isa, rows, c, act_of, gated));
                // SAFETY: the same; the gradient may be the destination.
                let same = output(&data.d, |d| unsafe { gradient(isa, d, d, y, rows, c, &g) });
                assert_exact(&same, want(), (isa, rows, c, act_of, gated, "in place"));
            }
        }
    });
}

#[test]
fn finished_gradients_and_their_sums() {
    for_each_size(|isa, c, rows| {
        let data = Rows::random(rows, c);
        let old = wide(&random(2 * c, 8));
        for act_of in ACTIVATIONS {
            let view = data.vectors.load(act_of, false);
            let run = |d: *mut f32, sums: *mut f64| {
                // SAFETY: rows, vectors and sums have exactly these sizes.
                unsafe { finish(isa, d, data.y.as_ptr(), rows, c, &view, data.mean.as_ptr(), sums) }
            };
            let d = output(&data.d, |d| run(d, old.clone().as_mut_ptr()));
            let sums = output(&old, |sums| run(data.d.clone().as_mut_ptr(), sums));
            let through = |i: usize| f64::from(data.d[i]) * slope(act_of, data.z(i));
            let case = (isa, rows, c, act_of);
            assert_exact(&d, (0..rows * c).map(|i| Exact::sum([through(i)])), case);
            let mut want = data.sums(&old[..c], through);
            want.extend(data.sums(&old[c..], |i| through(i) * data.centred(i)));
            assert_exact(&sums, want, case);
        }
    });
}

#[test]
fn sums_of_gated_gradients() {
    for_each_size(|isa, c, rows| {
        let data = Rows::random(rows, c);
        let old = random(GATED_SUMS * c, 8);
        for act_of in ACTIVATIONS {
            let view = data.vectors.load(act_of, false);
            let (d, y, mean) = (data.d.as_ptr(), data.y.as_ptr(), data.mean.as_ptr());
            // SAFETY: rows, vectors and sums have exactly these sizes.
            let got = output(&old, |s| unsafe { finish_gated(isa, d, y, rows, c, &view, mean, s) });
            let want = (0..GATED_SUMS)
                .flat_map(|which| data.sums(&old[which * c..], |i| gated_term(&data, act_of, which, i)));
            assert_exact(&got, want, (isa, rows, c, act_of));
        }
    });
}

/// Element `i`'s share of one of the sums for a gated value.
fn gated_term(data: &Rows, act_of: Activation, which: usize, i: usize) -> f64 {
    let (d, z) = (f64::from(data.d[i]), data.z(i));
    let slope = slope(act_of, z);
    [d * act(act_of, z), d * slope, slope, d * slope * data.centred(i), slope * data.centred(i)][which]
}
