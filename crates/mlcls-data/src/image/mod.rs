//! Pixels: one buffer type, files decoded into it, and the two ways to change its size.

mod avx2;
mod decode;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod header;
mod jpeg;
mod resize;
mod rgb;

pub use decode::{MAX_PIXELS, decode, decode_file, decode_for};
pub use error::{ImageError, ImageProblem};
pub use header::image_sides;
pub use resize::{Resize, resize};
pub use rgb::{Rgb, Window};

/// Raised with every change by which a file gives other pixels than before, decoded or resized, so that kept pixels of before are
/// not taken for those of now.
pub(crate) const PIXELS_VERSION: u32 = 1;

pub(crate) use decode::{UprightJpeg, check, decode_file_for};
pub(crate) use header::image_size;
pub(crate) use resize::{Part, resize_into};

use std::path::Path;

/// Reads an image file as a square of `size` x `size` pixels: `size * size * 3` bytes, rows from the top,
/// R G B per pixel, ready for a model.
///
/// The picture is squashed: its aspect ratio is not kept, nothing is cut off. A JPEG of four times `size` or more
/// is decoded at a smaller scale, see [`decode_for`]. This is what evaluation and prediction use; a
/// [`Loader`](crate::Loader) without augmentation, and with its default source, gives the same bytes.
///
/// # Errors
/// See [`decode_file`].
pub fn load_image(path: &Path, size: u32, method: Resize) -> Result<Vec<u8>, ImageError> {
    let image = decode_file_for(path, Some(size))?;
    Ok(resize(&image, size, size, method).into_data())
}
