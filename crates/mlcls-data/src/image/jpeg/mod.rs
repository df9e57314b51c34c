//! A decoder for the JPEGs that nearly all photos are, faster than the library's, at full size or smaller.
//!
//! It knows sequential Huffman coding (baseline) of 8-bit grey or YCbCr in one scan, chroma at full or half
//! resolution, restart markers. Everything else, and everything that is damaged, it leaves to the library, which
//! decodes it or says what is wrong.
//!
//! At full size the pixels are those of libjpeg (and so of Pillow, OpenCV and torchvision) to the bit: its
//! accurate integer transform, its interpolation of chroma, its conversion of colours. At 1/8 to 4/8 only the
//! lowest frequencies of each block are transformed, to 1 x 1 up to 4 x 4 samples, as libjpeg 7 and later do; chroma at
//! half resolution is transformed to twice as many and needs no interpolation. That removes frequencies that the
//! smaller picture cannot hold before they are mixed into others.

mod bits;
mod block;
mod colour;
mod header;
mod huffman;
mod idct;
mod idct_avx2;
mod picture;
mod plane;
#[cfg(test)]
mod tests;
mod upsample;

use multiversion::multiversion;

use super::avx2::avx2;
use picture::Picture;

/// Samples per side of a stored block.
const BLOCK: usize = 8;

/// A decoded picture, as it is stored.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub width: u32,
    pub height: u32,
    /// R G B per pixel, rows from the top.
    pub rgb: Vec<u8>,
    /// The EXIF block, from its byte-order mark.
    pub exif: Option<&'a [u8]>,
}

/// Decodes a JPEG of at most `limit` pixels: at the smallest of 1/8, 2/8, 3/8 and 4/8 of which both sides have
/// `least` pixels, else, or without `least`, at full size. `None` for what this decoder does not know.
pub(super) fn decode(bytes: &[u8], least: Option<u64>, limit: u64) -> Option<Decoded<'_>> {
    let header = header::read(bytes)?;
    let (width, height) = (header.width, header.height);
    if width as u64 * height as u64 > limit {
        return None;
    }
    let enough =
        |&eighths: &usize| least.is_some_and(|least| scaled(width.min(height), eighths) as u64 >= least);
    let eighths = (1..=4).find(enough).unwrap_or(BLOCK);
    let exif = header.exif;
    let rgb = pixels(Picture::new(header, eighths, avx2())?)?;
    Some(Decoded { width: scaled(width, eighths) as u32, height: scaled(height, eighths) as u32, rgb, exif })
}

/// The loops of [`Picture::decode`], compiled for the vectors of several processors.
#[multiversion(targets = "simd")]
fn pixels(picture: Picture) -> Option<Vec<u8>> {
    picture.decode()
}

/// A side of the picture at so many eighths.
fn scaled(side: usize, eighths: usize) -> usize {
    (side * eighths).div_ceil(BLOCK)
}
