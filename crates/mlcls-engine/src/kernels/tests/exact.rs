//! Numbers in double precision that know how far from them a result in single precision may lie.

use std::fmt::Debug;

use crate::graph::Activation;
use crate::reference::act;

/// An expected number with the largest error that is taken for rounding.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    value: f64,
    error: f64,
}

impl Exact {
    /// A sum: its rounding errors grow with the sizes of its terms, not with what is left of them.
    pub fn sum(terms: impl IntoIterator<Item = f64>) -> Self {
        let (value, size) = terms.into_iter().fold((0.0, 1.0), |(v, s), t| (v + t, s + t.abs()));
        Self { value, error: 3e-6 * size }
    }

    /// What an activation makes of it: none is steeper than 1.1.
    pub fn activated(self, by: Activation) -> Self {
        Self { value: act(by, self.value), error: 1.1 * self.error }
    }

    /// An element that must not be written.
    pub fn kept(value: impl Into<f64>) -> Self {
        Self { value: value.into(), error: 0.0 }
    }
}

/// Every element of `got` must be what is expected.
pub fn assert_exact<T: Copy + Into<f64>>(got: &[T], want: impl IntoIterator<Item = Exact>, case: impl Debug) {
    let want: Vec<Exact> = want.into_iter().collect();
    assert_eq!(got.len(), want.len(), "{case:?}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let got: f64 = (*got).into();
        // Not `>`: what is not a number is wrong too.
        let close = (got - want.value).abs() <= want.error;
        assert!(close, "{case:?} element {i}: {got}, expected {} within {:e}", want.value, want.error);
    }
}

/// The derivative of an activation, off its corners.
pub fn slope(a: Activation, x: f64) -> f64 {
    let h = 1e-6;
    (act(a, x + h) - act(a, x - h)) / (2.0 * h)
}
