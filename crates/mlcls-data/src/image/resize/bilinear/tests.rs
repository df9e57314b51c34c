//! Vectors beside the plain loops, and those beside the definition; OpenCV's pixels are compared in `tests/pipeline_reference.rs`.

use rand::{Rng, RngExt, SeedableRng};

use super::plain::Plain;
use super::*;
use crate::image::{Rgb, Window};

/// What passes make of a window of an image.
fn resized(mut passes: impl Passes, image: &Rgb, window: Window, [width, height]: [usize; 2]) -> Vec<u8> {
    let mut out = vec![0; width * height * 3];
    let rows = row_taps(&Axis::whole(window.height as usize, height));
    in_passes(&mut passes, &Source::new(image, window), &rows, &mut out);
    out
}

fn noise(rng: &mut impl Rng, width: u32, height: u32) -> Rgb {
    let mut image = Rgb::black(width, height);
    rng.fill_bytes(image.data_mut());
    image
}

#[test]
#[cfg(target_arch = "x86_64")]
fn vectors_and_plain_loops_agree_on_everything() {
    let Some(simd) = crate::image::avx2::avx2() else { return println!("skipped: no AVX2") };
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    for _ in 0..600 {
        let [width, height] = [0; 2].map(|_| rng.random_range(1..60));
        let mut image = noise(&mut rng, width, height);
        if rng.random() {
            // Only black and white: the greatest sums.
            image.data_mut().iter_mut().for_each(|byte| *byte = if *byte < 128 { 0 } else { 255 });
        }
        let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
        let (w, h) = (rng.random_range(1..=width - x), rng.random_range(1..=height - y));
        let window = Window { x, y, width: w, height: h };
        let sides = [0; 2].map(|_| rng.random_range(1..60));
        let columns = column_taps(&Axis::whole(w as usize, sides[0]));
        let plain = resized(Plain::new(&columns), &image, window, sides);
        let vectors = resized(avx2::Vectors::new(simd, &columns), &image, window, sides);
        assert!(plain == vectors, "{window:?} of {image:?} to {sides:?}");
    }
}

/// The definition in floating point: no more than one apart, from the rounding of the weights and of the first pass.
#[test]
fn pixels_are_the_mean_of_four_weighted_by_their_distances() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    for _ in 0..100 {
        let [from_width, from_height, width, height] = [0; 4].map(|_| rng.random_range(1..40_usize));
        let image = noise(&mut rng, from_width as u32, from_height as u32);
        let columns = column_taps(&Axis::whole(from_width, width));
        let found = resized(Plain::new(&columns), &image, image.window(), [width, height]);
        let along = |i: usize, from: usize, to: usize| {
            let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
            let at = at.clamp(0.0, (from - 1) as f64);
            let first = (at as usize).min(from.saturating_sub(2));
            [(first, 1.0 - (at - first as f64)), ((first + 1).min(from - 1), at - first as f64)]
        };
        for (i, &found) in found.iter().enumerate() {
            let (y, x, channel) = (i / 3 / width, i / 3 % width, i % 3);
            let mut exact = 0.0;
            for (row, row_weight) in along(y, from_height, height) {
                for (column, weight) in along(x, from_width, width) {
                    let value = image.data()[(row * from_width + column) * 3 + channel];
                    exact += row_weight * weight * f64::from(value);
                }
            }
            assert!((f64::from(found) - exact).abs() <= 1.0, "{found} for {exact} at {x} {y}");
        }
    }
}
