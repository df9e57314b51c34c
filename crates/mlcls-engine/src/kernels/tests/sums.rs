//! Sums over rows.

use super::exact::{Exact, assert_exact};
use super::forward::for_each_size;
use super::{output, random, wide};
use crate::kernels::rows::{column_sums, mean, moments};

/// Sums that were there before, of `len` channels.
fn old_sums(len: usize) -> Vec<f64> {
    wide(&random(len, 4))
}

#[test]
fn moments_about_an_origin() {
    for_each_size(|isa, c, rows| {
        let (y, origin, old) = (random(rows * c, 1), random(c, 2), old_sums(c));
        let centred = |ch: usize| {
            let (y, origin) = (&y, f64::from(origin[ch]));
            (0..rows).map(move |r| f64::from(y[r * c + ch]) - origin)
        };
        let (y, origin) = (y.as_ptr(), origin.as_ptr());
        // SAFETY, here and below: rows and vectors have exactly these sizes.
        let sum = output(&old, |s| unsafe { moments(isa, y, rows, c, origin, s, old.clone().as_mut_ptr()) });
        let square =
            output(&old, |q| unsafe { moments(isa, y, rows, c, origin, old.clone().as_mut_ptr(), q) });
        let case = (isa, rows, c);
        assert_exact(&sum, (0..c).map(|ch| Exact::sum(centred(ch).chain([old[ch]]))), case);
        let squares = |ch| centred(ch).map(|v| v * v);
        assert_exact(&square, (0..c).map(|ch| Exact::sum(squares(ch).chain([old[ch]]))), case);
    });
}

#[test]
fn sums_of_columns() {
    for_each_size(|isa, c, rows| {
        let (y, old) = (random(rows * c, 1), old_sums(c));
        // SAFETY: rows and sums have exactly these sizes.
        let got = output(&old, |sum| unsafe { column_sums(isa, y.as_ptr(), rows, c, sum) });
        let column = |ch: usize| wide(&y).into_iter().skip(ch).step_by(c);
        assert_exact(&got, (0..c).map(|ch| Exact::sum(column(ch).chain([old[ch]]))), (isa, rows, c));
    });
}

#[test]
fn means_of_some_channels() {
    for_each_size(|isa, c, rows| {
        for stride in [c, c + 5] {
            let y = random((rows - 1) * stride + c, 1);
            // SAFETY: rows and means have exactly these sizes.
            let got = output(&vec![0.5; c], |out| unsafe { mean(isa, y.as_ptr(), rows, stride, c, out) });
            let shares = |ch: usize| {
                let y = &y;
                (0..rows).map(move |r| f64::from(y[r * stride + ch]) / rows as f64)
            };
            assert_exact(&got, (0..c).map(|ch| Exact::sum(shares(ch))), (isa, rows, c, stride));
        }
    });
}
