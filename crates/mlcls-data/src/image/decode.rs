//! Bytes of an image file to RGB pixels.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::error::ImageError as Codec;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use super::jpeg::Jpeg;
use super::{ImageError, ImageProblem, Rgb, Window};

/// The most pixels that a file may hold: 2^27, about 134 million. Checked in the header, before the pixels
/// are allocated, so that a small file cannot claim all memory.
pub const MAX_PIXELS: u64 = 1 << 27;

/// The most memory that a decoder may take for itself, in bytes.
const MAX_ALLOCATION: u64 = 1 << 30;

/// Reads and decodes an image file; see [`decode`].
///
/// # Errors
/// The file and what is wrong with it: unreadable, empty, of no supported format, truncated, damaged, too
/// large.
pub fn decode_file(path: &Path) -> Result<Rgb, ImageError> {
    decode_file_for(path, None)
}

/// Reads and decodes an image file at the scale that `side` asks for; see [`decode_for`].
pub(crate) fn decode_file_for(path: &Path, side: Option<u32>) -> Result<Rgb, ImageError> {
    std::fs::read(path)
        .map_err(ImageProblem::Read)
        .and_then(|bytes| decode_for(&bytes, side))
        .map_err(|problem| ImageError { path: path.to_owned(), problem })
}

/// Decodes a JPEG, PNG, WebP, BMP, GIF (first frame) or TIFF image, found by its first bytes, to 8-bit RGB.
///
/// - EXIF orientation is applied.
/// - Grey becomes three equal channels; CMYK and YCCK JPEGs are converted.
/// - An alpha channel is dropped and the colour below it shows, as with `cv2.imread` (which OTX reads with)
///   and Pillow's `convert("RGB")`: nothing is composed over a background.
/// - 16-bit samples are scaled to 8 bits with rounding (`cv2.imread` cuts the low byte off: at most 1 apart).
/// - Colour profiles are ignored.
///
/// Baseline JPEGs, which nearly all photos are, give the pixels of libjpeg (so Pillow, OpenCV, torchvision) to the bit.
///
/// # Errors
/// See [`ImageProblem`]. No input makes it panic: a panic inside a codec comes back as an error.
pub fn decode(bytes: &[u8]) -> Result<Rgb, ImageProblem> {
    decode_for(bytes, None)
}

/// Decodes an image as [`decode`] does, smaller where that is enough for `side`: a baseline JPEG comes at the
/// smallest of 1/8, 2/8, 3/8 and 4/8 of its size of which both sides have `2 * side` pixels or more. All other
/// images, and photos under four times `side`, come whole, and so does everything without a `side`.
///
/// The factor of 2 leaves a resize to `side` pixels its choice of filter; what a small scale takes away, it would
/// have averaged or stepped over. The time goes down to the half.
///
/// # Errors
/// As [`decode`].
pub fn decode_for(bytes: &[u8], side: Option<u32>) -> Result<Rgb, ImageProblem> {
    guarded(|| {
        if let Some(jpeg) = Jpeg::open(bytes, MAX_PIXELS, least(side))
            && let orientation = orientation(&jpeg)
            && let Some(fast) = jpeg.decode()
            && let Some(image) = RgbImage::from_raw(fast.width, fast.height, fast.rgb)
        {
            return turned(image.into(), orientation);
        }
        let (mut decoder, format) = open(bytes)?;
        // A damaged EXIF block says nothing about the pixels.
        let orientation = decoder.orientation().ok();
        turned(
            DynamicImage::from_decoder(decoder).map_err(|error| codec_problem(error, format))?,
            orientation,
        )
    })
}

/// A file of which a window can be decoded without the rest becoming pixels: a baseline JPEG that is not turned.
pub(crate) struct UprightJpeg<'a>(Jpeg<'a>);

impl<'a> UprightJpeg<'a> {
    /// Reads the header, for the scale of [`decode_for`]. `None` for every other file.
    pub(crate) fn open(bytes: &'a [u8], side: Option<u32>) -> Option<Self> {
        let upright = |jpeg: &Jpeg| matches!(orientation(jpeg), None | Some(Orientation::NoTransforms));
        or_nothing(|| Jpeg::open(bytes, MAX_PIXELS, least(side)).filter(upright)).map(Self)
    }

