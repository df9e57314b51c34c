//! The cosine classifier.

use super::exact::{Exact, assert_exact};
use super::{CHANNELS, ROWS, random, wide};
use crate::kernels::cosine::{EPS, logits, normalise, normalise_backward};

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = dot(row, row).sqrt();
    row.iter().map(|v| v / length).collect()
}

#[test]
fn logits_and_gradients_of_every_length() {
    for d in CHANNELS {
        for classes in ROWS {
            let (x, w) = (random(d, 1), random(classes * d, 2));
            let (mut x_unit, mut x_inverse) = (vec![0.0; d], [0.0]);
            let (mut w_unit, mut w_inverse) = (vec![0.0; classes * d], vec![0.0; classes]);
            normalise(&x, d, &mut x_unit, &mut x_inverse);
            normalise(&w, d, &mut w_unit, &mut w_inverse);
            let mut got = vec![0.0; classes];
            logits(&x_unit, &w_unit, 7.0, &mut got);
            let (x, w) = (wide(&x), wide(&w));
            let cosine = |w: &[f64]| dot(&unit(&x), &unit(w));
            assert_exact(&got, w.chunks(d).map(|w| Exact::sum([7.0 * cosine(w)])), (d, classes));

            // Of the dot product of the unit vector with `g`: `(g - u (u . g)) / |x|`.
            let g = random(d, 3);
            let (mut got, g, u) = (g.clone(), wide(&g), unit(&x));
            normalise_backward(&x_unit, x_inverse[0], &mut got);
            let (along, length) = (dot(&u, &g), dot(&x, &x).sqrt());
            let want = g.iter().zip(&u).map(|(g, u)| Exact::sum([g / length, -along * u / length]));
            assert_exact(&got, want, d);
        }
    }
}

#[test]
fn a_row_of_zeros_has_a_constant_length() {
    let (mut unit, mut inverse, mut grad) = ([1.0; 3], [0.0], [1.0, -2.0, 0.5]);
    normalise(&[0.0; 3], 3, &mut unit, &mut inverse);
    assert_eq!((unit, inverse), ([0.0; 3], [1.0 / EPS]));
    normalise_backward(&unit, inverse[0], &mut grad);
    assert_eq!(grad, [1.0 / EPS, -2.0 / EPS, 0.5 / EPS]);
}
