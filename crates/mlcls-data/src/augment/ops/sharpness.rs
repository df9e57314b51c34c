//! Mixing an image with a smoothed version of itself.

use multiversion::multiversion;

use super::blend::blend_rows;
use crate::image::Rgb;

/// The smoothed version is the mean over 3 x 3 pixels with weight 5 for the centre and 1 for the others (Pillow's
/// `ImageFilter.SMOOTH`), rounded to bytes; the pixels on the border stay as they are.
pub(super) fn sharpness(image: &mut Rgb, factor: f32) {
    let stride = image.stride();
    let height = image.height() as usize;
    if stride < 9 {
        return; // All of it is border.
    }
    let source = image.data().to_vec();
    let row = |y: usize| &source[y * stride..][..stride];
    let mut columns = vec![0; stride];
    let mut smooth = vec![0; stride - 6];
    for y in 1..height.saturating_sub(1) {
        let (above, middle, below) = (row(y - 1), row(y), row(y + 1));
        smooth_row([above, middle, below], &mut columns, &mut smooth);
        let out = &mut image.data_mut()[y * stride..][3..stride - 3];
        blend_rows(&smooth, out, factor);
    }
}

/// The smoothed pixels of the middle row but the first and the last; `columns` is for the sums of three.
#[multiversion(targets = "simd")]
fn smooth_row([above, middle, below]: [&[u8]; 3], columns: &mut [u16], out: &mut [u8]) {
    for (((column, &a), &b), &c) in columns.iter_mut().zip(above).zip(middle).zip(below) {
        *column = u16::from(a) + u16::from(b) + u16::from(c);
    }
    let three = columns.iter().zip(&columns[3..]).zip(&columns[6..]);
    for ((out, ((left, here), right)), &centre) in out.iter_mut().zip(three).zip(&middle[3..]) {
        let sum = left + here + right + 4 * u16::from(centre);
        *out = ((2 * sum + 13) / 26) as u8;
    }
}
