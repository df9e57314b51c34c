//! Changing the size of an image, in the two ways that training code in Python does it.

mod antialias;
mod bilinear;
mod part;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Rgb, Window};
pub(crate) use part::Part;

/// How an image is resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// Two neighbours per axis whatever the scale: OpenCV's `INTER_LINEAR`, which OTX uses. Fast; a strong
    /// reduction skips pixels, so fine patterns alias. Equal to OpenCV to
    /// the bit (4.8 and 5.0).
    #[default]
    Bilinear,
    /// A triangle as wide as the reduction: Pillow's `BILINEAR`, torchvision's `antialias=True`. Every source
    /// pixel counts. Equal to Pillow 11 to the bit (13 resizes some shapes in the other order: at most 1 apart).
    Antialias,
}

/// `image` at a new size; the aspect ratio is not kept. Sides are taken as at least 1.
///
/// ```
/// use mlcls_data::{Resize, Rgb, resize};
///
/// let grey = Rgb::new(4, 2, vec![100; 24]).unwrap();
/// assert_eq!(resize(&grey, 3, 3, Resize::Antialias).data(), [100; 27]);
/// ```
pub fn resize(image: &Rgb, width: u32, height: u32, method: Resize) -> Rgb {
    let mut out = Rgb::black(width, height);
    let (width, height) = (out.width(), out.height());
    resize_into(image, image.window(), width, height, method, out.data_mut());
    out
}

/// A window of `image`, resized into `out`, which holds `width * height * 3` bytes. Pixels outside the window
/// have no influence.
pub(crate) fn resize_into(
    image: &Rgb,
    window: Window,
    width: u32,
    height: u32,
    method: Resize,
    out: &mut [u8],
) {
    debug_assert!(window.x + window.width <= image.width() && window.y + window.height <= image.height());
    let source = Source::new(image, window);
    let (width, height) = (width as usize, height as usize);
    if (source.width, source.height) == (width, height) {
        for (y, row) in out.chunks_exact_mut(width * 3).enumerate() {
            row.copy_from_slice(source.row(y));
        }
        return;
    }
    let (columns, rows) = (Axis::whole(source.width, width), Axis::whole(source.height, height));
    method.apply(&source, &columns, &rows, out);
}

impl Resize {
    /// The wanted pixels of both axes from a source that has all that they read.
    fn apply(self, source: &Source, columns: &Axis, rows: &Axis, out: &mut [u8]) {
        match self {
            Self::Bilinear => bilinear::resize(source, columns, rows, out),
            Self::Antialias => antialias::resize(source, columns, rows, out),
        }
    }

    /// The pixels of an axis that the wanted ones are made of.
    fn reach(self, axis: &Axis) -> Range<usize> {
        match self {
            Self::Bilinear => bilinear::reach(axis),
            Self::Antialias => antialias::reach(axis),
        }
    }
}

/// The width or the height of a picture that is resized, or part of it.
#[derive(Clone, Debug)]
struct Axis {
    /// Pixels of the picture, and of the resized one.
    from: usize,
    to: usize,
    /// The pixels of the resized picture that are wanted.
    wanted: Range<usize>,
    /// The pixel of the picture that the source begins with.
    start: usize,
}

impl Axis {
    fn whole(from: usize, to: usize) -> Self {
        Self { from, to, wanted: 0..to, start: 0 }
    }
}

/// The pixels of a window, row by row.
struct Source<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl<'a> Source<'a> {
    fn new(image: &'a Rgb, window: Window) -> Self {
        let stride = image.stride();
        let start = window.y as usize * stride + window.x as usize * 3;
        Self {
            data: &image.data()[start..],
            stride,
            width: window.width as usize,
            height: window.height as usize,
        }
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..self.width * 3]
    }
}