    /// Width and height of what [`decode_for`] gives.
    pub(crate) fn sides(&self) -> (u32, u32) {
        self.0.sides()
    }

    /// A window of what [`decode_for`] gives. All of the file is read, so damage is found wherever it is; `None` then, as
    /// another decoder may know what to do.
    pub(crate) fn window(self, window: Window) -> Option<Rgb> {
        or_nothing(|| Rgb::new(window.width, window.height, self.0.window(window)?))
    }
}

/// The least pixels that both sides of a picture for `side` must have.
fn least(side: Option<u32>) -> Option<u64> {
    side.map(|side| 2 * u64::from(side))
}

fn orientation(jpeg: &Jpeg) -> Option<Orientation> {
    jpeg.exif().and_then(Orientation::from_exif_chunk)
}

fn turned(mut image: DynamicImage, orientation: Option<Orientation>) -> Result<Rgb, ImageProblem> {
    image.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    let image = image.into_rgb8();
    Rgb::new(image.width(), image.height(), image.into_raw())
        .ok_or_else(|| ImageProblem::Decode("it has no pixels".into()))
}

/// Checks what [`decode`] checks before it turns to the pixels: the format, the header, the number of pixels,
/// and that JPEG, PNG and WebP data reaches its end.
pub(crate) fn check(bytes: &[u8]) -> Result<(), ImageProblem> {
    guarded(|| open(bytes).map(drop))
}

pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ImageProblem>) -> Result<T, ImageProblem> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ImageProblem::Decode("the decoder failed on this data".into())))
}

/// What `read` gives; nothing when it panics.
fn or_nothing<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    guarded(|| Ok(read())).ok().flatten()
}

/// A decoder that has read the header of complete data.
fn open(bytes: &[u8]) -> Result<(impl ImageDecoder + '_, ImageFormat), ImageProblem> {
    let format = format_of(bytes)?;
    if !is_complete(bytes, format) {
        return Err(ImageProblem::Truncated(format_name(format)));
    }
    Ok((open_header(bytes)?, format))
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, ImageProblem> {
    if bytes.is_empty() {
        return Err(ImageProblem::Empty);
    }
    image::guess_format(bytes).map_err(|_| unknown_format(bytes))
}

/// A decoder that has read the header; the data may end anywhere behind it.
pub(super) fn open_header(bytes: &[u8]) -> Result<impl ImageDecoder + '_, ImageProblem> {
    let format = format_of(bytes)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|error| codec_problem(error, format))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageProblem::TooLarge { width, height, limit: MAX_PIXELS });
    }
    Ok(decoder)
}

fn unknown_format(bytes: &[u8]) -> ImageProblem {
    let start: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    ImageProblem::UnknownFormat(start.join(" "))
}

fn codec_problem(error: Codec, format: ImageFormat) -> ImageProblem {
    match error {
        Codec::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageProblem::Truncated(format_name(format))
        }
        other => ImageProblem::Decode(other.to_string()),
    }
}

fn format_name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Gif => "GIF",
        ImageFormat::Tiff => "TIFF",
        _ => "image",
    }
}

/// Whether the data has the end that its format asks for; `true` for formats that have no such mark.
fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_is_complete(bytes),
        ImageFormat::Png => bytes.windows(4).rev().any(|chunk| chunk == b"IEND"),
        ImageFormat::WebP => bytes.get(4..8).and_then(|size| size.try_into().ok()).is_some_and(|size| {
            // The size counts what follows it.
            bytes.len() as u64 >= 8 + u64::from(u32::from_le_bytes(size))
        }),
        _ => true,
    }
}

/// Whether the end-of-image marker follows the first scan of a JPEG. Decoders fill what is missing with grey
/// and say nothing, and a half-grey picture would train as if it were whole.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    // Segments before the scan may hold a thumbnail with an end marker of its own: step over them.
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == 0xff {
            at += 1; // A fill byte.
            continue;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if marker == START_OF_SCAN {
            return bytes.get(at..).is_some_and(|scan| scan.windows(2).any(|w| w == [0xff, 0xd9]));
        }
    }
    false
}
