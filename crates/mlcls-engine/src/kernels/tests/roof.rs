//! The loop that measures the height of the roof does the work that it says.

use super::exact::{Exact, assert_exact};
use super::output;
use crate::kernels::roof::multiply_add;
use crate::kernels::simd::Isa;

#[test]
fn the_loop_counts_what_it_does() {
    let (sums, rounds) = (12, 5);
    for isa in Isa::available() {
        let got = output(&[0.5; 16], |sink| {
            let mut operations = 0;
            // SAFETY: the sink holds 16 elements.
            unsafe { multiply_add(isa, rounds, sink, &mut operations) };
            let lanes = match isa {
                Isa::Scalar => 1,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => 8,
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => 16,
            };
            assert_eq!(operations, 2 * (sums * lanes * rounds) as u64, "{isa:?}");
        });
        let one = |start: usize| (0..rounds).fold(start as f64, |s, _| s * 0.999 + 1e-3);
        assert_exact(&got[..1], [Exact::sum((0..sums).map(one))], isa);
    }
}
