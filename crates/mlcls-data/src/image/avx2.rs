//! The instructions of AVX2, for loops that compilers make nothing good of.

/// Shows that the processor has AVX2. Functions that take it must be inlined into one that is compiled for AVX2.
#[cfg(target_arch = "x86_64")]
pub(super) type Avx2 = pulp::x86::V3;

/// Other processors have none of it.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy, Debug)]
pub(super) enum Avx2 {}

/// AVX2, where this processor has it.
#[cfg(target_arch = "x86_64")]
pub(super) fn avx2() -> Option<Avx2> {
    pulp::x86::V3::try_new()
}

/// AVX2, where this processor has it.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn avx2() -> Option<Avx2> {
    None
}
