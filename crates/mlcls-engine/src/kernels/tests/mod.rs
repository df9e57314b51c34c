//! Every kernel, on every instruction set of this processor and the scalar one, against plain loops in double precision, over
//! sizes around and between the widths of vectors.

mod act;
mod backward;
mod cosine;
mod depthwise;
mod exact;
mod forward;
mod gemm;
mod roof;
mod sums;

use std::fmt::Debug;

use crate::reference::ACTIVATIONS;
use crate::rng::Stream;

/// Numbers of channels below, at, above and between the widths of vectors and of blocks of them.
const CHANNELS: [usize; 12] = [1, 3, 7, 8, 15, 16, 17, 31, 33, 63, 65, 100];

/// Numbers of rows; the first is the 1x1 map of one image.
const ROWS: [usize; 6] = [1, 2, 3, 7, 12, 13];

/// Normal numbers times 2, so that some lie past the corners of every activation.
fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut s = Stream::new(seed, len as u64);
    (0..len).map(|_| 2.0 * s.normal()).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| v.into()).collect()
}

/// What `kernel` makes of `start`.
///
/// It runs twice: on memory of exactly this length, where a sanitizer sees any access outside, and between guards, which must
/// stay as they are. Both runs must give the same bits.
fn output<T: Copy + PartialEq + Debug + From<f32>>(start: &[T], kernel: impl Fn(*mut T)) -> Vec<T> {
    let mut alone = start.to_vec();
    kernel(alone.as_mut_ptr());
    let guard = [T::from(-7.75); 67];
    let mut guarded = [&guard, start, &guard].concat();
    kernel(guarded[guard.len()..].as_mut_ptr());
    let (before, rest) = guarded.split_at(guard.len());
    let (inside, behind) = rest.split_at(start.len());
    assert_eq!(before, guard, "written before the output");
    assert_eq!(behind, guard, "written behind the output");
    assert_eq!(inside, alone, "the same input gave other bits");
    alone
}
