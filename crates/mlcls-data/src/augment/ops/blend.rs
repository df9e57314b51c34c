//! Mixing an image with a plainer version of itself, as Pillow's `ImageEnhance` does.

use multiversion::multiversion;

use super::look_up::look_up;
use crate::augment::floor::floor_byte;
use crate::image::Rgb;

/// `plain + factor * (value - plain)`, cut to 0..=255 and truncated, in single precision.
#[inline(always)]
fn blend(plain: u8, value: u8, factor: f32) -> u8 {
    floor_byte(f32::from(plain) + factor * (f32::from(value) - f32::from(plain)))
}

/// Blends each value with the plain one at its place.
#[multiversion(targets = "simd")]
pub(super) fn blend_rows(plain: &[u8], values: &mut [u8], factor: f32) {
    for (value, &plain) in values.iter_mut().zip(plain) {
        *value = blend(plain, *value, factor);
    }
}

/// Luma with the weights of ITU-R 601 in 16 fractional bits, rounded.
#[inline(always)]
fn grey(pixel: &[u8; 3]) -> u8 {
    let [r, g, b] = pixel.map(u32::from);
    ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16) as u8
}

/// Blends every value with the same plain one.
fn blend_all(image: &mut Rgb, plain: u8, factor: f32) {
    let table = std::array::from_fn(|value| blend(plain, value as u8, factor));
    look_up(image, &[table; 3]);
}

pub(super) fn brightness(image: &mut Rgb, factor: f32) {
    blend_all(image, 0, factor);
}

pub(super) fn contrast(image: &mut Rgb, factor: f32) {
    let (pixels, _) = image.data().as_chunks::<3>();
    let mean = (sum_of_greys(pixels) as f64 / pixels.len() as f64 + 0.5) as u8;
    blend_all(image, mean, factor);
}

#[multiversion(targets = "simd")]
fn sum_of_greys(pixels: &[[u8; 3]]) -> u64 {
    pixels.iter().map(|pixel| u64::from(grey(pixel))).sum()
}

pub(super) fn color(image: &mut Rgb, factor: f32) {
    let stride = image.stride();
    let mut plain = vec![0; stride];
    for row in image.data_mut().chunks_exact_mut(stride) {
        grey_row(row, &mut plain);
        blend_rows(&plain, row, factor);
    }
}

#[multiversion(targets = "simd")]
fn grey_row(row: &[u8], out: &mut [u8]) {
    for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<3>().0) {
        *out = [grey(pixel); 3];
    }
}
