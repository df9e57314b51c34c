//! Luma and chroma to RGB.

/// JFIF's conversion (ITU-R BT.601, all 256 levels) of a row, in libjpeg's fixed point, to the bit:
///
/// ```text
/// R = Y + 1.40200 (Cr - 128)
/// G = Y - 0.34414 (Cb - 128) - 0.71414 (Cr - 128)
/// B = Y + 1.77200 (Cb - 128)
/// ```
#[inline(always)]
pub(super) fn to_rgb(luma: &[u8], blue: &[u8], red: &[u8], out: &mut [u8]) {
    // Products of 16 bits where one is enough: 26345 / 65536 is 0.40200, -14942 / 65536 is 1.77200 - 2, and their
    // arguments are doubled, as the last bit goes into the rounding.
    const HALF: i32 = 1 << 15;
    let level = |value: i16| value.clamp(0, 255) as u8;
    let inputs = luma.iter().zip(blue).zip(red);
    for (out, ((&y, &cb), &cr)) in out.as_chunks_mut::<3>().0.iter_mut().zip(inputs) {
        let (y, cb, cr) = (i16::from(y), i16::from(cb) - 128, i16::from(cr) - 128);
        let r = cr + ((high(2 * cr, 26345) + 1) >> 1);
        let b = 2 * cb + ((high(2 * cb, -14942) + 1) >> 1);
        let g = ((-22554 * i32::from(cb) + 18734 * i32::from(cr) + HALF) >> 16) as i16 - cr;
        out[0] = level(y + r);
        out[1] = level(y + g);
        out[2] = level(y + b);
    }
}

/// The upper half of a product.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// A grey row.
#[inline(always)]
pub(super) fn grey_to_rgb(luma: &[u8], out: &mut [u8]) {
    for (out, &y) in out.as_chunks_mut::<3>().0.iter_mut().zip(luma) {
        *out = [y; 3];
    }
}
