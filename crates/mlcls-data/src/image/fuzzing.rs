//! What the fuzz target `jpeg` calls: our own decoder, without the library behind it and without anything that catches a panic.

use super::jpeg::{Decoded, Jpeg};

/// Pixels that a picture may have here: few enough for thousands of pictures in a second.
const LIMIT: u64 = 1 << 16;

/// A JPEG. What decodes keeps to the limit, and does so at every scale, with the sides that the scale gives.
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
    for eighths in 1..=4 {
        let sides = [full.width, full.height].map(|side| (side * eighths).div_ceil(8));
        let [width, height] = sides;
        let least = u64::from(width.min(height));
        let small = decode(bytes, Some(least), LIMIT).expect("what decodes whole decodes at each scale");
        // Of scales with the same shorter side the smallest is taken.
        assert!(small.width <= width && small.height <= height);
        assert_eq!(u64::from(small.width.min(small.height)), least);
        assert_eq!(small.rgb.len() as u64, u64::from(small.width) * u64::from(small.height) * 3);
    }
}

fn decode(bytes: &[u8], least: Option<u64>, limit: u64) -> Option<Decoded> {
    Jpeg::open(bytes, limit)?.decode(least)
}
