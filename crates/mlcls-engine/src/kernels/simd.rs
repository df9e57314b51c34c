//! One vocabulary of vector operations over several instruction sets.
//!
//! A kernel is written once, generic over [`Simd`]; [`simd_kernel!`](crate::kernels::simd::simd_kernel) makes the entry
//! that picks the instruction set at run time. [`Scalar`] is the portable reference that the others are tested against.

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Portable Rust, one lane.
    Scalar,
    /// AVX2 with FMA, 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F and DQ, 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The widest instruction set of this processor.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
                return Self::Avx512;
            }
            if avx2 {
                return Self::Avx2;
            }
        }
        Self::Scalar
    }

    /// Its name, as users read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "avx512",
        }
    }

    /// Every instruction set that this processor can run, the widest last, for tests and benches.
    #[cfg(any(test, feature = "bench"))]
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        match Self::detect() {
            Self::Avx512 => all.extend([Self::Avx2, Self::Avx512]),
            Self::Avx2 => all.push(Self::Avx2),
            Self::Scalar => {}
        }
        all
    }
}

/// Vector operations of one instruction set.
///
/// # Safety
/// Every method may be called only inside a function compiled for that instruction set, on a processor that has it.
/// Loads and stores need valid pointers for the lanes that they touch; no alignment is needed.
pub trait Simd: Copy {
    /// Lanes of a vector.
    const LANES: usize;
    /// A vector of `f32`.
    type V: Copy;

    /// The same value in every lane.
    unsafe fn splat(x: f32) -> Self::V;
    /// `LANES` values from `p`.
    unsafe fn load(p: *const f32) -> Self::V;
    /// The first `n` lanes from `p`, zero in the others.
    unsafe fn load_first(p: *const f32, n: usize) -> Self::V;
    /// `LANES` values to `p`.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// The first `n` lanes to `p`.
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize);
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of each lane.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each lane.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// 1 where `a > 0`, else 0.
    unsafe fn positive(a: Self::V) -> Self::V;
    /// `a - floor(a)`.
    unsafe fn fraction(a: Self::V) -> Self::V;
    /// `a * 2^floor(t)` for `t` up to 127; `a * 2^-126` at most where `t` is below -126.
    unsafe fn scale_exp2(a: Self::V, t: Self::V) -> Self::V;
    /// `1 / a` for normal `a`, relative error below 3e-7.
    unsafe fn reciprocal(a: Self::V) -> Self::V;
}

/// Portable reference: one lane.
#[derive(Clone, Copy)]
pub struct Scalar;

impl Simd for Scalar {
    const LANES: usize = 1;
    type V = f32;

