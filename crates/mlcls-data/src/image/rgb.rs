//! The pixel buffer that everything here works on.

/// An image of 8-bit RGB pixels: `height` rows from the top, `width` pixels per row, three bytes per pixel.
#[derive(Clone, PartialEq, Eq)]
pub struct Rgb {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Rgb {
    /// An image over existing bytes; `None` unless both sides are at least 1 and there are exactly
    /// `width * height * 3` bytes.
    ///
    /// ```
    /// use mlcls_data::Rgb;
    ///
    /// let red = Rgb::new(2, 1, vec![255, 0, 0, 255, 0, 0]).unwrap();
    /// assert_eq!((red.width(), red.height()), (2, 1));
    /// assert!(Rgb::new(2, 2, vec![0; 5]).is_none());
    /// ```
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        let expected = (width as usize).checked_mul(height as usize)?.checked_mul(3)?;
        (expected > 0 && data.len() == expected).then_some(Self { width, height, data })
    }

    /// A black image. Both sides are taken as at least 1.
    pub fn black(width: u32, height: u32) -> Self {
        let (width, height) = (width.max(1), height.max(1));
        Self { width, height, data: vec![0; width as usize * height as usize * 3] }
    }

    /// Pixels per row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, R G B R G B ..., row by row from the top.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The bytes, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The bytes without the image around them.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Bytes in one row.
    pub(crate) fn stride(&self) -> usize {
        self.width as usize * 3
    }

    /// The whole image as a [`Window`].
    pub fn window(&self) -> Window {
        Window { x: 0, y: 0, width: self.width, height: self.height }
    }
}

impl std::fmt::Debug for Rgb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rgb {{ {} x {} }}", self.width, self.height)
    }
}

/// A rectangle of pixels inside an image: the upper left corner and the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Columns to the left of it.
    pub x: u32,
    /// Rows above it.
    pub y: u32,
    /// Columns in it.
    pub width: u32,
    /// Rows in it.
    pub height: u32,
}
