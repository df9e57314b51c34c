//! Mirror an image left to right.

use crate::image::Rgb;

/// Mirrors the image left to right, in place.
///
/// ```
/// use mlcls_data::{Rgb, augment::flip_horizontal};
///
/// let mut image = Rgb::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
/// flip_horizontal(&mut image);
/// assert_eq!(image.data(), [4, 5, 6, 1, 2, 3]);
/// ```
pub fn flip_horizontal(image: &mut Rgb) {
    let stride = image.stride();
    for row in image.data_mut().chunks_exact_mut(stride) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        pixels.reverse();
    }
}
