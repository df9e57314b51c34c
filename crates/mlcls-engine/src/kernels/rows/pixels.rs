//! From the bytes of an image to the numbers that the first convolution reads.

use crate::kernels::simd::{Simd, simd_kernel};

/// Elements that are done together: 16 pixels, a whole number of vectors of every width.
const BLOCK: usize = 48;

#[inline(always)]
unsafe fn normalise_line<S: Simd>(
    dst: *mut f32,
    src: *const u8,
    len: usize,
    scale: &[f32; 3],
    shift: &[f32; 3],
) {
    // SAFETY: the caller's contract.
    let (dst, src) =
        unsafe { (std::slice::from_raw_parts_mut(dst, len), std::slice::from_raw_parts(src, len)) };
    let (mut scales, mut shifts) = ([0.0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        (scales[i], shifts[i]) = (scale[i % 3], shift[i % 3]);
    }
    // Plain loops: with their length known the compiler makes vectors of them.
    let (to, to_rest) = dst.as_chunks_mut::<BLOCK>();
    let (from, from_rest) = src.as_chunks::<BLOCK>();
    for (to, from) in to.iter_mut().zip(from) {
        for i in 0..BLOCK {
            to[i] = f32::from(from[i]) * scales[i] + shifts[i];
        }
    }
    for (i, (to, from)) in to_rest.iter_mut().zip(from_rest).enumerate() {
        *to = f32::from(*from) * scales[i] + shifts[i];
    }
}

simd_kernel! {
    /// `dst = src * scale + shift` for `len` elements of three channels.
    ///
    /// # Safety
    /// `dst` and `src` must hold `len` elements.
    normalise_pixels =
        normalise_line(dst: *mut f32, src: *const u8, len: usize, scale: &[f32; 3], shift: &[f32; 3])
}
