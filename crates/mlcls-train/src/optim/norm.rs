//! The length of a gradient.

use rayon::prelude::*;

use super::CHUNK;

/// Partial sums that one chunk is added up in, so that the loop vectorises.
const LANES: usize = 8;

/// Euclidean norm of the whole vector, `sqrt(sum of squares)`.
///
/// Summed in f64 over fixed chunks that are combined in order: the same bits for any number of threads. NaN or infinite
/// where an element is.
///
/// ```
/// assert_eq!(mlcls_train::global_norm(&[3.0, -4.0]), 5.0);
/// ```
pub fn global_norm(values: &[f32]) -> f64 {
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(sum_of_squares).collect();
    sums.iter().sum::<f64>().sqrt()
}

fn sum_of_squares(values: &[f32]) -> f64 {
    let (rows, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for row in rows {
        for (lane, &v) in lanes.iter_mut().zip(row) {
            *lane += f64::from(v) * f64::from(v);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>()
}
