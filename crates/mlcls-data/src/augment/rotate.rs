//! Turn an image about its centre.

use crate::image::Rgb;

/// The image turned counter-clockwise about its centre by `degrees`, at the same size: nearest pixel, black
/// where nothing was. Bit for bit Pillow's `Image.rotate(degrees)` (`NEAREST`, no `expand`) for angles that
/// are no multiple of 90, which Pillow treats apart.
///
/// Output pixel (x, y) reads the input at the position that the inverse rotation sends its centre to, in
/// fixed-point arithmetic of 16 fractional bits. Sides up to 32767 pixels.
pub fn rotate(image: &Rgb, degrees: f64) -> Rgb {
    let (width, height) = (image.width() as i64, image.height() as i64);
    let (sin, cos) = (-degrees.to_radians()).sin_cos();
    let (centre_x, centre_y) = (width as f64 / 2.0, height as f64 / 2.0);
    let fixed = |v: f64| (v * 65536.0 + 0.5).floor() as i64;
    // [x', y'] = [cos sin; -sin cos] ([x, y] - centre) + centre, at pixel centres.
    let (sin, cos) = (round15(sin), round15(cos));
    let offset_x = cos * -centre_x + sin * -centre_y + centre_x;
    let offset_y = -sin * -centre_x + cos * -centre_y + centre_y;
    let (step_xx, step_xy) = (fixed(cos), fixed(sin));
    let (step_yx, step_yy) = (fixed(-sin), fixed(cos));
    let mut row_x = fixed(offset_x + cos * 0.5 + sin * 0.5);
    let mut row_y = fixed(offset_y - sin * 0.5 + cos * 0.5);

    let mut out = Rgb::black(image.width(), image.height());
    let stride = image.stride();
    for row in out.data_mut().chunks_exact_mut(stride) {
        let (mut x, mut y) = (row_x, row_y);
        for pixel in row.chunks_exact_mut(3) {
            let (from_x, from_y) = (x >> 16, y >> 16);
            if (0..width).contains(&from_x) && (0..height).contains(&from_y) {
                let at = from_y as usize * stride + from_x as usize * 3;
                pixel.copy_from_slice(&image.data()[at..at + 3]);
            }
            x += step_xx;
            y += step_yx;
        }
        row_x += step_xy;
        row_y += step_yy;
    }
    out
}

/// Pillow rounds sine and cosine to 15 decimals.
fn round15(v: f64) -> f64 {
    (v * 1e15).round_ties_even() / 1e15
}
