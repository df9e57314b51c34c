//! A loop of nothing but multiply-adds, for the height of the roof.

use super::simd::{Simd, simd_kernel};

/// Independent sums: more than the latency of a multiply-add times the units that do them, and few enough for registers.
const SUMS: usize = 12;

#[inline(always)]
unsafe fn multiply_add_loop<S: Simd>(rounds: usize, sink: *mut f32, operations: &mut u64) {
    // SAFETY: the caller's contract.
    unsafe {
        let (x, y) = (S::splat(0.999), S::splat(1e-3));
        // All different, or the compiler would do one of them.
        let mut sums = [S::splat(0.0); SUMS];
        for (i, s) in sums.iter_mut().enumerate() {
            *s = S::splat(i as f32);
        }
        for _ in 0..rounds {
            for s in &mut sums {
                *s = S::fma(*s, x, y);
            }
        }
        let total = sums.into_iter().fold(S::splat(0.0), |a, b| S::add(a, b));
        S::store(sink, total);
    }
    *operations = (2 * SUMS * S::LANES * rounds) as u64;
}

simd_kernel! {
    /// Runs `rounds` rounds, says in `operations` how many floating-point operations that were, and stores a result to `sink`
    /// so that none is optimised away.
    ///
    /// # Safety
    /// `sink` must hold 16 elements.
    multiply_add = multiply_add_loop(rounds: usize, sink: *mut f32, operations: &mut u64)
}
