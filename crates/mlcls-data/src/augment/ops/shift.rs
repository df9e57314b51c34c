//! Moving rows or columns by a part of a pixel, as OpenCV 4.8's `warpAffine` does on bytes: positions in 1/32 of a
//! pixel, bilinear between two pixels, black outside.
//!
//! Shears and shifts along one axis are all that is needed, and there each row (or column) has one shift.

use crate::image::Rgb;

/// A position of 10 fractional bits is rounded to these 5.
const MIX_BITS: u32 = 5;
const MIX_ONE: i32 = 1 << MIX_BITS;

/// A shift: whole pixels and 1/32 pixels.
fn split(shift: f64) -> (isize, i32) {
    let fixed = (shift * 1024.0).round_ties_even() as i32;
    let position = fixed.saturating_add(MIX_ONE / 2) >> MIX_BITS;
    ((position >> MIX_BITS) as isize, position & (MIX_ONE - 1))
}

#[inline]
fn mix(a: u8, b: u8, fraction: i32) -> u8 {
    ((i32::from(a) * (MIX_ONE - fraction) + i32::from(b) * fraction + MIX_ONE / 2) >> MIX_BITS) as u8
}

/// Row y is read `shift(y)` pixels further right.
pub(super) fn shift_rows(image: &mut Rgb, shift: impl Fn(f64) -> f64) {
    let stride = image.stride();
    let width = image.width() as isize;
    // The pixels from the shifted position on: one more than a row has, to mix with the next.
    let mut moved = vec![0u8; stride + 3];
    for (y, row) in image.data_mut().chunks_exact_mut(stride).enumerate() {
        let (whole, fraction) = split(shift(y as f64));
        let whole = whole.clamp(-width - 1, width);
        let start = whole.max(0) as usize * 3;
        let target = (-whole).max(0) as usize * 3;
        let len = (stride - start).min((stride + 3).saturating_sub(target));
        moved.fill(0);
        if len > 0 {
            moved[target..][..len].copy_from_slice(&row[start..][..len]);
        }
        for ((out, &a), &b) in row.iter_mut().zip(&moved).zip(&moved[3..]) {
            *out = mix(a, b, fraction);
        }
    }
}

/// Column x is read `shift(x)` pixels further down.
pub(super) fn shift_columns(image: &mut Rgb, shift: impl Fn(f64) -> f64) {
    let stride = image.stride();
    let height = image.height() as isize;
    let source = image.data().to_vec();
    let columns: Vec<_> = (0..image.width()).map(|x| split(shift(f64::from(x)))).collect();
    let pixel = |x: usize, y: isize| -> [u8; 3] {
        if !(0..height).contains(&y) {
            return [0; 3];
        }
        source[y as usize * stride + x * 3..].first_chunk().copied().unwrap_or_default()
    };
    for (y, row) in image.data_mut().chunks_exact_mut(stride).enumerate() {
        for (x, (out, &(whole, fraction))) in row.as_chunks_mut::<3>().0.iter_mut().zip(&columns).enumerate()
        {
            let from = y as isize + whole;
            let (a, b) = (pixel(x, from), pixel(x, from + 1));
            *out = std::array::from_fn(|c| mix(a[c], b[c], fraction));
        }
    }
}
