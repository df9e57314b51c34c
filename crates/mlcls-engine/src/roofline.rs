//! What this machine could do at best, measured with the instructions that the kernels use.

use std::time::Instant;

use rayon::prelude::*;

use crate::kernels::roof::multiply_add;
use crate::kernels::rows::axpy;
use crate::kernels::simd::Isa;

/// Limits of this machine for all threads of rayon's pool together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Instruction set that the kernels use here: `scalar`, `avx2` or `avx512`.
    pub isa: &'static str,
    /// Floating-point operations per second, two per multiply-accumulate, from registers.
    pub flops: f64,
    /// Bytes read plus bytes written per second by a pass over memory that no cache holds.
    pub bytes: f64,
}

/// Bytes of each of a thread's two arrays: far more than its share of any cache.
const ARRAY: usize = 64 << 20;

/// Multiply-adds of one timing.
const ROUNDS: usize = 1 << 22;

impl Roofline {
    /// Measures; takes about a second and 128 MB per thread.
    pub fn measure() -> Self {
        let isa = Isa::detect();
        let threads = rayon::current_num_threads();
        // Every thread at once, best of several: neighbours can only slow it down.
        let best = |work: &(dyn Fn(usize) -> f64 + Sync)| {
            let run = || (0..threads).into_par_iter().with_max_len(1).map(work).sum::<f64>();
            (0..5).map(|_| run()).fold(0.0, f64::max)
        };
        let flops = best(&|_| {
            let mut sink = [0f32; 16];
            let start = Instant::now();
            let mut operations = 0;
            // SAFETY: the sink holds the widest vector.
            unsafe { multiply_add(isa, std::hint::black_box(ROUNDS), sink.as_mut_ptr(), &mut operations) };
            std::hint::black_box(sink); // the work must be over before the clock is read
            operations as f64 / start.elapsed().as_secs_f64()
        });
        let arrays: Vec<std::sync::Mutex<(Vec<f32>, Vec<f32>)>> =
            (0..threads).map(|_| (vec![1.0; ARRAY / 4], vec![0.0; ARRAY / 4]).into()).collect();
        let bytes = best(&|thread| {
            let Ok(mut arrays) = arrays[thread].lock() else { return 0.0 };
            let (from, to) = &mut *arrays;
            let start = Instant::now();
            // SAFETY: both arrays have this length.
            unsafe { axpy(isa, to.as_mut_ptr(), from.as_ptr(), 0.5, from.len(), false) };
            (2 * ARRAY) as f64 / start.elapsed().as_secs_f64()
        });
        Self { isa: isa.name(), flops, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_a_computer() {
        let roof = Roofline::measure();
        assert!(roof.flops > 1e8 && roof.flops < 1e14, "{roof:?}");
        assert!(roof.bytes > 1e8 && roof.bytes < 1e13, "{roof:?}");
    }
}
