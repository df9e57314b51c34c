//! Moving rows or columns by a part of a pixel, as OpenCV 4.8's `warpAffine` does on bytes: positions in 1/32 of a
//! pixel, bilinear between two pixels, black outside.
//!
//! Shears and shifts along one axis are all that is needed, and there each row (or column) has one shift.

use multiversion::multiversion;

use crate::image::Rgb;

/// A position of 10 fractional bits is rounded to these 5.
const MIX_BITS: u32 = 5;
const MIX_ONE: u8 = 1 << MIX_BITS;

/// A shift: whole pixels and 1/32 pixels.
fn split(shift: f64) -> (isize, u8) {
    let one = i32::from(MIX_ONE);
    let fixed = (shift * 1024.0).round_ties_even() as i32;
    let position = fixed.saturating_add(one / 2) >> MIX_BITS;
    ((position >> MIX_BITS) as isize, (position & (one - 1)) as u8)
}

/// Each value of `a` with the one of `b`, by the fraction at its place.
#[multiversion(targets = "simd")]
fn mix(a: &[u8], b: &[u8], fractions: &[u8], out: &mut [u8]) {
    for (((out, &a), &b), &fraction) in out.iter_mut().zip(a).zip(b).zip(fractions) {
        let (a, b, fraction, one) = (u16::from(a), u16::from(b), u16::from(fraction), u16::from(MIX_ONE));
        *out = ((a * (one - fraction) + b * fraction + one / 2) >> MIX_BITS) as u8;
    }
}

/// Row y is read `shift(y)` pixels further right.
pub(super) fn shift_rows(image: &mut Rgb, shift: impl Fn(f64) -> f64) {
    let stride = image.stride();
    let width = image.width() as isize;
    // The pixels from the shifted position on: one more than a row has, to mix with the next.
    let mut moved = vec![0u8; stride + 3];
    let mut fractions = vec![0; stride];
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
        fractions.fill(fraction);
        mix(&moved, &moved[3..], &fractions, row);
    }
}

/// Bytes that are moved at once; a processor does it in two instructions.
const BLOCK: usize = 32;

/// Column x is read `shift(x)` pixels further down.
pub(super) fn shift_columns(image: &mut Rgb, shift: impl Fn(f64) -> f64) {
    let stride = image.stride();
    let (width, height) = (image.width() as usize, image.height() as isize);
    let columns: Vec<_> = (0..image.width()).map(|x| split(shift(f64::from(x)))).collect();
    let fractions: Vec<u8> = columns.iter().flat_map(|&(_, fraction)| [fraction; 3]).collect();

    // The columns moved by their whole pixels, with one row more than the image has, to mix with the next. Neighbours that move
    // alike move together, in blocks that may reach into the next ones' place: these come later.
    let moved_stride = stride + BLOCK;
    let mut moved = vec![0u8; moved_stride * (height as usize + 1)];
    let mut x = 0;
    for run in columns.chunk_by(|a, b| a.0 == b.0) {
        let whole = run[0].0;
        for block in (x * 3..(x + run.len()) * 3).step_by(BLOCK) {
            for (y, out) in moved.chunks_exact_mut(moved_stride).enumerate() {
                let out = &mut out[block..block + BLOCK];
                let from = y as isize + whole;
                if !(0..height).contains(&from) {
                    out.fill(0);
                    continue;
                }
                let source = &image.data()[from as usize * stride + block..];
                match source.first_chunk::<BLOCK>() {
                    Some(source) => out.copy_from_slice(source),
                    None => out[..source.len()].copy_from_slice(source),
                }
            }
        }
        x += run.len();
    }
    debug_assert_eq!(x, width);
    for (y, row) in image.data_mut().chunks_exact_mut(stride).enumerate() {
        let (a, b) = (&moved[y * moved_stride..][..stride], &moved[(y + 1) * moved_stride..][..stride]);
        mix(a, b, &fractions, row);
    }
}
