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

mod basis;
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
mod zigzag;

use multiversion::multiversion;

use super::Window;
use super::avx2::avx2;
use header::Header;
use picture::Picture;

/// Samples per side of a stored block.
const BLOCK: usize = 8;

/// A JPEG that this decoder knows, as far as its header shows.
#[derive(Debug)]
pub(super) struct Jpeg<'a> {
    header: Header<'a>,
    /// 1 to 4 or 8: the picture's size over that of the file, in eighths.
    eighths: usize,
}

/// A decoded picture, turned as it is stored.
#[derive(Debug)]
pub(super) struct Decoded {
    pub width: u32,
    pub height: u32,
    /// R G B per pixel, rows from the top.
    pub rgb: Vec<u8>,
}

impl<'a> Jpeg<'a> {
    /// Reads the header of a JPEG of at most `limit` pixels. The picture is the smallest of 1/8, 2/8, 3/8 and 4/8 of
    /// which both sides have `least` pixels, else, or without `least`, at full size. `None` for what this decoder does not
    /// know.
    pub(super) fn open(bytes: &'a [u8], limit: u64, least: Option<u64>) -> Option<Self> {
        let header = header::read(bytes)?;
        let short = header.width.min(header.height);
        let enough = |&eighths: &usize| least.is_some_and(|least| scaled(short, eighths) as u64 >= least);
        let eighths = (1..=4).find(enough).unwrap_or(BLOCK);
        (header.width as u64 * header.height as u64 <= limit).then_some(Self { header, eighths })
    }

    /// Width and height of the picture.
    pub(super) fn sides(&self) -> (u32, u32) {
        let side = |side| scaled(side, self.eighths) as u32;
        (side(self.header.width), side(self.header.height))
    }

    /// The EXIF block, from its byte-order mark.
    pub(super) fn exif(&self) -> Option<&'a [u8]> {
        self.header.exif
    }

    /// The picture. `None` for damaged data.
    pub(super) fn decode(self) -> Option<Decoded> {
        let (width, height) = self.sides();
        let rgb = pixels(Picture::new(self.header, self.eighths, None, avx2())?)?;
        Some(Decoded { width, height, rgb })
    }

    /// A window of the picture, as pixels. `None` for damaged data, wherever the damage is.
    pub(super) fn window(self, window: Window) -> Option<Vec<u8>> {
        pixels(Picture::new(self.header, self.eighths, Some(window), avx2())?)
    }
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
