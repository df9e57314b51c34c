//! Mixing an image with a smoothed version of itself.

use super::blend::blend;
use crate::image::Rgb;

/// The smoothed version is the mean over 3 x 3 pixels with weight 5 for the centre and 1 for the others (Pillow's
/// `ImageFilter.SMOOTH`), rounded to bytes; the pixels on the border stay as they are.
pub(super) fn sharpness(image: &mut Rgb, factor: f32) {
    let stride = image.stride();
    let height = image.height() as usize;
    let source = image.data().to_vec();
    let row = |y: usize| &source[y * stride..][..stride];
    for y in 1..height.saturating_sub(1) {
        let (above, middle, below) = (row(y - 1), row(y), row(y + 1));
        let out = &mut image.data_mut()[y * stride..][..stride];
        for i in 3..stride.saturating_sub(3) {
            let column = |i: usize| u32::from(above[i]) + u32::from(middle[i]) + u32::from(below[i]);
            let sum = column(i - 3) + column(i) + column(i + 3) + 4 * u32::from(middle[i]);
            let smooth = (2 * sum + 13) / 26;
            out[i] = blend(smooth as u8, middle[i], factor);
        }
    }
}
