//! What can be wrong with an image file.

use std::path::PathBuf;

/// An image file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct ImageError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: ImageProblem,
}

/// Why some bytes are not a usable image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageProblem {
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Read(std::io::Error),
    /// The file holds no bytes.
    #[error("is empty (0 bytes)")]
    Empty,
    /// The first bytes belong to none of the supported formats.
    #[error("is not a JPEG, PNG, WebP, BMP, GIF or TIFF image (it starts with {0})")]
    UnknownFormat(String),
    /// The data stops before the image is complete.
    #[error("is truncated: the {0} data ends before the image does")]
    Truncated(&'static str),
    /// The header asks for more pixels than [`MAX_PIXELS`](crate::MAX_PIXELS), or than the caller allows.
    #[error("is {width} x {height} pixels, more than the limit of {} million", limit / 1_000_000)]
    TooLarge {
        /// Columns, by the header.
        width: u32,
        /// Rows, by the header.
        height: u32,
        /// The most pixels.
        limit: u64,
    },
    /// The decoder found the data damaged, or of a kind that it does not know.
    #[error("cannot be decoded: {0}")]
    Decode(String),
}
