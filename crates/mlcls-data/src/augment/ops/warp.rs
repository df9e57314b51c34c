//! Affine warps as OpenCV 4.8 does them on bytes.

use crate::image::Rgb;

/// Fractional bits of a position while it is computed.
const POSITION_BITS: u32 = 10;
/// Fractional bits of a position when pixels are mixed: 1/32 of a pixel.
const MIX_BITS: u32 = 5;
const MIX_ONE: i32 = 1 << MIX_BITS;

/// The image read at `x' = a x + b y + c`, `y' = d x + e y + f` for `map = [a, b, c, d, e, f]`: bilinear between
/// four pixels, black outside.
///
/// The map leads from output to input; `cv2.warpAffine` takes the opposite one unless told `WARP_INVERSE_MAP`.
pub(super) fn warp_affine(image: &Rgb, map: [f64; 6]) -> Rgb {
    let [a, b, c, d, e, f] = map;
    let fixed = |v: f64| (v * f64::from(1 << POSITION_BITS)).round_ties_even() as i32;
    let half_step = 1 << (POSITION_BITS - MIX_BITS - 1);
    let columns: Vec<(i32, i32)> =
        (0..image.width()).map(|x| (fixed(a * f64::from(x)), fixed(d * f64::from(x)))).collect();
    let mut out = Rgb::black(image.width(), image.height());
    let stride = image.stride();
    for (y, row) in out.data_mut().chunks_exact_mut(stride).enumerate() {
        let row_x = fixed(b * y as f64 + c).saturating_add(half_step);
        let row_y = fixed(e * y as f64 + f).saturating_add(half_step);
        for ((x, y), pixel) in columns.iter().zip(row.as_chunks_mut::<3>().0) {
            let at = |v: i32| v >> (POSITION_BITS - MIX_BITS);
            *pixel = sample(image, at(row_x.saturating_add(*x)), at(row_y.saturating_add(*y)));
        }
    }
    out
}

/// The mix of the four pixels around a position in 1/32 pixels.
#[inline]
fn sample(image: &Rgb, x: i32, y: i32) -> [u8; 3] {
    let (left, top) = (x >> MIX_BITS, y >> MIX_BITS);
    let (right_part, lower_part) = (x & (MIX_ONE - 1), y & (MIX_ONE - 1));
    let corners = [
        (left, top, (MIX_ONE - right_part) * (MIX_ONE - lower_part)),
        (left + 1, top, right_part * (MIX_ONE - lower_part)),
        (left, top + 1, (MIX_ONE - right_part) * lower_part),
        (left + 1, top + 1, right_part * lower_part),
    ];
    let mut sum = [1 << (2 * MIX_BITS - 1); 3]; // One half, for rounding.
    for (x, y, weight) in corners {
        if let Some(pixel) = pixel(image, x, y) {
            for c in 0..3 {
                sum[c] += i32::from(pixel[c]) * weight;
            }
        }
    }
    sum.map(|v| (v >> (2 * MIX_BITS)) as u8)
}

#[inline]
fn pixel(image: &Rgb, x: i32, y: i32) -> Option<&[u8; 3]> {
    let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
    let inside = x < image.width() && y < image.height();
    inside.then(|| image.data()[y as usize * image.stride() + x as usize * 3..].first_chunk())?
}