    #[inline(always)]
    unsafe fn splat(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> f32 {
        // SAFETY: the caller gives a pointer valid for one lane.
        unsafe { *p }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> f32 {
        // SAFETY: as `load`; nothing is read when `n` is 0.
        if n == 0 { 0.0 } else { unsafe { *p } }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: f32) {
        // SAFETY: the caller gives a pointer valid for one lane.
        unsafe { *p = v }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: f32, n: usize) {
        if n > 0 {
            // SAFETY: as `store`.
            unsafe { *p = v }
        }
    }
    #[inline(always)]
    unsafe fn add(a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    unsafe fn sub(a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    unsafe fn mul(a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    unsafe fn fma(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    unsafe fn max(a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    unsafe fn min(a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    unsafe fn positive(a: f32) -> f32 {
        if a > 0.0 { 1.0 } else { 0.0 }
    }
    #[inline(always)]
    unsafe fn fraction(a: f32) -> f32 {
        a - a.floor()
    }
    #[inline(always)]
    unsafe fn scale_exp2(a: f32, t: f32) -> f32 {
        a * f32::from_bits(((t.floor().max(-126.0) as i32 + 127) as u32) << 23)
    }
    #[inline(always)]
    unsafe fn reciprocal(a: f32) -> f32 {
        1.0 / a
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Simd;
    use std::arch::x86_64::*;

    /// AVX2 and FMA: 8 lanes.
    #[derive(Clone, Copy)]
    pub struct Avx2;

    /// Lane masks for `load_first` and `store_first`: 8 ones, then 8 zeros; a window of 8 starts at `8 - n`.
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

    #[inline(always)]
    unsafe fn mask8(n: usize) -> __m256i {
        debug_assert!(n <= 8);
        // SAFETY: the window 8-n .. 16-n lies inside the 16 masks for n in 0..=8.
        unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
    }

    // SAFETY of every method: the trait's contract (instruction set present, pointers valid for the lanes).
    impl Simd for Avx2 {
        const LANES: usize = 8;
        type V = __m256;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> __m256 {
            unsafe { _mm256_maskload_ps(p, mask8(n)) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_first(p: *mut f32, v: __m256, n: usize) {
            unsafe { _mm256_maskstore_ps(p, mask8(n), v) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn positive(a: __m256) -> __m256 {
            unsafe {
                let above = _mm256_cmp_ps::<_CMP_GT_OQ>(a, _mm256_setzero_ps());
                _mm256_and_ps(above, _mm256_set1_ps(1.0))
            }
        }
        #[inline(always)]
        unsafe fn fraction(a: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, _mm256_floor_ps(a)) }
        }
        #[inline(always)]
        unsafe fn scale_exp2(a: __m256, t: __m256) -> __m256 {
            unsafe {
                let n = _mm256_max_ps(_mm256_floor_ps(t), _mm256_set1_ps(-126.0));
                let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
            }
        }
        #[inline(always)]
        unsafe fn reciprocal(a: __m256) -> __m256 {
            // 12 bits from the table, doubled by a Newton step: several times faster than a division.
            unsafe {
                let r = _mm256_rcp_ps(a);
                _mm256_fmadd_ps(r, _mm256_fnmadd_ps(a, r, _mm256_set1_ps(1.0)), r)
            }
        }
    }

    /// AVX-512 F and DQ: 16 lanes.
    #[derive(Clone, Copy)]
    pub struct Avx512;

    #[inline(always)]
    fn mask16(n: usize) -> __mmask16 {
        debug_assert!(n <= 16);
        ((1u32 << n) - 1) as __mmask16
    }

    // SAFETY of every method: the trait's contract (instruction set present, pointers valid for the lanes).
    impl Simd for Avx512 {
        const LANES: usize = 16;
        type V = __m512;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m512 {
            unsafe { _mm512_set1_ps(x) }
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn load_first(p: *const f32, n: usize) -> __m512 {
            unsafe { _mm512_maskz_loadu_ps(mask16(n), p) }
        }
        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m512) {
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn store_first(p: *mut f32, v: __m512, n: usize) {
            unsafe { _mm512_mask_storeu_ps(p, mask16(n), v) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn sub(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn mul(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn max(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn min(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_min_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn positive(a: __m512) -> __m512 {
            unsafe {
                let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, _mm512_setzero_ps());
                _mm512_maskz_mov_ps(above, _mm512_set1_ps(1.0))
            }
        }
        #[inline(always)]
        unsafe fn fraction(a: __m512) -> __m512 {
            unsafe { _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a) }
        }
        #[inline(always)]
        unsafe fn scale_exp2(a: __m512, t: __m512) -> __m512 {
            unsafe { _mm512_scalef_ps(a, t) }
        }
        #[inline(always)]
        unsafe fn reciprocal(a: __m512) -> __m512 {
            // 14 bits from the table, doubled by a Newton step: several times faster than a division.
            unsafe {
                let r = _mm512_rcp14_ps(a);
                _mm512_fmadd_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(1.0)), r)
            }
        }
    }
}

/// Makes the run-time entry of a kernel that is generic over [`Simd`]: `name(isa, args..)` calls `generic::<S>(args..)`
/// compiled for that instruction set.
///
/// The generic function must be `#[inline(always)]`, so that its body is compiled with the entry's instruction set.
macro_rules! simd_kernel {
    ($(#[$meta:meta])* $name:ident = $generic:ident($($arg:ident: $ty:ty),* $(,)?)) => {
        $(#[$meta])*
        pub unsafe fn $name(isa: $crate::kernels::simd::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: the caller's contract, passed on; compiled for AVX2 here.
                unsafe { $generic::<$crate::kernels::simd::Avx2>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx2,fma")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: the caller's contract, passed on; compiled for AVX-512 here.
                unsafe { $generic::<$crate::kernels::simd::Avx512>($($arg),*) }
            }
            use $crate::kernels::simd::Isa;
            // SAFETY: an `Isa` other than `Scalar` comes from `Isa::detect`, so the processor has it; the pointers in the
            // arguments are the caller's promise.
            unsafe {
                match isa {
                    Isa::Scalar => $generic::<$crate::kernels::simd::Scalar>($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    Isa::Avx512 => avx512($($arg),*),
                }
            }
        }
    };
}
pub(crate) use simd_kernel;
