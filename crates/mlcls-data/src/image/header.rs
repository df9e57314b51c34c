//! The size of an image from its header alone.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageFormat};

use super::decode::{guarded, open_header};
use super::{ImageError, ImageProblem};
use crate::stats::ImageSize;

/// A JPEG has its size and orientation in here, most of the time.
const HEADER: u64 = 1 << 16;

/// The sides of an image as it is shown (EXIF orientation applied), and the bytes of its file. Of a JPEG only the
/// beginning is read.
///
/// # Errors
/// The file and what is wrong with it, as far as its header shows.
pub(crate) fn image_size(path: &Path) -> Result<ImageSize, ImageError> {
    read(path).map_err(|problem| ImageError { path: path.to_owned(), problem })
}

fn read(path: &Path) -> Result<ImageSize, ImageProblem> {
    let mut file = File::open(path).map_err(ImageProblem::Read)?;
    let mut start = Vec::new();
    file.by_ref().take(HEADER).read_to_end(&mut start).map_err(ImageProblem::Read)?;
    // Other formats may keep the orientation at their end.
    let jpeg = image::guess_format(&start).is_ok_and(|format| format == ImageFormat::Jpeg);
    if jpeg && let Ok((width, height)) = image_sides(&start) {
        let bytes = file.metadata().map_err(ImageProblem::Read)?.len();
        return Ok(ImageSize { width, height, bytes });
    }
    file.read_to_end(&mut start).map_err(ImageProblem::Read)?;
    let (width, height) = image_sides(&start)?;
    Ok(ImageSize { width, height, bytes: start.len() as u64 })
}

/// Width and height of an encoded image as it is shown (EXIF orientation applied), from its header; the pixels are not decoded, and
/// may be damaged or missing. For callers with a limit of their own below [`MAX_PIXELS`](crate::MAX_PIXELS).
///
/// # Errors
/// See [`ImageProblem`]. No input makes it panic.
pub fn image_sides(bytes: &[u8]) -> Result<(u32, u32), ImageProblem> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    guarded(|| {
        let mut decoder = open_header(bytes)?;
        let (width, height) = decoder.dimensions();
        // A damaged EXIF block says nothing about the pixels.
        let turned =
            matches!(decoder.orientation(), Ok(Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH));
        Ok(if turned { (height, width) } else { (width, height) })
    })
}
