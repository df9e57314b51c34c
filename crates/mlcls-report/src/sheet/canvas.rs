//! Pixels to draw on: images and letters.

use font8x8::{BASIC_FONTS, GREEK_FONTS, HIRAGANA_FONTS, LATIN_FONTS, UnicodeFonts};
use mlcls_data::Rgb;

/// Side of a letter in pixels, at scale 1.
pub(super) const LETTER: u32 = 8;

/// What stands for a letter that the font does not have.
const BOX: [u8; 8] = [0x00, 0x7e, 0x42, 0x42, 0x42, 0x42, 0x7e, 0x00];

pub(super) struct Canvas(Rgb);

impl Canvas {
    pub(super) fn white(width: u32, height: u32) -> Self {
        let mut rgb = Rgb::black(width, height);
        rgb.data_mut().fill(255);
        Self(rgb)
    }

    pub(super) fn into_rgb(self) -> Rgb {
        self.0
    }

    /// Sets a pixel; outside of the canvas nothing happens.
    fn dot(&mut self, x: u32, y: u32, colour: [u8; 3]) {
        let (width, height) = (self.0.width(), self.0.height());
        if x < width && y < height {
            let at = 3 * (y as usize * width as usize + x as usize);
            self.0.data_mut()[at..at + 3].copy_from_slice(&colour);
        }
    }

    /// Copies a square image of `size * size * 3` bytes.
    pub(super) fn image(&mut self, left: u32, top: u32, size: u32, pixels: &[u8]) {
        for (i, pixel) in (0u32..).zip(pixels.chunks_exact(3)) {
            self.dot(left + i % size, top + i / size, [pixel[0], pixel[1], pixel[2]]);
        }
    }

    /// Writes a line of text, each letter `8 * scale` wide and high.
    pub(super) fn text(&mut self, left: u32, top: u32, scale: u32, colour: [u8; 3], text: &str) {
        for (i, letter) in (0u32..).zip(text.chars()) {
            for (row, bits) in (0u32..).zip(glyph(letter)) {
                for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                    let (x, y) = (left + (i * LETTER + column) * scale, top + row * scale);
                    for dy in 0..scale {
                        for dx in 0..scale {
                            self.dot(x + dx, y + dy, colour);
                        }
                    }
                }
            }
        }
    }
}

/// Rows from the top, the lowest bit to the left.
fn glyph(letter: char) -> [u8; 8] {
    BASIC_FONTS
        .get(letter)
        .or_else(|| LATIN_FONTS.get(letter))
        .or_else(|| GREEK_FONTS.get(letter))
        .or_else(|| HIRAGANA_FONTS.get(letter))
        .filter(|_| !letter.is_control())
        .unwrap_or(BOX)
}
