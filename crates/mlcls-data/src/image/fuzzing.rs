//! What the fuzz target `jpeg` calls: our own decoder, without the library behind it and without anything that catches a panic.

use super::Window;
use super::jpeg::{Decoded, Jpeg};

/// Pixels that a picture may have here: few enough for thousands of pictures in a second.
const LIMIT: u64 = 1 << 16;

/// A JPEG. What decodes keeps to the limit, and does so at every scale, with the sides that the scale gives; a window has
/// the pixels of the whole.
pub fn jpeg(bytes: &[u8]) {
    let smallest = decode(bytes, Some(0), LIMIT);
    let Some(full) = decode(bytes, None, LIMIT) else {
        // Interpolation of narrow chroma is left to the library; smaller scales interpolate nothing.
        assert!(smallest.is_none_or(|small| small.width == 1));
        return;
    };
    assert_eq!(full.rgb.len() as u64, u64::from(full.width) * u64::from(full.height) * 3);
    let pixels = full.rgb.len() as u64 / 3;
    assert!((1..=LIMIT).contains(&pixels));
    assert!(decode(bytes, None, pixels - 1).is_none());
    a_window_is_part_of(&full, bytes, None);
    for eighths in 1..=4 {
        let sides = [full.width, full.height].map(|side| (side * eighths).div_ceil(8));
        let [width, height] = sides;
        let least = u64::from(width.min(height));
        let small = decode(bytes, Some(least), LIMIT).expect("what decodes whole decodes at each scale");
        // Of scales with the same shorter side the smallest is taken.
        assert!(small.width <= width && small.height <= height);
        assert_eq!(u64::from(small.width.min(small.height)), least);
        assert_eq!(small.rgb.len() as u64, u64::from(small.width) * u64::from(small.height) * 3);
        a_window_is_part_of(&small, bytes, Some(least));
    }
}

/// Compares a window that depends on the last bytes.
fn a_window_is_part_of(whole: &Decoded, bytes: &[u8], least: Option<u64>) {
    let mut numbers = bytes.iter().rev().skip(2).map(|&byte| u32::from(byte));
    let mut range = |side: u32| {
        let start = numbers.next().unwrap_or(0) * side / 256;
        (start, 1 + numbers.next().unwrap_or(0) * (side - start) / 256)
    };
    let ((x, width), (y, height)) = (range(whole.width), range(whole.height));
    let jpeg = Jpeg::open(bytes, LIMIT, least).expect("what decodes has a header");
    let found = jpeg.window(Window { x, y, width, height }).expect("what decodes whole decodes in part");
    let rows = whole.rgb.chunks_exact(3 * whole.width as usize).skip(y as usize);
    let columns = 3 * x as usize..3 * (x + width) as usize;
    assert_eq!(found.len(), 3 * (width * height) as usize);
    for (found, row) in found.chunks_exact(columns.len()).zip(rows) {
        assert!(found == &row[columns.clone()], "the window {x} {y} {width} {height}");
    }
}

fn decode(bytes: &[u8], least: Option<u64>, limit: u64) -> Option<Decoded> {
    Jpeg::open(bytes, limit, least)?.decode()
}
